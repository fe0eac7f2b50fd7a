//! Why bytes are not a message, or a message cannot become bytes.

use std::fmt;

use docdb_types::ErrorKind;

use crate::{RequestId, WireError};

/// Bytes that are not what the protocol allows, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// What is wrong.
    pub reason: DecodeReason,
    /// The request the answer should name; `None` when no whole header arrived.
    pub request_id: Option<RequestId>,
    /// The frame's type, when its header arrived.
    pub opcode: Option<u8>,
    /// How far the frame had been read, in bytes from the start of its length field.
    pub offset: usize,
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeReason {
    /// The length field announces more than the limit.
    FrameTooLarge {
        /// What it announces, in bytes.
        announced: u32,
        /// The limit, in bytes.
        max: usize,
    },
    /// The length field announces less than a header.
    FrameTooShort {
        /// What it announces, in bytes.
        announced: u32,
    },
    /// Flags that this version does not know.
    Flags(u8),
    /// An opcode that is unknown or that this side does not accept.
    Opcode(u8),
    /// Presence bits that this message does not have.
    Fields(u16),
    /// The frame ends before the message does.
    Truncated,
    /// The message ends before the frame does.
    TrailingBytes {
        /// How many bytes are left.
        count: usize,
    },
    /// Text is not UTF-8.
    Utf8,
    /// A count is larger than what the rest of the frame can hold, or than its limit.
    Count {
        /// The count.
        announced: u32,
        /// The most that could be.
        max: usize,
    },
    /// A batch of more operations than one commit may have. The frame itself is sound.
    TooManyOps {
        /// How many.
        announced: u32,
        /// The limit.
        max: usize,
    },
    /// A number has no meaning in its place.
    Value {
        /// The name of the place.
        field: &'static str,
        /// The number.
        value: u64,
    },
    /// A hello without the magic bytes.
    Magic,
}

impl DecodeReason {
    /// The reason's name, as in the test vectors.
    pub fn name(self) -> &'static str {
        match self {
            DecodeReason::FrameTooLarge { .. } => "frame_too_large",
            DecodeReason::FrameTooShort { .. } => "frame_too_short",
            DecodeReason::Flags(_) => "flags",
            DecodeReason::Opcode(_) => "opcode",
            DecodeReason::Fields(_) => "fields",
            DecodeReason::Truncated => "truncated",
            DecodeReason::TrailingBytes { .. } => "trailing_bytes",
            DecodeReason::Utf8 => "utf8",
            DecodeReason::Count { .. } => "count",
            DecodeReason::TooManyOps { .. } => "too_many_ops",
            DecodeReason::Value { .. } => "value",
            DecodeReason::Magic => "magic",
        }
    }
}

impl DecodeError {
    /// What to answer with: `TooLarge` for frames and batches over their limit, else `Protocol`.
    pub fn kind(&self) -> ErrorKind {
        match self.reason {
            DecodeReason::FrameTooLarge { .. } | DecodeReason::TooManyOps { .. } => {
                ErrorKind::TooLarge
            }
            _ => ErrorKind::Protocol,
        }
    }

    /// Whether the connection ends with this error. It goes on only where the frame was sound and
    /// its content too large.
    pub fn is_fatal(&self) -> bool {
        !matches!(self.reason, DecodeReason::TooManyOps { .. })
    }

    /// The error to answer with.
    pub fn to_wire_error(&self) -> WireError {
        WireError::new(self.kind(), self.to_string())
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            DecodeReason::FrameTooLarge { announced, max } => {
                write!(f, "a frame of {announced} bytes, at most {max} are allowed")?;
            }
            DecodeReason::FrameTooShort { announced } => {
                write!(f, "a frame of {announced} bytes is shorter than its header")?;
            }
            DecodeReason::Flags(flags) => write!(f, "unknown flags {flags:#04x}")?,
            DecodeReason::Opcode(code) => write!(f, "unexpected opcode {code:#04x}")?,
            DecodeReason::Fields(bits) => write!(f, "unknown fields {bits:#06x}")?,
            DecodeReason::Truncated => f.write_str("the frame ends inside the message")?,
            DecodeReason::TrailingBytes { count } => {
                write!(f, "{count} bytes after the message")?;
            }
            DecodeReason::Utf8 => f.write_str("text that is not UTF-8")?,
            DecodeReason::Count { announced, max } => {
                write!(f, "a count of {announced}, at most {max} are possible")?;
            }
            DecodeReason::TooManyOps { announced, max } => {
                write!(
                    f,
                    "a batch of {announced} operations, at most {max} are allowed"
                )?;
            }
            DecodeReason::Value { field, value } => write!(f, "{field} is {value}")?,
            DecodeReason::Magic => f.write_str("not a DocDB hello")?,
        }
        write!(f, " (byte {} of the frame", self.offset)?;
        if let Some(opcode) = self.opcode {
            write!(f, ", opcode {opcode:#04x}")?;
        }
        if let Some(id) = self.request_id {
            write!(f, ", request {id}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for DecodeError {}

/// A message that cannot be sent. Nothing has been written to the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The frame would be larger than the limit.
    FrameTooLarge {
        /// The frame's length, in bytes, its length field not counted.
        bytes: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// A text is longer than its length field can say.
    TextTooLong {
        /// Its length, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// A list is longer than its limit.
    TooMany {
        /// Its length.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// A write whose id or body does not fit its kind, or a reserved request id.
    Invalid(&'static str),
}

impl EncodeError {
    /// What to tell the caller: `TooLarge`, or `InvalidArgument`.
    pub fn kind(&self) -> ErrorKind {
        match self {
            EncodeError::FrameTooLarge { .. }
            | EncodeError::TextTooLong { .. }
            | EncodeError::TooMany { .. } => ErrorKind::TooLarge,
            EncodeError::Invalid(_) => ErrorKind::InvalidArgument,
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::FrameTooLarge { bytes, max } => {
                write!(f, "a frame of {bytes} bytes, at most {max} are allowed")
            }
            EncodeError::TextTooLong { bytes, max } => {
                write!(f, "a text of {bytes} bytes, at most {max} are allowed")
            }
            EncodeError::TooMany { count, max } => {
                write!(f, "a list of {count}, at most {max} are allowed")
            }
            EncodeError::Invalid(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for EncodeError {}
