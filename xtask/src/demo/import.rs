//! Documents in atomic batches, a few of them on their way at once.

use docdb_client::{Database, Error};
use tokio::task::JoinSet;

const BATCH_DOCUMENTS: usize = 500;
const BATCHES_IN_FLIGHT_MAX: usize = 4;

/// Creates the documents under the ids from 1 on.
pub(super) async fn import(
    database: &Database,
    collection: &str,
    documents: &[String],
) -> Result<(), Box<dyn std::error::Error>> {
    let mut tasks: JoinSet<Result<_, Error>> = JoinSet::new();
    for (i, chunk) in documents.chunks(BATCH_DOCUMENTS).enumerate() {
        if tasks.len() >= BATCHES_IN_FLIGHT_MAX
            && let Some(done) = tasks.join_next().await
        {
            done??;
        }
        let mut batch = database.batch();
        for (document, id) in chunk.iter().zip((i * BATCH_DOCUMENTS) as u64 + 1..) {
            batch = batch.create_raw(collection, id, document.clone());
        }
        tasks.spawn(batch.commit());
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}
