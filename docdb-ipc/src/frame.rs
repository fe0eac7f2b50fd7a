//! Frames, and how they come out of a stream of bytes.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::limits::READ_RESERVE_BYTES;
use crate::{DecodeError, DecodeReason};

/// A frame's header, in bytes: length u32, opcode u8, flags u8, presence bits u16, request id u64.
pub const FRAME_HEADER_BYTES: usize = 16;
/// The length field itself, in bytes, which the length does not count.
const LENGTH_FIELD_BYTES: usize = 4;
/// The smallest value of the length field.
const LENGTH_MIN: usize = FRAME_HEADER_BYTES - LENGTH_FIELD_BYTES;

/// The number that a client gives a request and that its answers repeat. Clients count from 1 and
/// do not use a number twice on a connection; 0 is the connection itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RequestId(pub u64);

impl RequestId {
    /// What a hello, and an error that ends the connection, are about.
    pub const CONNECTION: RequestId = RequestId(0);
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One frame whose body is not yet understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The type of message.
    pub opcode: u8,
    /// Which optional fields the body has.
    pub present: u16,
    /// The request.
    pub request_id: RequestId,
    /// The message's fields.
    pub body: Bytes,
}

impl Frame {
    pub(crate) fn fail(&self, reason: DecodeReason, offset: usize) -> DecodeError {
        DecodeError {
            reason,
            request_id: Some(self.request_id),
            opcode: Some(self.opcode),
            offset,
        }
    }

    /// An error about the opcode.
    pub(crate) fn unexpected(&self) -> DecodeError {
        self.fail(DecodeReason::Opcode(self.opcode), 4)
    }

    /// An error about the request id.
    pub(crate) fn bad_request_id(&self) -> DecodeError {
        let value = self.request_id.0;
        self.fail(
            DecodeReason::Value {
                field: "request_id",
                value,
            },
            8,
        )
    }
}

/// Writes a header for a body of that length; the caller has checked the limit, which is below
/// `u32::MAX`.
pub(crate) fn put_header(
    out: &mut BytesMut,
    opcode: u8,
    present: u16,
    id: RequestId,
    body_bytes: usize,
) {
    let length = u32::try_from(LENGTH_MIN + body_bytes).expect("checked against the limit");
    out.put_u32_le(length);
    out.put_u8(opcode);
    out.put_u8(0);
    out.put_u16_le(present);
    out.put_u64_le(id.0);
}

/// The value of the length field for a body of that many bytes.
pub(crate) fn frame_length(body_bytes: usize) -> usize {
    body_bytes.saturating_add(LENGTH_MIN)
}

/// Cuts a stream of bytes into frames, whatever the pieces it comes in.
///
/// A length is checked before anything is reserved for it, and memory grows only with what has
/// arrived: announcing a large frame costs the peer the bytes.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    frame_bytes_max: usize,
    failed: Option<DecodeError>,
}

impl FrameDecoder {
    /// A decoder that accepts frames of up to `frame_bytes_max` bytes, their length field not
    /// counted: [`crate::HELLO_BYTES_MAX`] until the hello is answered.
    pub fn new(frame_bytes_max: usize) -> FrameDecoder {
        FrameDecoder {
            buffer: BytesMut::new(),
            frame_bytes_max,
            failed: None,
        }
    }

    /// Changes the limit for frames that have not been returned yet.
    pub fn set_frame_bytes_max(&mut self, frame_bytes_max: usize) {
        self.frame_bytes_max = frame_bytes_max;
    }

    /// Adds bytes that arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer with room for the next read, to append to what arrives (`read_buf`). The room is
    /// at least [`READ_RESERVE_BYTES`] and at most what the frame needs or as much again as has
    /// arrived.
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        let missing = match self.buffer.first_chunk::<LENGTH_FIELD_BYTES>() {
            Some(length) => (u32::from_le_bytes(*length) as usize)
                .min(self.frame_bytes_max)
                .saturating_add(LENGTH_FIELD_BYTES)
                .saturating_sub(self.buffer.len()),
            None => 0,
        };
        let room = missing.min(self.buffer.len()).max(READ_RESERVE_BYTES);
        self.buffer.reserve(room);
        &mut self.buffer
    }

    /// How many bytes have arrived that no frame has been made of yet.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole frame, or `None` until more bytes arrive. After an error there are no more
    /// frames: the stream is out of step, and every call gives the same error.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.cut();
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.buffer = BytesMut::new();
        }
        result
    }

    fn cut(&mut self) -> Result<Option<Frame>, DecodeError> {
        let Some(length) = self.buffer.first_chunk::<LENGTH_FIELD_BYTES>() else {
            return Ok(None);
        };
        let announced = u32::from_le_bytes(*length);
        let length = announced as usize;
        if length < LENGTH_MIN {
            return Err(DecodeError {
                reason: DecodeReason::FrameTooShort { announced },
                request_id: None,
                opcode: None,
                offset: 0,
            });
        }
        // A frame that is too large is judged with its whole header at hand, so that the error
        // can name the request and does not depend on how the bytes were split.
        let Some(header) = self.buffer.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(None);
        };
        let mut header = &header[LENGTH_FIELD_BYTES..];
        let opcode = header.get_u8();
        let flags = header.get_u8();
        let present = header.get_u16_le();
        let request_id = RequestId(header.get_u64_le());
        let fail = |reason, offset| DecodeError {
            reason,
            request_id: Some(request_id),
            opcode: Some(opcode),
            offset,
        };
        if length > self.frame_bytes_max {
            let max = self.frame_bytes_max;
            return Err(fail(DecodeReason::FrameTooLarge { announced, max }, 0));
        }
        if flags != 0 {
            return Err(fail(DecodeReason::Flags(flags), 5));
        }
        if self.buffer.len() < LENGTH_FIELD_BYTES + length {
            return Ok(None);
        }
        let mut body = self.buffer.split_to(LENGTH_FIELD_BYTES + length);
        body.advance(FRAME_HEADER_BYTES);
        Ok(Some(Frame {
            opcode,
            present,
            request_id,
            body: body.freeze(),
        }))
    }
}
