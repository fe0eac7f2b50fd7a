//! A client whose server goes away and comes back.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::os::unix::fs::symlink;
use std::time::Duration;

use common::{FakeServer, Peer};
use docdb_client::{Client, ErrorKind};
use docdb_ipc::{Request, Response};
use tokio::task::JoinSet;

const CALLS: usize = 10;

fn pong() -> FakeServer {
    FakeServer::start(|peer: &mut Peer, id, _: Request| peer.reply(id, Response::Pong))
}

fn ping_often(client: &Client) -> JoinSet<docdb_client::Result<()>> {
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let client = client.clone();
        calls.spawn(async move { client.ping().await });
    }
    calls
}

#[tokio::test]
async fn calls_wait_for_the_server_to_come_back_and_share_one_connection() {
    let (first, second) = (pong(), pong());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    symlink(first.path(), &path).unwrap();
    let builder = Client::builder(&path).connect_timeout(Duration::from_secs(600));
    let client = builder.connect().await.unwrap();
    client.ping().await.unwrap();

    std::fs::remove_file(&path).unwrap();
    first.break_connections();
    let mut calls = ping_often(&client);
    // Some attempts fail before there is a server again.
    tokio::time::sleep(Duration::from_millis(50)).await;
    symlink(second.path(), &path).unwrap();
    while let Some(result) = calls.join_next().await {
        result.unwrap().unwrap();
    }
    assert_eq!((first.connections(), second.connections()), (1, 1));
}

#[tokio::test]
async fn calls_without_a_server_fail_together() {
    let server = pong();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    symlink(server.path(), &path).unwrap();
    let builder = Client::builder(&path).connect_timeout(Duration::from_millis(100));
    let client = builder.connect().await.unwrap();
    std::fs::remove_file(&path).unwrap();
    server.break_connections();
    let mut calls = ping_often(&client);
    while let Some(result) = calls.join_next().await {
        let error = result.unwrap().unwrap_err();
        assert!(error.is_connect(), "{error}");
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
    // It is no final state.
    symlink(server.path(), &path).unwrap();
    client.ping().await.unwrap();
}
