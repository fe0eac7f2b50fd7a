//! The one list of frame types.

use std::fmt;

macro_rules! opcodes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// The type of a frame. Codes are stable; 0x80 and above are a server's answers.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Opcode { $($(#[$doc])* $name = $code,)* }

        impl Opcode {
            /// Every opcode, in the order of the codes.
            pub const ALL: &'static [Opcode] = &[$(Opcode::$name),*];

            /// The opcode's stable number.
            pub fn code(self) -> u8 { self as u8 }

            /// The opcode with that number.
            pub fn from_code(code: u8) -> Option<Opcode> {
                match code { $($code => Some(Opcode::$name),)* _ => None }
            }

            /// The opcode's name, as in docs, logs and metrics.
            pub fn name(self) -> &'static str {
                match self { $(Opcode::$name => $text,)* }
            }
        }
    };
}

opcodes! {
    /// A client's first frame.
    Hello = 0x01, "hello";
    /// Asks for [`Opcode::Pong`].
    Ping = 0x02, "ping";
    /// Gives up on the request with the same id.
    Cancel = 0x03, "cancel";
    /// Lets the scan with the same id send more.
    ScanCredit = 0x04, "scan_credit";
    /// Lists databases.
    ListDatabases = 0x10, "list_databases";
    /// Creates a database.
    CreateDatabase = 0x11, "create_database";
    /// Drops a database.
    DropDatabase = 0x12, "drop_database";
    /// Lists a database's collections.
    ListCollections = 0x18, "list_collections";
    /// Creates a collection.
    CreateCollection = 0x19, "create_collection";
    /// Drops a collection.
    DropCollection = 0x1A, "drop_collection";
    /// Reads a document.
    Read = 0x20, "read";
    /// Asks whether a document exists.
    Exists = 0x21, "exists";
    /// Counts a collection's documents.
    Count = 0x22, "count";
    /// Streams a collection's documents in the order of their ids.
    Scan = 0x23, "scan";
    /// Writes one document.
    Write = 0x30, "write";
    /// Writes many documents.
    Batch = 0x31, "batch";
    /// Deletes what a range of a collection holds.
    DeleteRange = 0x32, "delete_range";
    /// Begins a transaction.
    Begin = 0x40, "begin";
    /// Commits a transaction.
    Commit = 0x41, "commit";
    /// Ends a transaction without a commit.
    Rollback = 0x42, "rollback";
    /// Opens a snapshot.
    OpenSnapshot = 0x43, "open_snapshot";
    /// Closes a snapshot.
    CloseSnapshot = 0x44, "close_snapshot";
    /// Reads a document in a transaction or snapshot.
    ReadIn = 0x48, "read_in";
    /// Asks whether a document exists in a transaction or snapshot.
    ExistsIn = 0x49, "exists_in";
    /// Counts a collection's documents in a transaction or snapshot.
    CountIn = 0x4A, "count_in";
    /// Streams a collection's documents in a transaction or snapshot.
    ScanIn = 0x4B, "scan_in";
    /// Lists the collections in a transaction or snapshot.
    ListCollectionsIn = 0x4C, "list_collections_in";
    /// Writes one document in a transaction.
    WriteIn = 0x4D, "write_in";
    /// Takes a checkpoint.
    Checkpoint = 0x50, "checkpoint";
    /// Gives back the space of what was deleted or replaced.
    Compact = 0x51, "compact";
    /// Verifies a document, and restores it if it is damaged.
    Heal = 0x52, "heal";
    /// Verifies all of a database, and restores what is damaged.
    HealAll = 0x53, "heal_all";
    /// Asks what healing has found and done.
    HealStats = 0x54, "heal_stats";
    /// Backs databases up.
    Backup = 0x58, "backup";
    /// Asks for statistics.
    Stats = 0x60, "stats";

    /// The request failed.
    Error = 0x80, "error";
    /// The server's answer to [`Opcode::Hello`].
    Welcome = 0x81, "welcome";
    /// The answer to [`Opcode::Ping`].
    Pong = 0x82, "pong";
    /// The request succeeded and has nothing else to say.
    Ok = 0x83, "ok";
    /// The databases.
    Databases = 0x90, "databases";
    /// The collections.
    Collections = 0x98, "collections";
    /// A document.
    Document = 0xA0, "document";
    /// Whether the document exists.
    ExistsAnswer = 0xA1, "exists_answer";
    /// The number of documents.
    CountAnswer = 0xA2, "count_answer";
    /// Some of a scan's documents; more frames follow.
    ScanItems = 0xA3, "scan_items";
    /// The end of a scan.
    ScanEnd = 0xA4, "scan_end";
    /// A document was written.
    Written = 0xB0, "written";
    /// The results of a batch.
    BatchDone = 0xB1, "batch_done";
    /// What a range's deletion has done.
    RangeDeleted = 0xB2, "range_deleted";
    /// A transaction or snapshot is open.
    Opened = 0xC0, "opened";
    /// A transaction is committed.
    Committed = 0xC1, "committed";
    /// What a compaction has done.
    Compacted = 0xD1, "compacted";
    /// What became of a document that was to be healed.
    Healed = 0xD2, "healed";
    /// What the healing of a database found and did.
    HealedAll = 0xD3, "healed_all";
    /// What healing has found and done.
    HealStatsAnswer = 0xD4, "heal_stats_answer";
    /// What was backed up.
    BackedUp = 0xD8, "backed_up";
    /// Statistics.
    StatsAnswer = 0xE0, "stats_answer";
}

impl Opcode {
    /// Whether a server sends it.
    pub fn is_response(self) -> bool {
        self.code() >= 0x80
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_rise_and_name_one_opcode_each() {
        for pair in Opcode::ALL.windows(2) {
            assert!(pair[0].code() < pair[1].code());
        }
        for &opcode in Opcode::ALL {
            assert_eq!(Opcode::from_code(opcode.code()), Some(opcode));
        }
        assert_eq!(Opcode::from_code(0), None);
    }
}
