//! What the shell remembers between commands, and how it runs them.

use std::collections::VecDeque;
use std::time::Duration;

use docdb_client::{
    Client, DEFAULT_COLLECTION, Database, ErrorKind, RawCollection, Transaction, TransactionOptions,
};

use super::command::{Command, help, parse};
use crate::failure::Failure;
use crate::json_text::pretty;
use crate::verbs::{ensure_database, figures, heal};

/// Commands that `.history` remembers.
const HISTORY_MAX: usize = 1_000;
/// People type slowly; it is the most that a server allows.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Session {
    client: Client,
    open: Option<Place>,
    pretty: bool,
    history: VecDeque<String>,
}

struct Place {
    database: Database,
    /// In the transaction, while there is one.
    collection: RawCollection,
    transaction: Option<Transaction>,
}

impl Place {
    fn new(database: Database) -> Place {
        Place {
            collection: database.raw_collection(DEFAULT_COLLECTION),
            database,
            transaction: None,
        }
    }

    fn raw_collection(&self, name: &str) -> RawCollection {
        match &self.transaction {
            Some(transaction) => transaction.raw_collection(name),
            None => self.database.raw_collection(name),
        }
    }

    /// Begins, or ends, working in a transaction; gives the one before.
    fn work_in(&mut self, transaction: Option<Transaction>) -> Option<Transaction> {
        let before = std::mem::replace(&mut self.transaction, transaction);
        self.collection = self.raw_collection(self.collection.name());
        before
    }

    /// The transaction, which is left.
    fn leave(&mut self) -> Result<Transaction, Failure> {
        self.work_in(None)
            .ok_or_else(|| invalid("no transaction is open; .begin begins one"))
    }
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
            Some(place) => {
                let mark = if place.transaction.is_some() { "*" } else { "" };
                let (database, collection) = (place.database.name(), place.collection.name());
                format!("{database}/{collection}{mark}> ")
            }
            None => "docdb> ".to_owned(),
        }
    }

    /// Opens a database, created if it does not exist.
    pub(super) async fn open(&mut self, db: &str) -> Result<(), Failure> {
        ensure_database(&self.client, db).await?;
        self.open = Some(Place::new(self.client.database(db)));
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
                self.check_no_transaction()?;
                self.open(db).await?;
                Ok(ok(db))
            }
            Command::Use(name) => {
                let collection = self.place()?.raw_collection(name);
                // Says so now if there is no such collection.
                collection.count().await?;
                self.place_mut()?.collection = collection;
                Ok(ok(name))
            }
            Command::Close => {
                self.place()?;
                self.check_no_transaction()?;
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
                let place = self.place()?;
                let list = match &place.transaction {
                    Some(transaction) => transaction.collections().await?,
                    None => place.database.collections().await?,
                };
                let lines: Vec<String> = list
                    .iter()
                    .map(|info| format!("{}\t{}", info.name, info.documents))
                    .collect();
                Ok(with_text(
                    format!("collections={}", list.len()),
                    lines.join("\n"),
                ))
            }
            Command::Begin { serializable } => {
                self.check_no_transaction()?;
                let options = TransactionOptions::new().timeout(TRANSACTION_TIMEOUT);
                let options = match serializable {
                    true => options.serializable(),
                    false => options,
                };
                let transaction = self.place()?.database.begin(options).await?;
                let version = transaction.version();
                self.place_mut()?.work_in(Some(transaction));
                Ok(ok(format!("version={version}")))
            }
            Command::Commit => {
                let transaction = self.place_mut()?.leave()?;
                let version = transaction.commit().await?;
                Ok(ok(format!("version={version}")))
            }
            Command::Rollback => {
                let transaction = self.place_mut()?.leave()?;
                transaction.rollback().await?;
                Ok(ok(""))
            }
            Command::CreateCollection(name) => {
                self.place()?.database.create_collection(name).await?;
                Ok(ok(name))
            }
            Command::DropCollection { name, force } => {
                let place = self.place_mut()?;
                place.database.drop_collection(name, force).await?;
                if place.collection.name() == name {
                    place.collection = place.raw_collection(DEFAULT_COLLECTION);
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
            Command::Heal { id } => {
                let place = self.place()?;
                let name = place.collection.name();
                Ok(ok(heal::word(place.database.heal(name, id).await?)?))
            }
            Command::HealAll(db) => {
                let report = match db {
                    Some(db) => self.client.database(db).heal_all().await?,
                    None => self.place()?.database.heal_all().await?,
                };
                match heal::unhealed(&report) {
                    None => Ok(with_text(
                        heal::summary(&report),
                        heal::damage(&report).join("\n"),
                    )),
                    Some(failure) => Err(failure.map_message(|message| {
                        let damage = heal::damage(&report).join("; ");
                        format!("{message}: {} {damage}", heal::summary(&report))
                    })),
                }
            }
            Command::HealStats(db) => {
                let stats = match db {
                    Some(db) => self.client.database(db).heal_stats().await?,
                    None => self.place()?.database.heal_stats().await?,
                };
                Ok(with_text("", figures::list(&stats)))
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
        self.open.as_ref().ok_or_else(nothing_open)
    }

    fn place_mut(&mut self) -> Result<&mut Place, Failure> {
        self.open.as_mut().ok_or_else(nothing_open)
    }

    fn check_no_transaction(&self) -> Result<(), Failure> {
        match &self.open {
            Some(place) if place.transaction.is_some() => Err(invalid(
                "a transaction is open; .commit or .rollback ends it",
            )),
            _ => Ok(()),
        }
    }
}

fn nothing_open() -> Failure {
    invalid("no database is open; .open DB opens one")
}

fn invalid(message: &str) -> Failure {
    Failure::new(ErrorKind::InvalidArgument, message)
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
