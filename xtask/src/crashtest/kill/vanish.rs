//! Clients that vanish in the middle of something: nobody else is hurt, and nothing of a transaction
//! that was not committed stays.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use docdb_client::{Database, Error, TransactionOptions};

use super::databases::{self, VANISHED_NAME};
use super::document::Stamp;
use crate::rng::Rng;
use crate::server::ServerSetup;

/// What such a client's documents say of who wrote them.
const LANE: u64 = u64::MAX >> 12;

/// Ids that are written in transactions which are never committed.
const UNCOMMITTED: u64 = 1_000_000;

/// Ids that such clients write.
const IDS: u64 = 8;

/// Requests that such a client has under way.
const REQUESTS: u64 = 4;

/// A few clients, one after another, each of which vanishes in another way. Says how many there were.
pub(super) async fn some(setup: ServerSetup, seed: u64) -> u64 {
    let mut rng = Rng::new(seed);
    let mut vanished = 0;
    for way in 0..3 {
        let kind = databases::ALL[rng.below(databases::ALL.len() as u64) as usize];
        let micros = rng.below(4_000);
        let gone = match way {
            0 => in_requests(&setup, kind.name, &mut rng, micros)
                .await
                .is_ok(),
            1 => in_transaction(&setup, kind.name, &mut rng).await.is_ok(),
            _ => in_frame(&setup.socket, &mut rng).is_ok(),
        };
        // An error is the end of the server, which came first.
        vanished += u64::from(gone);
    }
    vanished
}

fn stamp(rng: &mut Rng) -> Stamp {
    Stamp {
        lane: LANE,
        sequence: rng.below(1 << 40),
        fill_bytes: rng.below(2_000) as u32,
    }
}

/// Gone with requests under way.
async fn in_requests(
    setup: &ServerSetup,
    database: &str,
    rng: &mut Rng,
    micros: u64,
) -> Result<(), Error> {
    let client = setup.connect().await?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..REQUESTS {
        let collection = client.database(database).raw_collection(VANISHED_NAME);
        let (id, document) = (rng.below(IDS), stamp(rng).document());
        tasks.spawn(async move { collection.upsert(id, document).await.map(drop) });
    }
    tokio::time::sleep(Duration::from_micros(micros)).await;
    tasks.abort_all();
    drop(client);
    Ok(())
}

/// Gone in the middle of a transaction, without a word: its runtime ends under it.
async fn in_transaction(
    setup: &ServerSetup,
    database: &'static str,
    rng: &mut Rng,
) -> Result<(), String> {
    let setup = setup.clone();
    let (id, document) = (UNCOMMITTED + rng.below(IDS), stamp(rng).document());
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        let transaction = runtime.block_on(async {
            let client = setup.connect().await?;
            let options = TransactionOptions::new().timeout(Duration::from_secs(60));
            let transaction = client.database(database).begin(options).await?;
            let collection = transaction.raw_collection(VANISHED_NAME);
            collection.upsert(id, document).await?;
            Ok::<_, Error>(transaction)
        });
        runtime.shutdown_background();
        transaction.map(drop).map_err(|e| e.to_string())
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| e.to_string())?
}

/// Gone in the middle of a frame: its length is said, and a few bytes of it are sent.
fn in_frame(socket: &Path, rng: &mut Rng) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    let mut frame = 39_u32.to_le_bytes().to_vec();
    frame.resize(4 + rng.below(20) as usize, 0);
    stream.write_all(&frame)
}

/// What vanished clients have left is whole, and nothing of what they did not commit is there.
pub(super) async fn check(database: &Database, violations: &mut Vec<String>) -> Result<(), Error> {
    let mut scan = database.raw_collection(VANISHED_NAME).scan(..);
    while let Some(document) = scan.next().await? {
        let stamp = Stamp::read(&document.value);
        let id = document.id;
        if id >= UNCOMMITTED {
            let what = "is of a transaction that was never committed";
            violations.push(format!("{}: {VANISHED_NAME}/{id} {what}", database.name()));
        } else if stamp.is_none_or(|stamp| stamp.lane != LANE) {
            let what = "is not what any client sent";
            violations.push(format!("{}: {VANISHED_NAME}/{id} {what}", database.name()));
        }
    }
    Ok(())
}
