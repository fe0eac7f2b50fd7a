//! A disk that is full: a small file system in memory, in a namespace of its own, where the machine
//! allows that. Nothing of it needs to be root.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use docdb_client::{Client, Database, ErrorKind};

use super::document::Stamp;
use crate::server::{Server, ServerSetup};

/// Size of the file system.
const DISK_MIB: u64 = 48;

/// A file that takes a part of it, until space is given back.
const BALLAST_MIB: u64 = 16;

/// Filling of each document.
const FILL_BYTES: u32 = 40_000;

/// More documents than the disk holds.
const DOCUMENTS_MAX: u64 = 4 * DISK_MIB * (1 << 20) / FILL_BYTES as u64;

/// So many refusals in a row: it is full, and no checkpoint gives something back.
const REFUSALS: u32 = 20;

/// By then writes must go on again once there is space.
const RESUMES_WITHIN: Duration = Duration::from_secs(20);

const DATABASE: &str = "full-disk";
const COLLECTION: &str = "_default";
const LANE: u64 = 77;

/// The namespace with the file system. It lives as long as the process that made it.
struct Disk {
    holder: Child,
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Disk {
    /// Makes it, or says why this machine does not allow it.
    fn make(at: &Path) -> Result<Disk, String> {
        let script = format!(
            "mount -t tmpfs -o size={DISK_MIB}m none \"$0\" && \
             head -c {} /dev/zero > \"$0/ballast\" && echo ready && read line",
            BALLAST_MIB << 20
        );
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .arg(at)
            // Its end is the end of the namespace, should this process not live to see to it.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let spawned = command.spawn();
        let mut disk = Disk {
            holder: spawned.map_err(|e| format!("unshare: {e}"))?,
        };
        let mut line = String::new();
        if let Some(stdout) = disk.holder.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        if line.trim() == "ready" {
            return Ok(disk);
        }
        let mut said = String::new();
        if let Some(stderr) = disk.holder.stderr.take() {
            let _ = BufReader::new(stderr).read_line(&mut said);
        }
        Err(said.trim().to_owned())
    }

    /// What brings a command into the namespace.
    fn prefix(&self) -> Vec<String> {
        let target = self.holder.id().to_string();
        let words = [
            "nsenter",
            "--preserve-credentials",
            "--user",
            "--mount",
            "--target",
        ];
        let mut prefix: Vec<String> = words.into_iter().map(str::to_owned).collect();
        prefix.push(target);
        prefix
    }

    fn give_space_back(&self, at: &Path) -> Result<(), String> {
        let prefix = self.prefix();
        let status = Command::new(&prefix[0])
            .args(&prefix[1..])
            .arg("rm")
            .arg(at.join("ballast"))
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("the ballast cannot be removed: {other:?}")),
        }
    }
}

/// What the client knows.
#[derive(Debug, Default)]
struct Known {
    acknowledged: Vec<u64>,
    refused: Vec<u64>,
}

/// Fills the disk, kills the server, starts it on the full disk, gives space back, kills again. Says
/// what was seen; an error is a broken promise.
pub(super) async fn run(setup: &ServerSetup, dir: &Path) -> Result<String, String> {
    std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let at = dir.join("disk");
    std::fs::create_dir_all(&at).map_err(|e| format!("{}: {e}", at.display()))?;
    let disk = match Disk::make(&at) {
        Ok(disk) => disk,
        Err(why) => {
            return Ok(format!(
                "full disk: left out, this machine does not allow it: {why}"
            ));
        }
    };
    let mut setup = setup.clone();
    setup.data_dir = at.join("data");
    setup.log = dir.join("server.log");
    setup.prefix = disk.prefix();
    let seen = on(&setup, &disk, &at).await;
    setup.remove_socket();
    seen.map_err(|what| format!("full disk: {what}"))
}

async fn on(setup: &ServerSetup, disk: &Disk, at: &Path) -> Result<String, String> {
    let (server, client) = start(setup).await?;
    let made = client.create_database(DATABASE, None).await;
    made.map_err(|e| format!("creating a database: {e}"))?;
    let database = client.database(DATABASE);
    let mut known = Known::default();
    fill(&database, &mut known).await?;
    let filled = known.acknowledged.len();
    check(&database, &known, "on the full disk").await?;
    server.kill().map_err(|e| e.to_string())?;

    let (server, client) = start(setup).await?;
    let database = client.database(DATABASE);
    check(&database, &known, "after a kill, on the full disk").await?;
    disk.give_space_back(at)?;
    resume(&database, &mut known).await?;
    server.kill().map_err(|e| e.to_string())?;

    let (server, client) = start(setup).await?;
    let database = client.database(DATABASE);
    check(&database, &known, "after there was space again").await?;
    server.stop().await.map_err(|e| e.to_string())?;
    Ok(format!(
        "full disk: {DISK_MIB} MiB took {filled} documents, then refused; everything acknowledged was \
         there while it was full, after a kill, and when there was space again"
    ))
}

async fn start(setup: &ServerSetup) -> Result<(Server, Client), String> {
    let (server, _) = setup.start().await.map_err(|e| e.to_string())?;
    let client = setup.connect().await.map_err(|e| e.to_string())?;
    Ok((server, client))
}

fn document(id: u64) -> bytes::Bytes {
    let stamp = Stamp {
        lane: LANE,
        sequence: id,
        fill_bytes: FILL_BYTES,
    };
    stamp.document()
}

/// Writes until the disk is full and stays so.
async fn fill(database: &Database, known: &mut Known) -> Result<(), String> {
    let collection = database.raw_collection(COLLECTION);
    let mut refusals = 0;
    for id in 0..DOCUMENTS_MAX {
        match collection.create(id, document(id)).await {
            Ok(_) => {
                known.acknowledged.push(id);
                refusals = 0;
            }
            Err(e) if e.kind() == ErrorKind::DiskFull || e.is_retryable() => {
                known.refused.push(id);
                refusals += 1;
                if refusals == REFUSALS {
                    return Ok(());
                }
            }
            Err(e) => return Err(format!("a write on a disk that fills up: {e}")),
        }
    }
    Err(format!(
        "{DOCUMENTS_MAX} documents found room on {DISK_MIB} MiB"
    ))
}

/// What was acknowledged is there, what was refused is not.
async fn check(database: &Database, known: &Known, when: &str) -> Result<(), String> {
    let collection = database.raw_collection(COLLECTION);
    for id in &known.acknowledged {
        let read = collection.get(*id).await;
        let read = read.map_err(|e| format!("{when}, document {id} was acknowledged: {e}"))?;
        if read.value != document(*id) {
            return Err(format!("{when}, document {id} is another"));
        }
    }
    for id in &known.refused {
        match collection.get_if_exists(*id).await {
            Ok(None) => {}
            Ok(Some(_)) => return Err(format!("{when}, document {id} is there and was refused")),
            Err(e) => return Err(format!("{when}, document {id}: {e}")),
        }
    }
    let count = collection
        .count()
        .await
        .map_err(|e| format!("{when}: {e}"))?;
    if count != known.acknowledged.len() as u64 {
        let wanted = known.acknowledged.len();
        return Err(format!(
            "{when}, the count is {count} for {wanted} documents"
        ));
    }
    Ok(())
}

/// Writes go on by themselves.
async fn resume(database: &Database, known: &mut Known) -> Result<(), String> {
    let collection = database.raw_collection(COLLECTION);
    let began = Instant::now();
    let mut id = DOCUMENTS_MAX;
    loop {
        match collection.create(id, document(id)).await {
            Ok(_) => break known.acknowledged.push(id),
            Err(e) if began.elapsed() > RESUMES_WITHIN => {
                let within = RESUMES_WITHIN.as_secs();
                return Err(format!("{within} s after there was space, a write: {e}"));
            }
            Err(e) if e.kind() == ErrorKind::DiskFull || e.is_retryable() => {
                known.refused.push(id);
                id += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(e) => return Err(format!("a write when there is space again: {e}")),
        }
    }
    Ok(())
}
