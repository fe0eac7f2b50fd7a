//! The one error of the client.

use std::fmt;
use std::sync::Arc;

use docdb_ipc::{EncodeError, WireError};
use docdb_types::ErrorKind;

/// The result of a call on the client.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Arc<dyn std::error::Error + Send + Sync + 'static>;

/// Why a call failed. [`Error::kind`] says what to do about it; the message is for people.
///
/// A write that was sent and whose answer was lost is [`ErrorKind::OutcomeUnknown`]. Everything else
/// that this side finds (`Timeout`, `Closed`, `InvalidArgument`, ...) promises that nothing was
/// written, and so does every error of the server for which [`Error::is_retryable`] is true.
#[derive(Debug, Clone)]
pub struct Error {
    // Boxed, so that results stay as small as what they carry.
    inner: Box<Inner>,
}

#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    code: u16,
    message: String,
    version: Option<u64>,
    op_index: Option<u32>,
    stage: Stage,
    source: Option<Source>,
}

/// How far a request had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There was no connection to send it on.
    Connect,
    /// No byte of it was handed to the operating system.
    Unsent,
    /// The server may have seen it.
    Sent,
    /// The connection broke before a byte of it was handed to the operating system.
    LostUnsent,
    /// The connection broke after that.
    LostSent,
    /// The connection broke, and with it the transaction or snapshot ended.
    LostView,
}

impl Error {
    /// An error that this side found. It counts as sent: whoever knows better says so.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error {
            inner: Box::new(Inner {
                kind,
                code: kind.code(),
                message: message.into(),
                version: None,
                op_index: None,
                stage: Stage::Sent,
                source: None,
            }),
        }
    }

    pub(crate) fn with_source(
        mut self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        self.inner.source = Some(Arc::new(source));
        self
    }

    pub(crate) fn at(mut self, stage: Stage) -> Self {
        self.inner.stage = stage;
        self
    }

    pub(crate) fn with_op_index(mut self, op_index: u32) -> Self {
        self.inner.op_index = Some(op_index);
        self
    }

    pub(crate) fn stage(&self) -> Stage {
        self.inner.stage
    }

    /// What went wrong, in terms of what the caller can do about it. A code that this build does
    /// not know counts as [`ErrorKind::Internal`]; [`Error::code`] still tells it.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The stable number of the kind, as it came from the server.
    pub fn code(&self) -> u16 {
        self.inner.code
    }

    /// What happened, for people.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The version that was found (`VersionMismatch`) or lost to (`Conflict`), if the server said.
    pub fn version(&self) -> Option<u64> {
        self.inner.version
    }

    /// The position of the operation that failed in its batch, from 0.
    pub fn op_index(&self) -> Option<u32> {
        self.inner.op_index
    }

    /// Whether the same call may be made again in the hope of another outcome; in a transaction, the
    /// whole transaction. All such errors promise that nothing was written. True for the retryable
    /// kinds, and when the connection of a transaction or snapshot broke.
    pub fn is_retryable(&self) -> bool {
        self.inner.kind.is_retryable() || self.inner.stage == Stage::LostView
    }

    /// Whether there was no server to talk to: the connection could not be made, or the peer did
    /// not answer as a DocDB server.
    pub fn is_connect(&self) -> bool {
        self.inner.stage == Stage::Connect
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inner.code != self.inner.kind.code() {
            return write!(
                f,
                "{} (code {}): {}",
                self.kind(),
                self.code(),
                self.message()
            );
        }
        write!(f, "{}: {}", self.inner.kind, self.inner.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}

impl From<WireError> for Error {
    fn from(wire: WireError) -> Self {
        Error {
            inner: Box::new(Inner {
                kind: wire.kind(),
                code: wire.code.raw(),
                version: wire.version,
                op_index: wire.op_index,
                message: wire.message,
                stage: Stage::Sent,
                source: None,
            }),
        }
    }
}

impl From<EncodeError> for Error {
    fn from(error: EncodeError) -> Self {
        Error::new(error.kind(), error.to_string())
            .at(Stage::Unsent)
            .with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io;

    use docdb_ipc::ErrorCode;

    use super::*;

    #[test]
    fn says_what_the_server_said() {
        let wire = WireError::new(ErrorKind::VersionMismatch, "found 7").with_version(7);
        let error = Error::from(wire.with_op_index(2));
        assert_eq!(error.kind(), ErrorKind::VersionMismatch);
        assert_eq!(error.code(), 3);
        assert_eq!((error.version(), error.op_index()), (Some(7), Some(2)));
        assert!(!error.is_retryable());
        assert_eq!(error.to_string(), "VersionMismatch: found 7");
    }

    #[test]
    fn keeps_a_code_that_this_build_does_not_know() {
        let mut wire = WireError::new(ErrorKind::Busy, "new");
        wire.code = ErrorCode::from_raw(999).unwrap();
        let error = Error::from(wire);
        assert_eq!((error.kind(), error.code()), (ErrorKind::Internal, 999));
        assert_eq!(error.to_string(), "Internal (code 999): new");
    }

    #[test]
    fn keeps_the_source() {
        let io = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = Error::new(ErrorKind::Closed, "gone")
            .with_source(io)
            .at(Stage::Connect);
        assert!(error.is_connect());
        assert!(
            error
                .source()
                .unwrap()
                .downcast_ref::<io::Error>()
                .is_some()
        );
    }
}
