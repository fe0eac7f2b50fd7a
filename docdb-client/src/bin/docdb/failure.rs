//! How a verb ends.

use std::io::{self, Write};
use std::process::ExitCode;

use docdb_client::{Error, ErrorKind};

use crate::json_text::message_on_one_line;

/// The exit code of a verb, or why it failed.
pub(crate) type Outcome = Result<ExitCode, Failure>;

const EXIT_ERROR: u8 = 1;
const EXIT_USAGE: u8 = 2;
/// Not found, conflict, already exists, false.
pub(crate) const EXIT_NO: u8 = 3;
const EXIT_CONNECT: u8 = 4;
const EXIT_CORRUPT: u8 = 5;

/// Why a verb failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It is told on stderr.
    Error {
        kind: ErrorKind,
        message: String,
        exit: u8,
    },
    /// Nobody reads the output any more: the end of work, not an error.
    OutputClosed,
}

impl Failure {
    /// The command line makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        let kind = ErrorKind::InvalidArgument;
        Failure::Error {
            kind,
            message: message.into(),
            exit: EXIT_USAGE,
        }
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Failure::Error {
            kind,
            message: message.into(),
            exit: exit_code(kind),
        }
    }

    /// A file could not be read or written.
    pub(crate) fn file(name: &str, error: &io::Error) -> Self {
        Failure::new(ErrorKind::Io, format!("{name}: {error}"))
    }

    /// The same failure, and where it happened.
    pub(crate) fn map_message(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Failure::Error {
                kind,
                message,
                exit,
            } => Failure::Error {
                kind,
                message: change(message),
                exit,
            },
            Failure::OutputClosed => Failure::OutputClosed,
        }
    }

    /// The line that says so.
    pub(crate) fn line(&self) -> String {
        match self {
            Failure::Error { kind, message, .. } => {
                format!("ERROR {kind}: {}", message_on_one_line(message))
            }
            Failure::OutputClosed => "ERROR Io: the output was closed".to_owned(),
        }
    }

    /// Tells it on stderr.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Failure::Error { exit, .. } => {
                // There is nobody to tell that stderr is gone.
                let _ = writeln!(io::stderr(), "{}", self.line());
                ExitCode::from(*exit)
            }
            Failure::OutputClosed => ExitCode::SUCCESS,
        }
    }
}

fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::NotFound
        | ErrorKind::DatabaseNotFound
        | ErrorKind::CollectionNotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::VersionMismatch
        | ErrorKind::Conflict => EXIT_NO,
        ErrorKind::Corrupt => EXIT_CORRUPT,
        _ => EXIT_ERROR,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = if error.is_connect() {
            EXIT_CONNECT
        } else {
            exit_code(error.kind())
        };
        Failure::Error {
            kind: error.kind(),
            message: error.message().to_owned(),
            exit,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::OutputClosed;
        }
        Failure::new(ErrorKind::Io, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes() {
        for (kind, code) in [
            (ErrorKind::NotFound, 3),
            (ErrorKind::AlreadyExists, 3),
            (ErrorKind::VersionMismatch, 3),
            (ErrorKind::DatabaseNotFound, 3),
            (ErrorKind::Corrupt, 5),
            (ErrorKind::InvalidJson, 1),
            (ErrorKind::OutcomeUnknown, 1),
            (ErrorKind::NotEmpty, 1),
        ] {
            assert_eq!(exit_code(kind), code, "{kind}");
        }
    }

    #[test]
    fn an_error_is_one_line() {
        let failure = Failure::new(ErrorKind::InvalidJson, "bad\nvalue");
        assert_eq!(failure.line(), "ERROR InvalidJson: bad value");
    }
}
