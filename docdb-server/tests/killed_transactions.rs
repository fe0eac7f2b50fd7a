//! Transactions under way when the server is killed: each is whole or absent, and its client knows
//! which, unless its commit was on its way.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::process::{command, start};
use docdb_client::{Client, DEFAULT_COLLECTION, Database, Error, ErrorKind, TransactionOptions};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const ROUNDS: u64 = 4;
/// Clients that each write documents of their own, the same number into all of one transaction.
const WRITERS: u64 = 4;
const DOCUMENTS: u64 = 3;
/// Clients that move money between accounts.
const MOVERS: u64 = 3;
const ACCOUNTS: u64 = 4;
const FIRST_ACCOUNT: u64 = 1_000;
const MONEY: i64 = 100;
/// Commits that are acknowledged before the server is killed.
const COMMITS: usize = 40;

async fn connect(socket: &Path) -> Database {
    // No server comes back while they try again.
    let builder = Client::builder(socket).connect_timeout(Duration::from_secs(1));
    builder.connect().await.unwrap().database("db")
}

fn options() -> TransactionOptions {
    TransactionOptions::new()
        .timeout(Duration::from_secs(60))
        .attempts_max(u32::MAX)
}

/// How far a writer came: the number that was acknowledged last, and whether the next one may be there.
struct Reached {
    writer: u64,
    acknowledged: u64,
    next_is_unknown: bool,
}

async fn write(db: Database, writer: u64, first: u64, told: mpsc::UnboundedSender<()>) -> Reached {
    let mut number = first;
    loop {
        let reached = |next_is_unknown| Reached {
            writer,
            acknowledged: number - 1,
            next_is_unknown,
        };
        let begun = async {
            let tx = db.begin(options()).await?;
            let documents = tx.collection::<u64>(DEFAULT_COLLECTION);
            for document in 0..DOCUMENTS {
                documents
                    .upsert(writer * DOCUMENTS + document, &number)
                    .await?;
            }
            Ok::<_, Error>(tx)
        };
        match begun.await {
            Ok(tx) => match tx.commit().await {
                Ok(_) => drop(told.send(())),
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => return reached(true),
                Err(error) => {
                    assert!(is_promise(&error), "{error}");
                    return reached(false);
                }
            },
            Err(error) => {
                assert!(is_promise(&error), "{error}");
                return reached(false);
            }
        }
        number += 1;
    }
}

/// Nothing was written: the connection broke before the commit was sent, or there is no server.
fn is_promise(error: &Error) -> bool {
    error.is_retryable() || error.is_connect()
}

async fn move_money(db: Database, mover: u64, told: mpsc::UnboundedSender<()>) {
    for turn in mover.. {
        let (from, to) = (turn % ACCOUNTS, (turn * 7 + mover + 1) % ACCOUNTS);
        if from == to {
            continue;
        }
        let moved = db
            .transact(options(), |tx| async move {
                let accounts = tx.collection::<i64>(DEFAULT_COLLECTION);
                let (from, to) = (FIRST_ACCOUNT + from, FIRST_ACCOUNT + to);
                let (left, more) = (accounts.get(from).await?, accounts.get(to).await?);
                accounts.update(from, &(left.value - 1)).await?;
                accounts.update(to, &(more.value + 1)).await?;
                Ok::<_, Error>(())
            })
            .await;
        match moved {
            Ok(()) => drop(told.send(())),
            Err(error) => {
                let is_unknown = error.kind() == ErrorKind::OutcomeUnknown;
                assert!(is_unknown || is_promise(&error), "{error}");
                return;
            }
        }
    }
}

async fn check(db: &Database, reached: &mut [Reached]) {
    let documents = db.collection::<u64>(DEFAULT_COLLECTION);
    for reached in reached {
        let mut found = Vec::new();
        for document in 0..DOCUMENTS {
            let id = reached.writer * DOCUMENTS + document;
            let read = documents.get_if_exists(id).await.unwrap();
            found.push(read.map_or(0, |read| read.value));
        }
        let first = found[0];
        assert!(found.iter().all(|number| *number == first), "{found:?}");
        let next = reached.acknowledged + 1;
        assert!(
            first == reached.acknowledged || (reached.next_is_unknown && first == next),
            "{found:?} where {} was acknowledged, the next is unknown: {}",
            reached.acknowledged,
            reached.next_is_unknown
        );
        reached.acknowledged = first;
    }
    let accounts = db.collection::<i64>(DEFAULT_COLLECTION);
    let mut scan = accounts.scan(FIRST_ACCOUNT..FIRST_ACCOUNT + ACCOUNTS);
    let mut sum = 0;
    while let Some(account) = scan.next().await.unwrap() {
        sum += account.value;
    }
    assert_eq!(sum, MONEY * ACCOUNTS as i64);
    // What was open at the kill is not open now.
    let stats = db.stats().await.unwrap();
    assert_eq!(stats["transactions"]["open"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_whole_or_absent() {
    let temp = tempfile::tempdir().unwrap();
    let socket = temp.path().join("s");
    let mut reached: Vec<Reached> = (0..WRITERS)
        .map(|writer| Reached {
            writer,
            acknowledged: 0,
            next_is_unknown: false,
        })
        .collect();
    for round in 0..=ROUNDS {
        let mut process = start(&mut command(temp.path()));
        let db = connect(&socket).await;
        if round == 0 {
            let client = Client::connect(&socket).await.unwrap();
            client.create_database("db", None).await.unwrap();
            let accounts = db.collection::<i64>(DEFAULT_COLLECTION);
            for account in 0..ACCOUNTS {
                accounts
                    .create(FIRST_ACCOUNT + account, &MONEY)
                    .await
                    .unwrap();
            }
        }
        check(&db, &mut reached).await;
        if round == ROUNDS {
            return;
        }
        let (told, mut commits) = mpsc::unbounded_channel();
        let mut writers = JoinSet::new();
        for reached in &reached {
            let db = connect(&socket).await;
            let first = reached.acknowledged + 1;
            writers.spawn(write(db, reached.writer, first, told.clone()));
        }
        let mut movers = JoinSet::new();
        for mover in 0..MOVERS {
            movers.spawn(move_money(connect(&socket).await, mover, told.clone()));
        }
        for _ in 0..COMMITS {
            commits.recv().await.unwrap();
        }
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        reached = writers.join_all().await;
        movers.join_all().await;
    }
}
