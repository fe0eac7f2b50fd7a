//! The one list of error kinds.

use std::fmt;

/// What a kind of error means for whoever gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// It may go away by itself: trying again later can succeed.
    Transient,
    /// The same call gives the same answer until something else changes.
    Permanent,
    /// Data or the machine is in danger: an operator should look.
    Critical,
    /// The request itself is wrong.
    Validation,
    /// The connection or the protocol failed.
    Network,
}

impl ErrorClass {
    /// The class's name, as in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            ErrorClass::Transient => "transient",
            ErrorClass::Permanent => "permanent",
            ErrorClass::Critical => "critical",
            ErrorClass::Validation => "validation",
            ErrorClass::Network => "network",
        }
    }
}

macro_rules! error_kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $class:ident, retry: $retry:literal;)*) => {
        /// What went wrong, in terms of what the caller can do about it. Codes and names are stable
        /// and the same in the engine, on the wire and in every client.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u16)]
        pub enum ErrorKind { $($(#[$doc])* $name = $code,)* }

        impl ErrorKind {
            /// Every kind, in the order of the codes.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name),*];

            /// The kind's stable number.
            pub fn code(self) -> u16 { self as u16 }

            /// The kind with that number.
            pub fn from_code(code: u16) -> Option<ErrorKind> {
                match code { $($code => Some(ErrorKind::$name),)* _ => None }
            }

            /// The kind's stable name.
            pub fn name(self) -> &'static str {
                match self { $(ErrorKind::$name => stringify!($name),)* }
            }

            /// What the kind means for whoever gets it.
            pub fn class(self) -> ErrorClass {
                match self { $(ErrorKind::$name => ErrorClass::$class,)* }
            }

            /// Whether the caller may repeat the call unchanged and expect another outcome. All such
            /// kinds promise that nothing was written.
            pub fn is_retryable(self) -> bool {
                match self { $(ErrorKind::$name => $retry,)* }
            }
        }
    };
}

error_kinds! {
    /// The document does not exist.
    NotFound = 1, Permanent, retry: false;
    /// The document, collection or database exists already.
    AlreadyExists = 2, Permanent, retry: false;
    /// The precondition on the version does not hold.
    VersionMismatch = 3, Permanent, retry: false;
    /// Another commit wrote the same data first, or what a serializable transaction has read. Begin the transaction anew.
    Conflict = 4, Transient, retry: true;
    /// The transaction passed its deadline and was rolled back.
    TransactionExpired = 5, Transient, retry: true;
    /// The transaction is not open on this connection.
    TransactionNotFound = 6, Permanent, retry: false;
    /// The snapshot or the cursor's snapshot is no longer kept. Take a new one.
    SnapshotTooOld = 7, Transient, retry: false;
    /// An argument is out of its range or contradicts another.
    InvalidArgument = 8, Validation, retry: false;
    /// The document is not strict JSON.
    InvalidJson = 9, Validation, retry: false;
    /// The name breaks the rules for names.
    InvalidName = 10, Validation, retry: false;
    /// A path of a patch does not fit the document.
    InvalidPath = 11, Validation, retry: false;
    /// The patch itself is wrong.
    InvalidPatch = 12, Validation, retry: false;
    /// The document is not an object.
    NotAnObject = 13, Validation, retry: false;
    /// The document, commit or frame is larger than its limit.
    TooLarge = 14, Validation, retry: false;
    /// A count has reached its limit.
    LimitExceeded = 15, Permanent, retry: false;
    /// The collection holds documents.
    NotEmpty = 16, Permanent, retry: false;
    /// The database does not exist.
    DatabaseNotFound = 17, Permanent, retry: false;
    /// The collection does not exist.
    CollectionNotFound = 18, Permanent, retry: false;
    /// The memory budget is used up; nothing was changed.
    MemoryLimit = 19, Transient, retry: true;
    /// A queue is full; nothing was written.
    Busy = 20, Transient, retry: true;
    /// The deadline passed before the work began; nothing was written.
    Timeout = 21, Transient, retry: true;
    /// The caller cancelled the request; nothing was written.
    Cancelled = 22, Transient, retry: true;
    /// Another operation of the same atomic batch failed; nothing was written.
    Aborted = 23, Permanent, retry: false;
    /// The commit was submitted, but its outcome could not be learned.
    OutcomeUnknown = 24, Network, retry: false;
    /// The token is missing or wrong.
    Unauthorized = 25, Permanent, retry: false;
    /// Another process owns the directory.
    InUse = 26, Permanent, retry: false;
    /// The database accepts no writes.
    ReadOnly = 27, Permanent, retry: false;
    /// Stored data does not verify.
    Corrupt = 28, Critical, retry: false;
    /// A failed write or sync ended this database's writing; reads go on.
    Poisoned = 29, Critical, retry: false;
    /// The disk or the quota is full.
    DiskFull = 30, Critical, retry: false;
    /// The operating system refused an operation on a file.
    Io = 31, Critical, retry: false;
    /// A file or peer is of a version or has features that this build does not know.
    UnsupportedVersion = 32, Permanent, retry: false;
    /// The database, connection or client is closed.
    Closed = 33, Permanent, retry: false;
    /// The peer sent what the protocol does not allow.
    Protocol = 34, Network, retry: false;
    /// A bug in DocDB: the request failed, its cause is in the server's log.
    Internal = 35, Critical, retry: false;
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_dense_and_stable() {
        for (i, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(usize::from(kind.code()), i + 1);
            assert_eq!(ErrorKind::from_code(kind.code()), Some(*kind));
        }
        assert_eq!(ErrorKind::from_code(0), None);
        assert_eq!(ErrorKind::from_code(36), None);
        assert_eq!(ErrorKind::Internal.name(), "Internal");
    }
}
