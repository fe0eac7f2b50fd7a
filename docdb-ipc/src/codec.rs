//! Messages to frames and back.

use bytes::BytesMut;
use docdb_types::limits::FRAME_BYTES_MAX;

use crate::frame::{frame_length, put_header};
use crate::wire::{Length, Put};
use crate::{
    DecodeError, EncodeError, FRAME_HEADER_BYTES, Frame, Opcode, Request, RequestId, Response,
    ScanItemsWriter,
};
use crate::{request_codec, response_codec};

/// The opcode and presence bits of a message, known once its body is written.
pub(crate) struct Head {
    pub(crate) opcode: Opcode,
    pub(crate) present: u16,
}

/// A message that writes its own body.
pub(crate) trait Encode {
    fn encode<P: Put>(&self, p: &mut P) -> Result<Head, EncodeError>;
}

/// Writes messages as frames, none larger than what the peers agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    frame_bytes_max: usize,
}

impl Default for Codec {
    fn default() -> Codec {
        Codec::new(FRAME_BYTES_MAX)
    }
}

impl Codec {
    /// A codec for frames of up to `frame_bytes_max` bytes, their length field not counted; more
    /// than [`FRAME_BYTES_MAX`] is taken as that.
    pub fn new(frame_bytes_max: usize) -> Codec {
        Codec {
            frame_bytes_max: frame_bytes_max.min(FRAME_BYTES_MAX),
        }
    }

    /// The longest frame, in bytes, its length field not counted.
    pub fn frame_bytes_max(&self) -> usize {
        self.frame_bytes_max
    }

    /// Appends a request. On an error `out` is as it was.
    pub fn encode_request(
        &self,
        out: &mut BytesMut,
        id: RequestId,
        request: &Request,
    ) -> Result<(), EncodeError> {
        if id == RequestId::CONNECTION {
            return Err(EncodeError::Invalid("request ids start at 1"));
        }
        self.encode(out, id, request)
    }

    /// Appends an answer. On an error `out` is as it was. Request 0 may only be answered with an
    /// error, which ends the connection.
    pub fn encode_response(
        &self,
        out: &mut BytesMut,
        id: RequestId,
        response: &Response,
    ) -> Result<(), EncodeError> {
        if id == RequestId::CONNECTION && !matches!(response, Response::Error(_)) {
            return Err(EncodeError::Invalid("request ids start at 1"));
        }
        self.encode(out, id, response)
    }

    /// Appends a [`Response::Document`] whose body lies elsewhere. On an error `out` is as it was.
    pub fn encode_document(
        &self,
        out: &mut BytesMut,
        id: RequestId,
        version: u64,
        body: &[u8],
    ) -> Result<(), EncodeError> {
        if id == RequestId::CONNECTION {
            return Err(EncodeError::Invalid("request ids start at 1"));
        }
        self.encode(out, id, &response_codec::DocumentRef { version, body })
    }

    /// Begins a [`Response::ScanItems`] that is written document by document.
    pub fn scan_items<'a>(&self, out: &'a mut BytesMut, id: RequestId) -> ScanItemsWriter<'a> {
        ScanItemsWriter::new(out, id, self.frame_bytes_max)
    }

    pub(crate) fn encode<M: Encode>(
        &self,
        out: &mut BytesMut,
        id: RequestId,
        message: &M,
    ) -> Result<(), EncodeError> {
        let mut length = Length::default();
        let head = message.encode(&mut length)?;
        let body_bytes = length.0;
        let bytes = frame_length(body_bytes);
        if bytes > self.frame_bytes_max {
            return Err(EncodeError::FrameTooLarge {
                bytes,
                max: self.frame_bytes_max,
            });
        }
        out.reserve(FRAME_HEADER_BYTES + body_bytes);
        put_header(out, head.opcode.code(), head.present, id, body_bytes);
        let body_at = out.len();
        message.encode(out)?;
        debug_assert_eq!(out.len() - body_at, body_bytes);
        Ok(())
    }
}

/// The request in a frame that a client sent. Documents and texts are slices of the frame.
pub fn decode_request(frame: &Frame) -> Result<(RequestId, Request), DecodeError> {
    if frame.request_id == RequestId::CONNECTION {
        return Err(frame.bad_request_id());
    }
    Ok((frame.request_id, request_codec::decode(frame)?))
}

/// The answer in a frame that a server sent. Documents and texts are slices of the frame. An error
/// about request 0 ends the connection.
pub fn decode_response(frame: &Frame) -> Result<(RequestId, Response), DecodeError> {
    if frame.request_id == RequestId::CONNECTION && frame.opcode != Opcode::Error.code() {
        return Err(frame.bad_request_id());
    }
    Ok((frame.request_id, response_codec::decode(frame)?))
}
