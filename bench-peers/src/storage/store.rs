//! What the stores have in common.

use std::path::Path;

use docdb_bench_peers::measure::{Failure, Sample};
use serde::{Deserialize, Serialize};

use crate::peers::{docdb, fjall, lmdb, redb, sled, sqlite};

/// When a commit returns. What that means in a store's own words is its [`Subject::durability`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// When it survives power loss.
    Synced,
    /// When it survives the end of the process.
    Os,
    /// When it is visible to readers.
    Memory,
    /// As fast as the store allows; [`Store::settle`] makes it durable.
    Load,
}

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    pub mode: Mode,
    /// The bytes that it may keep in memory to read from; `None` for its default.
    pub cache_bytes: Option<u64>,
    /// What it does of itself now and then (checkpoints, compaction) is put off.
    pub undisturbed: bool,
}

/// A document and its id.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    pub id: u64,
    pub body: Vec<u8>,
}

/// A store that is open.
pub trait Store: Sync {
    /// What one thread writes with.
    fn writer(&self) -> Result<Box<dyn Writer + '_>, Failure>;

    /// What one thread reads with.
    fn reader(&self) -> Result<Box<dyn Reader + '_>, Failure>;

    /// Makes everything durable and returns when the work in the background is done.
    fn settle(&self) -> Result<(), Failure>;

    /// Does once, now, what the store else does of itself in the background.
    fn maintain(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Closes the store, if there is more to it than dropping it.
    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }

    /// Adds what only this store can tell of its opening.
    fn tell_opening(&self, _: &mut Sample) {}

    /// The same of its writing.
    fn tell_writing(&self, _: &mut Sample) {}

    /// One task with so many commits in flight, which it awaits in their order; `None` if commits
    /// cannot be awaited.
    fn awaiter(&self) -> Option<&dyn Awaiter> {
        None
    }
}

pub trait Writer {
    /// Writes all of these in one atomic commit, replacing what has the same id, and returns when the
    /// commit has got as far as the mode asks for.
    fn commit(&mut self, entries: &[Entry]) -> Result<(), Failure>;
}

pub trait Reader {
    /// Reads from now on what is newest now.
    fn renew(&mut self) -> Result<(), Failure>;

    /// Copies the document with this id to the end of `body`, and says whether there is one.
    fn read(&mut self, id: u64, body: &mut Vec<u8>) -> Result<bool, Failure>;

    /// Gives every document out, in the order of the keys.
    fn scan(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure>;
}

/// A ticket of a commit that can be awaited.
pub type Ticket = std::pin::Pin<Box<dyn Future<Output = Result<(), Failure>>>>;

pub trait Awaiter {
    fn submit(&self, entry: &Entry) -> Ticket;
}

type Open = fn(&Path, Config) -> Result<Box<dyn Store>, Failure>;

/// A store that can be measured.
pub struct Subject {
    pub name: &'static str,
    /// Its version and settings, for people.
    pub settings: &'static str,
    /// What the store calls a mode; `None` if it has nothing like it.
    pub durability: fn(Mode) -> Option<&'static str>,
    /// Opens the store in a directory, creating it if the directory is empty.
    pub open: Open,
}

/// The name of what does the same work bare.
pub const DEVICE: &str = "device";

pub const SUBJECTS: &[Subject] = &[
    docdb::SUBJECT,
    redb::SUBJECT,
    fjall::SUBJECT,
    lmdb::SUBJECT,
    sqlite::SUBJECT,
    sled::SUBJECT,
];

pub fn subject(name: &str) -> Result<&'static Subject, Failure> {
    let found = SUBJECTS.iter().find(|subject| subject.name == name);
    found.ok_or_else(|| format!("there is no subject {name}").into())
}

/// The sum of a document's bytes, for which each of them must be read.
pub fn digest(body: &[u8]) -> u64 {
    body.iter().map(|byte| u64::from(*byte)).sum()
}
