//! What the shell remembers between commands, and how it runs them.

use std::collections::VecDeque;

use docdb_client::{Client, DEFAULT_COLLECTION, Database, ErrorKind, RawCollection};

use super::command::{Command, help, parse};
use crate::failure::Failure;
use crate::json_text::pretty;
use crate::verbs::{ensure_database, figures};

/// Commands that `.history` remembers.
const HISTORY_MAX: usize = 1_000;

pub(super) struct Session {
    client: Client,
    open: Option<Place>,
    pretty: bool,
    history: VecDeque<String>,
}

struct Place {
    database: Database,
    collection: RawCollection,
}

/// What a command answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The line was empty.
    Nothing,
    /// `OK`, details on the same line, and text after it.
    Ok {
        details: String,
        text: Vec<u8>,
    },
    Exit,
}

impl Session {
    pub(super) fn new(client: Client) -> Self {
        Session {
            client,
            open: None,
            pretty: false,
            history: VecDeque::new(),
        }
    }

    /// What stands before the cursor.
    pub(super) fn prompt(&self) -> String {
        match &self.open {
            Some(place) => format!("{}/{}> ", place.database.name(), place.collection.name()),
            None => "docdb> ".to_owned(),
        }
    }

    /// Opens a database, created if it does not exist.
    pub(super) async fn open(&mut self, db: &str) -> Result<(), Failure> {
        ensure_database(&self.client, db).await?;
        let database = self.client.database(db);
        let collection = database.raw_collection(DEFAULT_COLLECTION);
        self.open = Some(Place {
            database,
            collection,
        });
        Ok(())
    }

    pub(super) async fn run(&mut self, line: &str) -> Result<Reply, Failure> {
        if !line.trim().is_empty() {
            if self.history.len() == HISTORY_MAX {
                self.history.pop_front();
            }
            self.history.push_back(line.to_owned());
        }
        let Some(command) = parse(line)? else {
            return Ok(Reply::Nothing);
        };
        match command {
            Command::Open(db) => {
                self.open(db).await?;
                Ok(ok(db))
            }
            Command::Use(name) => {
                let database = &self.place()?.database;
                let collection = database.raw_collection(name);
                // Says so now if there is no such collection.
                collection.count().await?;
                self.open = Some(Place {
                    database: database.clone(),
                    collection,
                });
                Ok(ok(name))
            }
            Command::Close => {
                self.place()?;
                self.open = None;
                Ok(ok(""))
            }
            Command::Create { id, json } => {
                let written = self
                    .collection_to_write()
                    .await?
                    .create(id, json.to_owned())
                    .await?;
                Ok(ok(format!("id={id} version={}", written.version)))
            }
            Command::Read { id } => {
                let document = self.place()?.collection.get(id).await?;
                let text = &document.value;
                let text = if self.pretty {
                    pretty(text)
                } else {
                    text.to_vec()
                };
                Ok(with_text(format!("version={}", document.version), text))
            }
            Command::Update { id, json } => {
                let written = self
                    .collection_to_write()
                    .await?
                    .update(id, json.to_owned())
                    .await?;
                Ok(ok(format!("id={id} version={}", written.version)))
            }
            Command::Patch { id, json } => {
                let written = self
                    .collection_to_write()
                    .await?
                    .patch(id, json.to_owned())
                    .await?;
                Ok(ok(format!("id={id} version={}", written.version)))
            }
            Command::Delete { id } => {
                let written = self.collection_to_write().await?.delete(id).await?;
                Ok(ok(format!("id={id} version={}", written.version)))
            }
            Command::Collections => {
                let list = self.place()?.database.collections().await?;
                let lines: Vec<String> = list
                    .iter()
                    .map(|info| format!("{}\t{}", info.name, info.documents))
                    .collect();
                Ok(with_text(
                    format!("collections={}", list.len()),
                    lines.join("\n"),
                ))
            }
            Command::CreateCollection(name) => {
                self.place()?.database.create_collection(name).await?;
                Ok(ok(name))
            }
            Command::DropCollection { name, force } => {
                let place = self.place()?;
                place.database.drop_collection(name, force).await?;
                if place.collection.name() == name {
                    let database = place.database.clone();
                    let collection = database.raw_collection(DEFAULT_COLLECTION);
                    self.open = Some(Place {
                        database,
                        collection,
                    });
                }
                Ok(ok(name))
            }
            Command::Ls => {
                let list = self.client.databases().await?;
                let names: Vec<&str> = list.iter().map(|info| info.name.as_str()).collect();
                Ok(with_text(
                    format!("databases={}", names.len()),
                    names.join("\n"),
                ))
            }
            Command::Pwd => Ok(ok(match &self.open {
                Some(place) => format!("{}/{}", place.database.name(), place.collection.name()),
                None => String::new(),
            })),
            Command::Stats(db) => {
                let stats = match db {
                    Some(db) => self.client.database(db).stats().await?,
                    None => self.client.stats().await?,
                };
                Ok(with_text("", format!("{stats:#}")))
            }
            Command::Mem => {
                let stats = self.client.stats().await?;
                let memory = stats.get("memory").cloned().unwrap_or_default();
                Ok(with_text("", figures::memory_table(&memory)))
            }
            Command::Wal(db) => {
                let stats = match db {
                    Some(db) => self.client.database(db).stats().await?,
                    None => self.place()?.database.stats().await?,
                };
                let wal = stats.get("wal").cloned().unwrap_or_default();
                Ok(with_text("", figures::list(&wal)))
            }
            Command::Pretty(wanted) => {
                self.pretty = wanted.unwrap_or(!self.pretty);
                Ok(ok(if self.pretty {
                    "pretty=on"
                } else {
                    "pretty=off"
                }))
            }
            Command::History => {
                let lines: Vec<&str> = self.history.iter().map(String::as_str).collect();
                Ok(with_text(
                    format!("commands={}", lines.len()),
                    lines.join("\n"),
                ))
            }
            Command::Help => Ok(with_text("", help())),
            Command::Exit => Ok(Reply::Exit),
        }
    }

    /// The collection, on a connection that was just seen to work. Between commands nobody notices
    /// that a connection breaks, and a write on a broken one would have an unknown outcome.
    async fn collection_to_write(&self) -> Result<&RawCollection, Failure> {
        let place = self.place()?;
        self.client.ping().await?;
        Ok(&place.collection)
    }

    fn place(&self) -> Result<&Place, Failure> {
        self.open.as_ref().ok_or_else(|| {
            Failure::new(
                ErrorKind::InvalidArgument,
                "no database is open; .open DB opens one",
            )
        })
    }
}

fn ok(details: impl Into<String>) -> Reply {
    with_text(details, Vec::new())
}

fn with_text(details: impl Into<String>, text: impl Into<Vec<u8>>) -> Reply {
    Reply::Ok {
        details: details.into(),
        text: text.into(),
    }
}
