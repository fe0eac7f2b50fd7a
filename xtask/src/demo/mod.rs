//! `cargo xtask demo`: a real server, real data, and a kill in the middle of writing.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use docdb_client::{Client, ErrorKind, RawCollection, WriteOptions};
use serde_json::Value;

use crate::server::ServerSetup;

mod import;
mod writers;

const DATABASE: &str = "demo";
const COLLECTION: &str = "earthquakes";
const DATA_SET: &str = "data-sets/earthquakes.ndjson";

/// A directory with this file was made by an earlier demo and may be removed.
const MARKER: &str = "made-by-demo";

/// How long the writers write before the server is killed.
const WRITING: Duration = Duration::from_millis(1_500);

/// Options of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where to put the data [default: data/demo in the workspace]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Run this server rather than building the one of this workspace
    #[arg(long)]
    server: Option<PathBuf>,
}

/// Runs the demo; an error means that something is wrong with the server.
pub(crate) fn run(options: Options) -> Result<ExitCode, Box<dyn Error>> {
    println!("Building docdb-server and docdb (release) ...");
    let binary = crate::binaries::server(options.server)?;
    let root = crate::root::workspace_root();
    let dir = options.dir.unwrap_or_else(|| root.join("data/demo"));
    make_fresh(&dir)?;
    let setup = ServerSetup::in_dir(binary.clone(), &dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(tour(&setup, &root));
    setup.remove_socket();
    outcome?;
    print_next_steps(&binary);
    Ok(ExitCode::SUCCESS)
}

fn make_fresh(dir: &Path) -> Result<(), Box<dyn Error>> {
    if dir.exists() {
        if !dir.join(MARKER).exists() && fs::read_dir(dir)?.next().is_some() {
            let dir = dir.display();
            return Err(format!("{dir} holds something that no demo made: choose another").into());
        }
        println!("Removing the data of an earlier demo in {}", dir.display());
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    fs::write(dir.join(MARKER), "")?;
    Ok(())
}

async fn tour(setup: &ServerSetup, root: &Path) -> Result<(), Box<dyn Error>> {
    let (server, took) = setup.start().await?;
    println!("\n1. A server on an empty directory");
    println!(
        "   pid {}, ready after {:.0} ms",
        server.pid(),
        millis(took)
    );
    println!(
        "   data in {}, socket {}",
        setup.data_dir.display(),
        setup.socket.display()
    );

    let client = setup.connect().await?;
    client.create_database(DATABASE, None).await?;
    client
        .database(DATABASE)
        .create_collection(COLLECTION)
        .await?;
    let path = root.join(DATA_SET);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut documents: Vec<String> = text.lines().map(str::to_owned).collect();
    println!("\n2. Import {DATA_SET} over the socket");
    let began = Instant::now();
    import::import(&client.database(DATABASE), COLLECTION, &documents).await?;
    let seconds = began.elapsed().as_secs_f64();
    let (count, megabytes) = (documents.len() as f64, text.len() as f64 / 1e6);
    println!(
        "   {count} documents, {megabytes:.1} MB in {:.0} ms: {:.0} documents/s, all synced to the disk",
        seconds * 1e3,
        count / seconds
    );

    println!("\n3. Use it");
    let collection = client.database(DATABASE).raw_collection(COLLECTION);
    use_it(&collection, &mut documents).await?;

    println!("\n4. Many writers, and SIGKILL in the middle");
    let writers = writers::start(setup).await?;
    tokio::time::sleep(WRITING).await;
    let pid = server.pid();
    server.kill()?;
    let record = writers.end().await?;
    println!(
        "   {} writers had {} commits acknowledged in {:.1} s ({:.0}/s), each one synced to the disk",
        writers::WRITERS,
        record.acknowledged(),
        WRITING.as_secs_f64(),
        record.acknowledged() as f64 / WRITING.as_secs_f64()
    );
    println!(
        "   then: kill -9 {pid}, with {} writes on their way",
        record.unanswered()
    );

    println!("\n5. Start it again");
    let (server, ready) = setup.start().await?;
    let client = setup.connect().await?;
    // A database is opened, and so recovered, when it is first used.
    client.database(DATABASE).collections().await?;
    let recovered = server.age();
    let found = writers::check(&client.database(DATABASE), &record).await?;
    check_import(&client, &documents).await?;
    println!(
        "   process ready after {:.0} ms, database recovered and in use after {:.0} ms",
        millis(ready),
        millis(recovered)
    );
    println!(
        "   acknowledged {}, found {}, lost 0",
        record.acknowledged(),
        found.acknowledged
    );
    println!(
        "   {} of the {} unanswered writes had made it too",
        found.unanswered,
        record.unanswered()
    );
    println!(
        "   all {} imported documents are as they were, byte for byte",
        documents.len()
    );
    server.stop().await?;
    println!("\nEvery acknowledged write is there.");
    Ok(())
}

/// Reads, scans and updates; the update is made in `documents` too.
async fn use_it(
    collection: &RawCollection,
    documents: &mut [String],
) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let mut scan = collection.scan(..);
    let mut strongest = (f64::MIN, 0, String::new());
    let mut scanned = 0;
    while let Some(document) = scan.next().await? {
        let value: Value = serde_json::from_slice(&document.value)?;
        let magnitude = value["properties"]["mag"].as_f64().unwrap_or(f64::MIN);
        if magnitude > strongest.0 {
            let place = value["properties"]["place"]
                .as_str()
                .unwrap_or("?")
                .to_owned();
            strongest = (magnitude, document.id, place);
        }
        scanned += 1;
    }
    if scanned != documents.len() || collection.count().await? != documents.len() as u64 {
        return Err(format!("{} documents imported, {scanned} scanned", documents.len()).into());
    }
    let (magnitude, id, place) = strongest;
    println!(
        "   scan: {scanned} documents in {:.0} ms",
        millis(began.elapsed())
    );
    println!("   get: document {id} is the strongest: magnitude {magnitude}, {place}");

    let found = collection.get(id).await?;
    let old = &mut documents[id as usize - 1];
    if found.value != old.as_bytes() {
        return Err(format!("document {id} is not what was imported").into());
    }
    let new = format!("{{\"reviewed\":true,{}", old.get(1..).unwrap_or_default());
    let careful = collection.with(WriteOptions::new().if_version(found.version));
    let written = careful.update(id, new.clone()).await?;
    *old = new;
    println!(
        "   update if still version {}: now version {}",
        found.version, written.version
    );
    match careful.update(id, "{}").await {
        Err(e) if e.kind() == ErrorKind::VersionMismatch => println!("   the same again: {e}"),
        other => return Err(format!("a stale update was answered with {other:?}").into()),
    }
    Ok(())
}

async fn check_import(client: &Client, documents: &[String]) -> Result<(), Box<dyn Error>> {
    let mut scan = client
        .database(DATABASE)
        .raw_collection(COLLECTION)
        .scan(..);
    let mut expected = documents.iter().zip(1..);
    while let Some(found) = scan.next().await? {
        match expected.next() {
            Some((document, id)) if found.id == id && found.value == document.as_bytes() => {}
            _ => return Err(format!("document {} is not what was imported", found.id).into()),
        }
    }
    match expected.next() {
        Some((_, id)) => Err(format!("document {id} is missing").into()),
        None => Ok(()),
    }
}

fn print_next_steps(binary: &Path) {
    let tool = binary.with_file_name("docdb");
    println!("\nFor real use:");
    println!(
        "   {} --data-dir ./data/mine --socket /tmp/docdb.sock",
        shown(binary)
    );
    println!(
        "   {} put mydb _default 1 '{{\"hello\":\"world\"}}'",
        shown(&tool)
    );
    println!("   {} get mydb _default 1", shown(&tool));
    println!("   {} shell", shown(&tool));
}

/// The path as it can be typed where the demo was started.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here
        .as_deref()
        .and_then(|here| path.strip_prefix(here).ok());
    below.unwrap_or(path).display().to_string()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
