//! The command line: its words are fixed, scripts rely on them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use docdb_client::WriteOptions;

/// Where a server listens unless it was told otherwise.
pub(crate) const SOCKET_DEFAULT: &str = "/tmp/docdb.sock";

const AFTER_HELP: &str = "\
Exit codes: 0 ok; 1 error; 2 usage; 3 not found, conflict, already exists, or false; 4 cannot \
connect; 5 corruption. Errors go to stderr as `ERROR Kind: message`.

Example:
  docdb put demo _default 1 '{\"hello\":\"world\"}'
  docdb get demo _default 1";

/// Talks to a DocDB server.
#[derive(Debug, Parser)]
#[command(name = "docdb", version, about = "Talks to a DocDB server", after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// The server's socket
    #[arg(long, global = true, value_name = "PATH", env = "DOCDB_SOCKET",
          default_value = SOCKET_DEFAULT)]
    pub(crate) socket: PathBuf,

    /// The server's address as a URL (docdb+unix:///tmp/docdb.sock); goes before --socket
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,

    /// Print JSON, for machines
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Ask whether the server answers
    Ping,
    /// List databases, one name a line
    Databases,
    /// Create a database
    CreateDatabase {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
        /// When a commit is answered: full, always, interval(MS), os or memory(MS)
        #[arg(long, value_name = "MODE")]
        durability: Option<String>,
    },
    /// Drop a database with everything in it
    DropDatabase {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
    },
    /// List a database's collections: name, tab, number of documents
    Collections {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
    },
    /// Create a collection
    CreateCollection {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
        /// The collection
        #[arg(value_name = "COLL")]
        collection: String,
    },
    /// Drop a collection
    DropCollection {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
        /// The collection
        #[arg(value_name = "COLL")]
        collection: String,
        /// Drop it with the documents it holds
        #[arg(long)]
        force: bool,
    },
    /// Create a document; fails if it exists
    Create(PutArgs),
    /// Replace a document; fails if it does not exist
    Update(PutArgs),
    /// Create or replace a document
    Put(PutArgs),
    /// Change parts of a document; fails if it does not exist
    ///
    /// The changes are a list like [{"op":"set","path":"/address/city","value":"Paris"}]: "set",
    /// "delete" and "insert" at JSON pointers, all or none of them.
    Patch(EditArgs),
    /// Merge into a document; fails if it does not exist
    ///
    /// Members replace those of the document, objects are merged with objects, null deletes
    /// (RFC 7396).
    Merge(EditArgs),
    /// Create a document under a new id and print the id
    Insert {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
        /// The collection
        #[arg(value_name = "COLL")]
        collection: String,
        /// The document; - reads it from stdin, where one trailing newline is not part of it
        #[arg(value_name = "JSON|-", allow_negative_numbers = true)]
        body: String,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Print a document: its exact bytes and a newline
    Get(DocumentArgs),
    /// Delete a document; fails if it does not exist
    Del {
        #[command(flatten)]
        document: DocumentArgs,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Print whether a document exists: true (exit code 0) or false (exit code 3)
    Exists(DocumentArgs),
    /// Print how many documents a collection holds
    Count {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
        /// The collection
        #[arg(value_name = "COLL")]
        collection: String,
    },
    /// Print documents in the order of their ids: id, tab, document
    ///
    /// A newline, carriage return or tab between tokens of a document becomes a space, so that a
    /// document is a line. With --json each line is {"id","version","doc"}.
    Scan {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
        /// The collection
        #[arg(value_name = "COLL")]
        collection: String,
        /// Lowest id, inclusive
        #[arg(long, value_name = "N")]
        from: Option<u64>,
        /// Highest id, inclusive
        #[arg(long, value_name = "N")]
        to: Option<u64>,
        /// Most documents to print
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
        /// Highest id first
        #[arg(long)]
        reverse: bool,
    },
    /// Write all that a file says in one commit, or nothing
    ///
    /// Each line is an object: {"op","collection","id","doc"}, with "patch" in place of "doc" where "op"
    /// is patch or merge, without both where it is delete, and without "id" where it is insert; others
    /// are create, update and put. "collection" is _default if it is absent. With "if_version" the
    /// document must have this version, with "if_absent":true it must not exist.
    Apply {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
        /// The file; - reads stdin
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
    },
    /// Write documents from a file: NDJSON, or a JSON array
    ///
    /// A stream that starts with [ is an array, any other is NDJSON. The database and the
    /// collection are created if they do not exist. Without --id-field a line of export's shape,
    /// {"id","version","doc"}, keeps its id; other documents get new ids, in the order of the file.
    /// Documents are written in batches of at most 1,000, each one all or nothing. Import stops at
    /// the first error and says in which line it is and how many documents were written.
    Import {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
        /// The collection
        #[arg(value_name = "COLL")]
        collection: String,
        /// The file; - reads stdin
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        /// Take the id from this top-level field of each document, a whole number
        #[arg(long, value_name = "NAME")]
        id_field: Option<String>,
        /// Replace documents that exist instead of failing
        #[arg(long)]
        upsert: bool,
    },
    /// Write all documents of a collection as NDJSON of {"id","version","doc"}
    Export {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
        /// The collection
        #[arg(value_name = "COLL")]
        collection: String,
        /// The file to create or replace; - is stdout
        #[arg(value_name = "FILE|-", default_value = "-")]
        file: PathBuf,
    },
    /// Write a whole database as NDJSON, from one snapshot
    ///
    /// First a line {"collection"} for each collection, then {"collection","id","version","doc"} for
    /// each document.
    ExportDb {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
        /// The file to create or replace; - is stdout
        #[arg(value_name = "FILE|-", default_value = "-")]
        file: PathBuf,
    },
    /// Write the collections and documents of export-db's lines into a database
    ///
    /// The database and its collections are created if they do not exist. Documents keep their ids
    /// and their bytes; their versions are new. Import stops at the first error, a document that
    /// exists among them, and says in which line it is and how many documents were written.
    ImportDb {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
        /// The file; - reads stdin
        #[arg(value_name = "FILE|-", default_value = "-")]
        file: PathBuf,
        /// Replace documents that exist instead of failing
        #[arg(long)]
        upsert: bool,
    },
    /// Back databases up into a directory on the server's host, while they are in use
    ///
    /// DIR is a directory of its own; the one that it is in must exist. Where an earlier backup is,
    /// only what is new is copied, and that one stands until the new one is complete, durable and
    /// verified. docdb-server restore makes a data directory of it.
    Backup {
        /// The directory; one that is not absolute is taken from here
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// The databases; all without
        #[arg(value_name = "DB")]
        databases: Vec<String>,
        /// Copy and read back at most so many bytes in a second
        #[arg(long, value_name = "BYTES")]
        bytes_per_second: Option<u64>,
    },
    /// Print statistics of the server, or of one database
    Stats {
        /// The database
        #[arg(value_name = "DB")]
        db: Option<String>,
    },
    /// Print the memory of the open databases by part
    Mem,
    /// Print figures of a database's log
    Wal {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
    },
    /// Take a checkpoint of a database
    Checkpoint {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
    },
    /// Give back the space of documents that were deleted or replaced
    Compact {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
    },
    /// Verify a document, and restore it if it is damaged
    Heal(DocumentArgs),
    /// Verify all of a database, and restore what is damaged
    HealAll {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
    },
    /// Print what healing has found and done in a database
    HealStats {
        /// The database
        #[arg(value_name = "DB")]
        db: String,
    },
    /// Type commands; .help lists them
    Shell {
        /// Open this database first
        #[arg(value_name = "DB")]
        db: Option<String>,
    },
}

/// One document.
#[derive(Debug, Args)]
pub(crate) struct DocumentArgs {
    /// The database
    #[arg(value_name = "DB")]
    pub(crate) db: String,
    /// The collection
    #[arg(value_name = "COLL")]
    pub(crate) collection: String,
    /// The document's id, 0 to 2^64 - 1
    #[arg(value_name = "ID")]
    pub(crate) id: u64,
}

/// One document and its new text.
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    #[command(flatten)]
    pub(crate) document: DocumentArgs,
    /// The document; - reads it from stdin, where one trailing newline is not part of it
    #[arg(value_name = "JSON|-", allow_negative_numbers = true)]
    pub(crate) body: String,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// One document and what to change in it.
#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    #[command(flatten)]
    pub(crate) document: DocumentArgs,
    /// What to change; - reads it from stdin, where one trailing newline is not part of it
    #[arg(value_name = "JSON|-", allow_negative_numbers = true)]
    pub(crate) patch: String,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// What every write takes.
#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    /// Write only if the document's version is N
    #[arg(long, value_name = "N", conflicts_with = "if_absent")]
    if_version: Option<u64>,
    /// Write only if there is no such document
    #[arg(long)]
    if_absent: bool,
    /// Answer this write only when it is this safe: full, always, interval(MS), os or memory(MS)
    #[arg(long, value_name = "MODE")]
    durability: Option<String>,
}

impl WriteArgs {
    pub(crate) fn options(&self) -> WriteOptions {
        let mut options = WriteOptions::new();
        if let Some(version) = self.if_version {
            options = options.if_version(version);
        }
        if self.if_absent {
            options = options.if_absent();
        }
        match &self.durability {
            Some(mode) => options.durability(mode),
            None => options,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"docdb").chain(line))
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_parses() {
        for line in [
            "ping",
            "databases",
            "create-database d",
            "create-database d --durability interval(50)",
            "drop-database d",
            "collections d",
            "create-collection d c",
            "drop-collection d c",
            "drop-collection d c --force",
            "create d c 1 {}",
            "update d c 18446744073709551615 - --if-version 3",
            "put d c 1 --if-absent --durability always {}",
            "patch d c 1 [] --if-version 3",
            "merge d c 1 - --durability full",
            "apply d -",
            "insert d c -",
            "get d c 0",
            "del d c 1 --if-version 4",
            "exists d c 1",
            "count d c",
            "scan d c --from 1 --to 5 --limit 2 --reverse",
            "import d c - --id-field id --upsert",
            "export d c",
            "export d c file",
            "export-db d",
            "export-db d file",
            "import-db d -",
            "import-db d file --upsert",
            "backup /dir",
            "backup /dir a b --bytes-per-second 1000",
            "stats",
            "stats d",
            "mem",
            "wal d",
            "checkpoint d",
            "compact d",
            "heal d c 7",
            "heal-all d",
            "heal-stats d",
            "shell",
            "--json --socket /s ping",
            "ping --json --url docdb+unix:///s",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert!(parse(&words).is_ok(), "{line}: {:?}", parse(&words).err());
        }
    }

    #[test]
    fn wrong_usage_is_refused_with_2() {
        for line in [
            "nonsense",
            "get d c x",
            "get d c -1",
            "get d c 18446744073709551616",
            "get d c",
            "put d c 1 {} --if-version 1 --if-absent",
            "scan d c --limit many",
            "drop-database",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(parse(&words).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn payloads_are_taken_as_typed() {
        for payload in ["-5", "-1.5e3", " {\"a\" : 1}\n", "\"--json\"", "-"] {
            let cli = parse(&["put", "d", "c", "1", payload, "--if-version", "7"]).unwrap();
            let Verb::Put(args) = cli.verb else {
                panic!("{:?}", cli.verb)
            };
            assert_eq!(args.body, payload);
            assert_eq!(args.write.options(), WriteOptions::new().if_version(7));
        }
    }
}
