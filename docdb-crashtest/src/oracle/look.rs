//! Looking at a database in every way there is.

use docdb_engine::{Db, Error, ErrorKind, ScanRequest};

use super::print::{Print, document_print, name_print};

/// How closely a database is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Care {
    /// Everything is scanned once, and counted.
    Once,
    /// Also backward, and every document is read by its id.
    EveryWay,
    /// Also the space that data files take is counted from the index.
    WithSpace,
}

/// What a database shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// The hash of it.
    pub print: Print,
    /// Documents of all collections.
    pub documents: u64,
    /// The highest version of all documents.
    pub version: u64,
}

const CHUNK: usize = 64;
const CHUNK_BYTES: usize = 1 << 20;

/// Looks at everything. Scans in both directions, counts, point reads and the list of collections must
/// agree, or that is the error.
///
/// # Errors
/// A sentence that says what disagrees or cannot be read.
pub fn look(db: &Db, care: Care) -> Result<Seen, String> {
    let mut seen = Seen::default();
    for info in db.collections().map_err(|e| format!("collections: {e}"))? {
        let name = &info.name;
        let wrong = |e: Error| format!("{name}: {:?}: {e}", e.kind());
        let forward = scan(db, name, false, &mut seen.version).map_err(wrong)?;
        let documents = forward.len() as u64;
        let count = db.count(name).map_err(wrong)?;
        if count != documents || count != info.documents {
            return Err(format!(
                "{name}: counted {count}, listed {}, scanned {documents}",
                info.documents
            ));
        }
        if !forward.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(format!("{name}: a scan is out of order"));
        }
        if care >= Care::EveryWay {
            let mut backward = scan(db, name, true, &mut 0).map_err(wrong)?;
            backward.reverse();
            if forward != backward {
                return Err(format!(
                    "{name}: forward {:?}, backward {:?}",
                    ids(&forward),
                    ids(&backward)
                ));
            }
            for (id, print) in &forward {
                let read = db.read(name, *id).map_err(wrong)?;
                if document_print(name, *id, read.version, &read.body) != *print {
                    return Err(format!("{name}/{id}: a scan and a read disagree"));
                }
            }
            // Beside what is there, and what was there before a deletion.
            let last = forward.last().map_or(0, |(id, _)| *id);
            for id in 0..last.min(64).saturating_add(3) {
                let exists = db.exists(name, id).map_err(wrong)?;
                if exists != forward.binary_search_by_key(&id, |(id, _)| *id).is_ok() {
                    return Err(format!("{name}/{id}: exists is {exists}"));
                }
            }
        }
        seen.documents += documents;
        seen.print += name_print(name);
        for (_, print) in forward {
            seen.print += print;
        }
    }
    if care >= Care::WithSpace {
        check_space(db)?;
    }
    Ok(seen)
}

fn ids(found: &[(u64, Print)]) -> Vec<u64> {
    found.iter().map(|(id, _)| *id).collect()
}

fn scan(db: &Db, name: &str, reverse: bool, version: &mut u64) -> Result<Vec<(u64, Print)>, Error> {
    let request = ScanRequest {
        collection: name.to_owned(),
        reverse,
        ..ScanRequest::default()
    };
    scan_of(db, &request, version)
}

/// What a scan shows, and the highest version of it.
pub(super) fn scan_of(
    db: &Db,
    request: &ScanRequest,
    version: &mut u64,
) -> Result<Vec<(u64, Print)>, Error> {
    let name = &request.collection;
    let mut scan = db.scan(request)?;
    let mut found = Vec::new();
    loop {
        let chunk = scan.next_chunk(CHUNK, CHUNK_BYTES)?;
        if chunk.is_empty() {
            return Ok(found);
        }
        for item in chunk {
            *version = item.version.max(*version);
            let print = document_print(name, item.id, item.version, &item.body);
            found.push((item.id, print));
        }
    }
}

/// The count of live bytes that the manifest keeps is exact.
///
/// # Errors
/// A sentence that names the file.
pub fn check_space(db: &Db) -> Result<(), String> {
    for file in db.space().map_err(|e| format!("space: {e}"))? {
        if file.live_bytes != file.referenced_bytes || file.bytes < file.live_bytes {
            return Err(format!("the space is not as it is counted: {file:?}"));
        }
    }
    Ok(())
}

/// Does all the maintenance that is due now.
///
/// # Errors
/// Those of [`Db::maintenance_step`]; `Internal` if it has no end.
pub fn settle(db: &Db) -> Result<(), Error> {
    for _ in 0..1_000 {
        if !db.maintenance_step()? {
            return Ok(());
        }
    }
    let text = format!("maintenance has no end: {:?}", db.stats());
    Err(Error::new(ErrorKind::Internal, text))
}

/// All of it for people: one line a document.
pub fn show(db: &Db) -> Vec<String> {
    let mut lines = Vec::new();
    for info in db.collections().unwrap_or_default() {
        lines.push(format!("{} with {} documents", info.name, info.documents));
        let request = ScanRequest {
            collection: info.name.clone(),
            ..ScanRequest::default()
        };
        let Ok(mut scan) = db.scan(&request) else {
            continue;
        };
        while let Ok(chunk) = scan.next_chunk(CHUNK, CHUNK_BYTES)
            && !chunk.is_empty()
        {
            for item in chunk {
                let body = String::from_utf8_lossy(&item.body);
                let (id, version) = (item.id, item.version);
                lines.push(format!("{}/{id} version {version} {body:.60}", info.name));
            }
        }
    }
    lines
}
