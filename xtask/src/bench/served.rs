//! The real server over its socket.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use docdb_client::{Client, DEFAULT_COLLECTION, ErrorKind};
use tokio::task::JoinSet;

use super::sample::{Latencies, Sample, document};
use super::{DOCUMENT_BYTES, MIX_DOCUMENT_BYTES};
use crate::rng::Rng;
use crate::server::{Server, ServerSetup};

const DATABASE: &str = "bench";

/// Documents that reads choose from.
const READ_DOCUMENTS: u64 = 20_000;

/// Documents in one batch of a prefill: with 1 KiB each far below the limit of a commit.
const PREFILL_BATCH: u64 = 1_000;

const MIX_DATABASES: u64 = 3;
const MIX_CLIENTS_PER_DATABASE: usize = 10;

/// Documents of each database of the mix before it starts.
const MIX_DOCUMENTS: u64 = 1_000;

/// A server on an empty directory.
pub(super) struct Served {
    setup: ServerSetup,
    server: Server,
    runtime: tokio::runtime::Runtime,
    /// From the start of the process to its first answer.
    pub(super) ready: Duration,
}

impl Served {
    pub(super) fn start(binary: PathBuf, dir: &Path) -> Result<Served, Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let setup = ServerSetup::in_dir(binary, dir)?;
        let (server, ready) = runtime.block_on(setup.start())?;
        Ok(Served {
            setup,
            server,
            runtime,
            ready,
        })
    }

    pub(super) fn stop(self) -> Result<(), Box<dyn Error>> {
        self.runtime.block_on(self.server.stop())
    }

    /// Durable creates.
    pub(super) fn creates(
        &self,
        connections: usize,
        in_flight: usize,
        time: Duration,
    ) -> Result<Sample, Box<dyn Error>> {
        self.runtime.block_on(async {
            let client = self.setup.connect().await?;
            client.create_database(DATABASE, None).await?;
            let next_id = Arc::new(AtomicU64::new(1));
            let began = Instant::now();
            let mut tasks = JoinSet::new();
            for client in self.connect(connections).await? {
                for _ in 0..in_flight {
                    let collection = client.database(DATABASE).raw_collection(DEFAULT_COLLECTION);
                    let next_id = Arc::clone(&next_id);
                    tasks.spawn(async move {
                        let mut latencies = Latencies::default();
                        while began.elapsed() < time {
                            let id = next_id.fetch_add(1, Ordering::Relaxed);
                            let text = document(id, DOCUMENT_BYTES);
                            let start = Instant::now();
                            match collection.create(id, text).await {
                                Ok(_) => latencies.note(start),
                                Err(_) => latencies.errors += 1,
                            }
                        }
                        latencies
                    });
                }
            }
            join(tasks, began).await
        })
    }

    /// Reads of random documents, all of which are there.
    pub(super) fn reads(
        &self,
        connections: usize,
        in_flight: usize,
        time: Duration,
    ) -> Result<Sample, Box<dyn Error>> {
        self.runtime.block_on(async {
            let client = self.setup.connect().await?;
            client.create_database(DATABASE, None).await?;
            prefill(&client, DATABASE, READ_DOCUMENTS, DOCUMENT_BYTES).await?;
            let began = Instant::now();
            let mut tasks = JoinSet::new();
            for (i, client) in self.connect(connections).await?.into_iter().enumerate() {
                for j in 0..in_flight {
                    let collection = client.database(DATABASE).raw_collection(DEFAULT_COLLECTION);
                    let mut rng = Rng::fork(i as u64, j as u64);
                    tasks.spawn(async move {
                        let mut latencies = Latencies::default();
                        while began.elapsed() < time {
                            let id = 1 + rng.below(READ_DOCUMENTS);
                            let start = Instant::now();
                            match collection.get(id).await {
                                Ok(found) if found.value.len() == DOCUMENT_BYTES => {
                                    latencies.note(start);
                                }
                                _ => latencies.errors += 1,
                            }
                        }
                        latencies
                    });
                }
            }
            join(tasks, began).await
        })
    }

    /// 40 % reads, 30 % creates, 20 % updates, 10 % deletes on three databases with ten clients each.
    pub(super) fn mix(&self, in_flight: usize, time: Duration) -> Result<Sample, Box<dyn Error>> {
        self.runtime.block_on(async {
            let client = self.setup.connect().await?;
            for database in 0..MIX_DATABASES {
                let name = format!("mix-{database}");
                client.create_database(&name, None).await?;
                prefill(&client, &name, MIX_DOCUMENTS, MIX_DOCUMENT_BYTES).await?;
            }
            let began = Instant::now();
            let mut tasks = JoinSet::new();
            for database in 0..MIX_DATABASES {
                let next_id = Arc::new(AtomicU64::new(MIX_DOCUMENTS + 1));
                for client in self.connect(MIX_CLIENTS_PER_DATABASE).await? {
                    for _ in 0..in_flight {
                        let seed = tasks.len() as u64;
                        let name = format!("mix-{database}");
                        let next_id = Arc::clone(&next_id);
                        tasks.spawn(mix_task(client.clone(), name, next_id, seed, began, time));
                    }
                }
            }
            join(tasks, began).await
        })
    }

    async fn connect(&self, connections: usize) -> Result<Vec<Client>, Box<dyn Error>> {
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            clients.push(self.setup.connect().await?);
        }
        Ok(clients)
    }
}

async fn mix_task(
    client: Client,
    database: String,
    next_id: Arc<AtomicU64>,
    seed: u64,
    began: Instant,
    time: Duration,
) -> Latencies {
    let collection = client
        .database(&database)
        .raw_collection(DEFAULT_COLLECTION);
    let mut rng = Rng::fork(16, seed);
    let mut latencies = Latencies::default();
    // Each task deletes only what it created, so that all other requests can succeed.
    let mut own = Vec::new();
    while began.elapsed() < time {
        let choice = rng.below(100);
        let common = 1 + rng.below(MIX_DOCUMENTS);
        let start;
        let result = match choice {
            0..40 => {
                start = Instant::now();
                collection.get(common).await.map(drop)
            }
            90.. if !own.is_empty() => {
                let id = own.swap_remove(rng.below(own.len() as u64) as usize);
                start = Instant::now();
                collection.delete(id).await.map(drop)
            }
            70..90 => {
                let text = document(common + choice, MIX_DOCUMENT_BYTES);
                start = Instant::now();
                collection.update(common, text).await.map(drop)
            }
            _ => {
                let id = next_id.fetch_add(1, Ordering::Relaxed);
                let text = document(id, MIX_DOCUMENT_BYTES);
                start = Instant::now();
                let result = collection.create(id, text).await.map(drop);
                own.push(id);
                result
            }
        };
        match result {
            Ok(()) => latencies.note(start),
            Err(_) => latencies.errors += 1,
        }
    }
    latencies
}

async fn prefill(
    client: &Client,
    database: &str,
    documents: u64,
    bytes: usize,
) -> Result<(), docdb_client::Error> {
    let database = client.database(database);
    let mut id = 1;
    while id <= documents {
        let mut batch = database.batch();
        for _ in 0..PREFILL_BATCH.min(documents + 1 - id) {
            batch = batch.create_raw(DEFAULT_COLLECTION, id, document(id, bytes));
            id += 1;
        }
        match batch.commit().await {
            // An earlier run on this server has filled it.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(()),
            other => other.map(drop)?,
        }
    }
    Ok(())
}

async fn join(mut tasks: JoinSet<Latencies>, began: Instant) -> Result<Sample, Box<dyn Error>> {
    let mut all = Latencies::default();
    while let Some(latencies) = tasks.join_next().await {
        all.merge(latencies?);
    }
    Ok(all.sample(began.elapsed()))
}
