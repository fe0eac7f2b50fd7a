//! Writers that remember what they were told.

use std::collections::HashMap;
use std::error::Error;

use docdb_client::{Database, ErrorKind, RawCollection};
use tokio::task::JoinSet;

use super::DATABASE;
use crate::server::ServerSetup;

const COLLECTION: &str = "measurements";
const CONNECTIONS: u64 = 8;
const WRITERS_PER_CONNECTION: u64 = 8;

pub(super) const WRITERS: u64 = CONNECTIONS * WRITERS_PER_CONNECTION;

/// The distance between the first ids of two writers.
const STRIDE: u64 = 1 << 32;

/// What was acknowledged, and what was on its way at the end.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Ids and the versions they were acknowledged with.
    acknowledged: HashMap<u64, u64>,
    unanswered: Vec<u64>,
    /// Errors that no kill explains.
    unexpected: Vec<String>,
}

impl Record {
    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    pub(super) fn unanswered(&self) -> usize {
        self.unanswered.len()
    }
}

/// How much of a record was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) acknowledged: usize,
    pub(super) unanswered: usize,
}

/// Running writers.
pub(super) struct Writers(JoinSet<Record>);

pub(super) async fn start(setup: &ServerSetup) -> Result<Writers, Box<dyn Error>> {
    let client = setup.connect().await?;
    client
        .database(DATABASE)
        .create_collection(COLLECTION)
        .await?;
    let mut writers = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let client = setup.connect().await?;
        for writer in 0..WRITERS_PER_CONNECTION {
            let collection = client.database(DATABASE).raw_collection(COLLECTION);
            let first = (connection * WRITERS_PER_CONNECTION + writer) * STRIDE;
            writers.spawn(write(collection, first));
        }
    }
    Ok(Writers(writers))
}

/// One commit after the other until the server is gone.
async fn write(collection: RawCollection, first: u64) -> Record {
    let mut record = Record::default();
    for id in first.. {
        match collection.create(id, document(id)).await {
            Ok(written) => drop(record.acknowledged.insert(id, written.version)),
            Err(e) => {
                let is_end = matches!(e.kind(), ErrorKind::OutcomeUnknown | ErrorKind::Closed);
                if !is_end && !e.is_connect() {
                    record.unexpected.push(format!("document {id}: {e}"));
                }
                record.unanswered.push(id);
                break;
            }
        }
    }
    record
}

fn document(id: u64) -> String {
    let (writer, number) = (id / STRIDE, id % STRIDE);
    format!(
        "{{\"writer\":{writer},\"number\":{number},\"sensor\":\"sensor-{:04}\",\"celsius\":{}.{:02},\"note\":\"{:x>180}\"}}",
        id % 9_973,
        number % 40,
        number % 100,
        ""
    )
}

impl Writers {
    /// What they remember, once all of them have met the server's end.
    pub(super) async fn end(mut self) -> Result<Record, Box<dyn Error>> {
        let mut all = Record::default();
        while let Some(record) = self.0.join_next().await {
            let record = record?;
            all.acknowledged.extend(record.acknowledged);
            all.unanswered.extend(record.unanswered);
            all.unexpected.extend(record.unexpected);
        }
        if let Some(unexpected) = all.unexpected.first() {
            return Err(
                format!("a writer got an error that no kill explains: {unexpected}").into(),
            );
        }
        Ok(all)
    }
}

/// Holds what is there against the record.
pub(super) async fn check(database: &Database, record: &Record) -> Result<Found, Box<dyn Error>> {
    let mut found = Found::default();
    let mut scan = database.raw_collection(COLLECTION).scan(..);
    while let Some(seen) = scan.next().await? {
        if seen.value != document(seen.id).as_bytes() {
            return Err(format!("document {} is damaged", seen.id).into());
        }
        match record.acknowledged.get(&seen.id) {
            Some(version) if *version == seen.version => found.acknowledged += 1,
            Some(version) => {
                let (id, now) = (seen.id, seen.version);
                return Err(format!("document {id}: version {version} has become {now}").into());
            }
            None if record.unanswered.contains(&seen.id) => found.unanswered += 1,
            None => return Err(format!("nobody wrote document {}", seen.id).into()),
        }
    }
    if found.acknowledged != record.acknowledged.len() {
        let lost = record.acknowledged.len() - found.acknowledged;
        return Err(format!("{lost} acknowledged writes are lost").into());
    }
    Ok(found)
}
