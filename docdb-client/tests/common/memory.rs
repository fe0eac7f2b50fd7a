//! A whole server whose documents live in a map: what a client and the tool are tried against.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use docdb_ipc::{
    BatchMode, CollectionInfo, CreditWindow, DatabaseInfo, OpResult, Precondition, Request,
    RequestId, Response, Scan, ScanItem, WireError, WriteKind, WriteOp,
};
use docdb_types::{DEFAULT_COLLECTION, ErrorKind};

use super::{Handler, Peer};

type Answer<T> = Result<T, WireError>;

#[derive(Clone, Default)]
struct Collection {
    documents: BTreeMap<u64, (u64, Bytes)>,
    id_max: Option<u64>,
}

#[derive(Clone)]
struct Database {
    durability: String,
    version: u64,
    collections: BTreeMap<String, Collection>,
}

struct OpenScan {
    rest: Vec<ScanItem>,
    credit: CreditWindow,
    sent: u64,
    cursor: Option<Bytes>,
}

#[derive(Default)]
pub struct MemoryServer {
    databases: BTreeMap<String, Database>,
    scans: HashMap<(usize, RequestId), OpenScan>,
}

impl Handler for MemoryServer {
    fn request(&mut self, peer: &mut Peer, id: RequestId, request: Request) {
        match request {
            Request::Cancel => {
                if self.scans.remove(&(peer.number, id)).is_some() {
                    let error = WireError::new(ErrorKind::Cancelled, "cancelled");
                    peer.reply(id, Response::Error(error));
                }
            }
            Request::ScanCredit { bytes } => {
                if let Some(scan) = self.scans.get_mut(&(peer.number, id)) {
                    scan.credit
                        .grant(bytes)
                        .expect("the client keeps to the credit");
                    self.go_on(peer, id);
                }
            }
            Request::Scan(scan) => match self.open_scan(scan) {
                Ok(open) => {
                    self.scans.insert((peer.number, id), open);
                    self.go_on(peer, id);
                }
                Err(error) => peer.reply(id, Response::Error(error)),
            },
            request => {
                let response = self.answer(request).unwrap_or_else(Response::Error);
                peer.reply(id, response);
            }
        }
    }
}

impl MemoryServer {
    fn answer(&mut self, request: Request) -> Answer<Response> {
        Ok(match request {
            Request::Ping => Response::Pong,
            Request::ListDatabases => Response::Databases(
                (1..)
                    .zip(&self.databases)
                    .map(|(id, (name, database))| DatabaseInfo {
                        name: name.into(),
                        id,
                        durability: database.durability.as_str().into(),
                        open: true,
                    })
                    .collect(),
            ),
            Request::CreateDatabase { name, durability } => {
                docdb_types::check_database_name(&name)
                    .map_err(|error| WireError::new(ErrorKind::InvalidName, error.to_string()))?;
                if self.databases.contains_key(name.as_str()) {
                    return Err(WireError::new(ErrorKind::AlreadyExists, "database exists"));
                }
                let durability = durability.map_or("full".to_owned(), |mode| mode.to_string());
                let collections =
                    BTreeMap::from([(DEFAULT_COLLECTION.to_owned(), Collection::default())]);
                let database = Database {
                    durability,
                    version: 0,
                    collections,
                };
                self.databases.insert(name.to_string(), database);
                Response::Ok
            }
            Request::DropDatabase { name } => {
                self.database(&name)?;
                self.databases.remove(name.as_str());
                Response::Ok
            }
            Request::ListCollections { db } => Response::Collections(
                (1..)
                    .zip(&self.database(&db)?.collections)
                    .map(|(id, (name, collection))| CollectionInfo {
                        name: name.into(),
                        id,
                        documents: collection.documents.len() as u64,
                    })
                    .collect(),
            ),
            Request::CreateCollection { db, name } => {
                let collections = &mut self.database(&db)?.collections;
                if collections.contains_key(name.as_str()) {
                    return Err(WireError::new(
                        ErrorKind::AlreadyExists,
                        "collection exists",
                    ));
                }
                collections.insert(name.to_string(), Collection::default());
                Response::Ok
            }
            Request::DropCollection { db, name, force } => {
                let collection = self.collection(&db, &name)?;
                if !force && !collection.documents.is_empty() {
                    return Err(WireError::new(ErrorKind::NotEmpty, "it holds documents"));
                }
                self.database(&db)?.collections.remove(name.as_str());
                Response::Ok
            }
            Request::Read { db, collection, id } => {
                match self.collection(&db, &collection)?.documents.get(&id) {
                    Some((version, body)) => Response::Document {
                        version: *version,
                        body: body.clone(),
                    },
                    None => return Err(not_found(id)),
                }
            }
            Request::Exists { db, collection, id } => Response::Exists(
                self.collection(&db, &collection)?
                    .documents
                    .contains_key(&id),
            ),
            Request::Count { db, collection } => {
                Response::Count(self.collection(&db, &collection)?.documents.len() as u64)
            }
            Request::Write { db, op, .. } => {
                let database = self.database(&db)?;
                let version = database.version + 1;
                let id = database.write(&op, version)?;
                database.version = version;
                Response::Written { version, id }
            }
            Request::Batch { db, mode, ops, .. } => {
                let results = self.database(&db)?.batch(mode, &ops);
                Response::BatchDone { results }
            }
            Request::Checkpoint { db } => {
                self.database(&db)?;
                Response::Ok
            }
            Request::Compact { db } => {
                self.database(&db)?;
                Response::Compacted(docdb_ipc::Compacted::default())
            }
            Request::Stats { db: None } => {
                let json = format!("{{\"databases\":{}}}", self.databases.len());
                Response::Stats(json.into())
            }
            Request::Stats { db: Some(db) } => {
                let json = format!("{{\"transactions\":{}}}", self.database(&db)?.version);
                Response::Stats(json.into())
            }
            other => {
                let message = format!("{:?}", other.opcode());
                return Err(WireError::new(ErrorKind::Protocol, message));
            }
        })
    }

    fn database(&mut self, name: &str) -> Answer<&mut Database> {
        let message = format!("no database {name:?}");
        self.databases
            .get_mut(name)
            .ok_or_else(|| WireError::new(ErrorKind::DatabaseNotFound, message))
    }

    fn collection(&mut self, db: &str, name: &str) -> Answer<&mut Collection> {
        self.database(db)?.collection(name)
    }

    fn open_scan(&mut self, scan: Scan) -> Answer<OpenScan> {
        if scan.limit == Some(0) {
            return Err(WireError::new(ErrorKind::InvalidArgument, "limit is 0"));
        }
        let collection = self.collection(&scan.db, &scan.collection)?;
        let (mut from, mut to) = (scan.from.unwrap_or(0), scan.to.unwrap_or(u64::MAX));
        if let Some(cursor) = &scan.cursor {
            let last: u64 = std::str::from_utf8(cursor).unwrap().parse().unwrap();
            if scan.reverse {
                to = last - 1
            } else {
                from = last + 1
            }
        }
        let mut rest: Vec<ScanItem> = collection
            .documents
            .range(from..=to)
            .map(|(&id, (version, body))| ScanItem {
                id,
                version: *version,
                body: body.clone(),
            })
            .collect();
        if scan.reverse {
            rest.reverse();
        }
        let mut cursor = None;
        if let Some(limit) = scan.limit
            && limit < rest.len() as u64
        {
            rest.truncate(limit as usize);
            cursor = rest.last().map(|item| Bytes::from(item.id.to_string()));
        }
        rest.reverse();
        let credit = CreditWindow::new(scan.credit_bytes, u32::MAX).unwrap();
        Ok(OpenScan {
            rest,
            credit,
            sent: 0,
            cursor,
        })
    }

    fn go_on(&mut self, peer: &mut Peer, id: RequestId) {
        let Some(scan) = self.scans.get_mut(&(peer.number, id)) else {
            return;
        };
        let mut items = Vec::new();
        while scan.credit.is_open() && items.len() < 100 {
            let Some(item) = scan.rest.pop() else { break };
            scan.credit.charge(item.body.len());
            scan.sent += 1;
            items.push(item);
        }
        let all_sent = scan.rest.is_empty();
        let is_full = items.len() == 100;
        if !items.is_empty() {
            peer.reply(id, Response::ScanItems(items));
        }
        if all_sent {
            if let Some(scan) = self.scans.remove(&(peer.number, id)) {
                peer.reply(
                    id,
                    Response::ScanEnd {
                        cursor: scan.cursor,
                        items: scan.sent,
                    },
                );
            }
        } else if is_full {
            self.go_on(peer, id);
        }
    }
}

impl Database {
    fn collection(&mut self, name: &str) -> Answer<&mut Collection> {
        let message = format!("no collection {name:?}");
        self.collections
            .get_mut(name)
            .ok_or_else(|| WireError::new(ErrorKind::CollectionNotFound, message))
    }

    fn write(&mut self, op: &WriteOp, version: u64) -> Answer<u64> {
        if op.kind != WriteKind::Delete {
            serde_json::from_slice::<serde_json::Value>(&op.body)
                .map_err(|error| WireError::new(ErrorKind::InvalidJson, error.to_string()))?;
        }
        let collection = self.collection(&op.collection)?;
        let id = op
            .id
            .unwrap_or_else(|| collection.id_max.map_or(1, |id| id + 1));
        let found = collection.documents.get(&id).map(|(version, _)| *version);
        match (op.precondition, found) {
            (Precondition::VersionIs(wanted), Some(found)) if wanted != found => {
                let error = WireError::new(ErrorKind::VersionMismatch, format!("it is {found}"));
                return Err(error.with_version(found));
            }
            (Precondition::VersionIs(_), None) => {
                return Err(WireError::new(ErrorKind::VersionMismatch, "there is none"));
            }
            (Precondition::Absent, Some(found)) => {
                let error = WireError::new(ErrorKind::VersionMismatch, "there is one");
                return Err(error.with_version(found));
            }
            _ => {}
        }
        match (op.kind, found) {
            (WriteKind::Create, Some(_)) => {
                let message = format!("document {id} exists");
                return Err(WireError::new(ErrorKind::AlreadyExists, message));
            }
            (WriteKind::Update | WriteKind::Patch | WriteKind::Merge | WriteKind::Delete, None) => {
                return Err(not_found(id));
            }
            _ => {}
        }
        if op.kind == WriteKind::Delete {
            collection.documents.remove(&id);
        } else {
            let mut body = op.body.clone();
            if op.kind.is_edit() {
                // Not made: what was asked for takes the document's place.
                let asked = [op.kind.name().as_bytes(), &body].concat();
                let text = String::from_utf8_lossy(&asked).into_owned();
                body = serde_json::Value::from(text).to_string().into();
            }
            collection.documents.insert(id, (version, body));
        }
        collection.id_max = collection.id_max.max(Some(id));
        Ok(id)
    }

    fn batch(&mut self, mode: BatchMode, ops: &[WriteOp]) -> Vec<OpResult> {
        if mode == BatchMode::Independent {
            return ops
                .iter()
                .map(|op| {
                    let version = self.version + 1;
                    match self.write(op, version) {
                        Ok(id) => {
                            self.version = version;
                            OpResult::Ok { version, id }
                        }
                        Err(error) => OpResult::Err(error),
                    }
                })
                .collect();
        }
        let before = self.clone();
        let version = self.version + 1;
        let mut results = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            match self.write(op, version) {
                Ok(id) => results.push(OpResult::Ok { version, id }),
                Err(error) => {
                    *self = before;
                    let aborted = WireError::new(ErrorKind::Aborted, "another operation failed");
                    let mut all = vec![OpResult::Err(aborted); ops.len()];
                    all[index] = OpResult::Err(error.with_op_index(index as u32));
                    return all;
                }
            }
        }
        self.version = version;
        results
    }
}

fn not_found(id: u64) -> WireError {
    WireError::new(ErrorKind::NotFound, format!("no document {id}"))
}
