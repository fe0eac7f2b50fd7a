//! A document whose bytes on the disk are damaged, and what may be seen of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_engine::vfs;
use docdb_engine::vfs::sim::SimVfs;
use docdb_engine::{Db, Error, ErrorKind, ScanRequest};

use super::journal::{Journal, Loss};
use super::look::{Care, look, scan_of};
use super::print::{Print, document_print, name_print};
use super::state::State;

/// The current version of a document, of which every frame is damaged.
#[derive(Debug, Clone)]
pub struct Damaged {
    /// Its collection.
    pub collection: Arc<str>,
    /// Its id.
    pub id: u64,
    /// Its version.
    pub version: u64,
    /// Its bytes as they should be.
    pub body: Arc<[u8]>,
    /// Where they begin.
    places: Arc<[(PathBuf, u64)]>,
    /// It was told to be healed: from then on it must be read, whatever happens.
    pub is_healed: bool,
}

const BIT: u8 = 2;

impl Damaged {
    /// Damages the document with that number, in the order of names and ids, of those that lie in data
    /// files of the database in `dir`. Nothing if none does. It is no operation of the disk.
    ///
    /// # Errors
    /// None: the disk is simulated.
    pub fn inflict(
        disk: &SimVfs,
        dir: &Path,
        state: &State,
        nth: u64,
    ) -> vfs::Result<Option<Damaged>> {
        let of = |(name, collection)| {
            let collection: &super::Collection = collection;
            let documents = collection.documents.iter();
            documents.map(move |(id, (version, body))| (name, *id, *version, body))
        };
        let all: Vec<(&str, u64, u64, &Arc<[u8]>)> = state.collections().flat_map(of).collect();
        if all.is_empty() {
            return Ok(None);
        }
        let (name, id, version, body) = all[(nth % all.len() as u64) as usize];
        let mut places = Vec::new();
        for path in disk.files() {
            let file = path.file_name().and_then(|name| name.to_str());
            if path.parent() == Some(dir) && file.is_some_and(|name| name.starts_with("data-")) {
                let contents = disk.read_file(&path)?;
                let found = contents.windows(body.len()).enumerate();
                let found = found.filter(|(_, window)| *window == &**body);
                places.extend(found.map(|(at, _)| (path.clone(), at as u64)));
            }
        }
        let damaged = Damaged {
            collection: name.into(),
            id,
            version,
            body: Arc::clone(body),
            places: places.into(),
            is_healed: false,
        };
        for (path, at) in &*damaged.places {
            disk.flip_bit(path, at + damaged.middle(), BIT)?;
        }
        Ok((!damaged.places.is_empty()).then_some(damaged))
    }

    /// From now on it is told to be healed.
    #[must_use]
    pub fn healed(mut self) -> Damaged {
        self.is_healed = true;
        self
    }

    fn middle(&self) -> u64 {
        self.body.len() as u64 / 2
    }

    /// Takes the damage back where it still is, on this disk or a copy of it.
    ///
    /// # Errors
    /// None: the disk is simulated.
    pub fn undo(&self, disk: &SimVfs) -> vfs::Result<()> {
        let mut damaged = self.body.to_vec();
        damaged[self.middle() as usize] ^= 1 << BIT;
        let files = disk.files();
        for (path, at) in &*self.places {
            if !files.contains(path) {
                continue;
            }
            let contents = disk.read_file(path)?;
            let end = *at as usize + damaged.len();
            // The name may be another file's by now.
            if contents.get(*at as usize..end) == Some(&damaged[..]) {
                disk.flip_bit(path, at + self.middle(), BIT)?;
            }
        }
        Ok(())
    }

    /// Everything but this document, which is `Corrupt`, is as after some commit that was not lost, and
    /// the document is there in the version that is damaged; or all is as it was.
    ///
    /// # Errors
    /// What is broken, as a sentence.
    pub fn judge(&self, db: &Db, journal: &Journal, loss: Loss) -> Result<(), String> {
        if let Some(error) = self.corrupt(db) {
            return self.judge_others(&error, db, journal, loss);
        }
        match look(db, Care::EveryWay) {
            Ok(seen) => journal.judge(seen.print, loss).map(drop),
            // It was read from memory, and that has been given to others while they were looked at.
            Err(what) => match self.corrupt(db) {
                Some(error) => self.judge_others(&error, db, journal, loss),
                None => Err(what),
            },
        }
    }

    /// The error of whoever reads the document now, if it is `Corrupt`.
    fn corrupt(&self, db: &Db) -> Option<Error> {
        let read = db.read(&self.collection, self.id);
        read.err()
            .filter(|error| error.kind() == ErrorKind::Corrupt)
    }

    fn judge_others(
        &self,
        error: &Error,
        db: &Db,
        journal: &Journal,
        loss: Loss,
    ) -> Result<(), String> {
        if self.is_healed {
            let (name, id) = (&self.collection, self.id);
            return Err(format!(
                "{name}/{id} was healed, and is damaged again: {error}"
            ));
        }
        let seen = self.look_around(db)?;
        journal.judge_but(seen, self, loss)
    }

    /// The print of everything but this document.
    fn look_around(&self, db: &Db) -> Result<Print, String> {
        let mut print = Print::default();
        for info in db.collections().map_err(|e| format!("collections: {e}"))? {
            let name = &info.name;
            let wrong = |e: Error| {
                format!(
                    "{name}: {:?} though only {}/{} is damaged: {e}",
                    e.kind(),
                    self.collection,
                    self.id
                )
            };
            let range = |from, to| ScanRequest {
                collection: name.to_owned(),
                from,
                to,
                ..ScanRequest::default()
            };
            let is_its = **name == *self.collection;
            let mut ranges = Vec::new();
            if !is_its {
                ranges.push(range(None, None));
            } else {
                if !db.exists(name, self.id).map_err(wrong)? {
                    return Err(format!("{name}/{} is Corrupt and not there", self.id));
                }
                if let Some(to) = self.id.checked_sub(1) {
                    ranges.push(range(None, Some(to)));
                }
                if let Some(from) = self.id.checked_add(1) {
                    ranges.push(range(Some(from), None));
                }
            }
            let mut documents = u64::from(is_its);
            for range in ranges {
                for (id, found) in scan_of(db, &range, &mut 0).map_err(wrong)? {
                    let read = db.read(name, id).map_err(wrong)?;
                    if document_print(name, id, read.version, &read.body) != found {
                        return Err(format!("{name}/{id}: a scan and a read disagree"));
                    }
                    documents += 1;
                    print += found;
                }
            }
            let count = db.count(name).map_err(wrong)?;
            if count != documents {
                return Err(format!("{name}: counted {count}, scanned {documents}"));
            }
            print += name_print(name);
        }
        Ok(print)
    }
}
