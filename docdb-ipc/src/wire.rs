//! Numbers, texts and lists as bytes. Little-endian.

use bytes::{BufMut, Bytes, BytesMut};

use crate::frame::FRAME_HEADER_BYTES;
use crate::{DecodeError, DecodeReason, EncodeError, Frame, Text};

/// Where a message is written to. A message is written twice by the same code: first into a
/// [`Length`], which finds out its size and whether it can be written at all, then into the buffer.
pub(crate) trait Put {
    fn slice(&mut self, bytes: &[u8]);

    fn u8(&mut self, n: u8) {
        self.slice(&[n]);
    }

    fn u16(&mut self, n: u16) {
        self.slice(&n.to_le_bytes());
    }

    fn u32(&mut self, n: u32) {
        self.slice(&n.to_le_bytes());
    }

    fn u64(&mut self, n: u64) {
        self.slice(&n.to_le_bytes());
    }

    /// A length of 2 bytes and the text.
    fn text(&mut self, text: &str) -> Result<(), EncodeError> {
        let max = usize::from(u16::MAX);
        let Ok(len) = u16::try_from(text.len()) else {
            return Err(EncodeError::TextTooLong {
                bytes: text.len(),
                max,
            });
        };
        self.u16(len);
        self.slice(text.as_bytes());
        Ok(())
    }

    /// A length of 4 bytes and the bytes.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let max = u32::MAX as usize;
        let Ok(len) = u32::try_from(bytes.len()) else {
            return Err(EncodeError::FrameTooLarge {
                bytes: bytes.len(),
                max,
            });
        };
        self.u32(len);
        self.slice(bytes);
        Ok(())
    }

    /// The count of a list.
    fn count(&mut self, count: usize, max: usize) -> Result<(), EncodeError> {
        match u32::try_from(count) {
            Ok(n) if count <= max => {
                self.u32(n);
                Ok(())
            }
            _ => Err(EncodeError::TooMany { count, max }),
        }
    }
}

/// Counts what is written, in bytes.
#[derive(Default)]
pub(crate) struct Length(pub(crate) usize);

impl Put for Length {
    fn slice(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len());
    }
}

impl Put for BytesMut {
    fn slice(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }
}

/// Collects the presence bits of a message while its optional fields are written, which must
/// happen in the order of the bits.
#[derive(Default)]
pub(crate) struct Fields(pub(crate) u16);

impl Fields {
    pub(crate) fn flag(&mut self, bit: u32, on: bool) {
        if on {
            self.0 |= 1 << bit;
        }
    }

    pub(crate) fn u64(&mut self, p: &mut impl Put, bit: u32, value: Option<u64>) {
        if let Some(n) = value {
            self.flag(bit, true);
            p.u64(n);
        }
    }

    pub(crate) fn u32(&mut self, p: &mut impl Put, bit: u32, value: Option<u32>) {
        if let Some(n) = value {
            self.flag(bit, true);
            p.u32(n);
        }
    }

    pub(crate) fn text(
        &mut self,
        p: &mut impl Put,
        bit: u32,
        value: Option<&Text>,
    ) -> Result<(), EncodeError> {
        let Some(text) = value else { return Ok(()) };
        self.flag(bit, true);
        p.text(text)
    }

    pub(crate) fn bytes(
        &mut self,
        p: &mut impl Put,
        bit: u32,
        value: Option<&Bytes>,
    ) -> Result<(), EncodeError> {
        let Some(bytes) = value else { return Ok(()) };
        self.flag(bit, true);
        p.bytes(bytes)
    }
}

/// The presence bits that were read, and those that were asked for.
pub(crate) struct Present {
    bits: u16,
    known: u16,
}

impl Present {
    pub(crate) fn new(bits: u16) -> Present {
        Present { bits, known: 0 }
    }

    pub(crate) fn has(&mut self, bit: u32) -> bool {
        self.known |= 1 << bit;
        self.bits & (1 << bit) != 0
    }

    /// The bits that nobody asked for.
    pub(crate) fn unknown(&self) -> u16 {
        self.bits & !self.known
    }
}

/// Reads a frame's body from front to back. Slices share the frame's memory.
pub(crate) struct Reader<'a> {
    frame: &'a Frame,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(frame: &'a Frame) -> Reader<'a> {
        Reader { frame, at: 0 }
    }

    pub(crate) fn fail(&self, reason: DecodeReason) -> DecodeError {
        self.frame.fail(reason, FRAME_HEADER_BYTES + self.at)
    }

    pub(crate) fn bad_value(&self, field: &'static str, value: impl Into<u64>) -> DecodeError {
        self.fail(DecodeReason::Value {
            field,
            value: value.into(),
        })
    }

    pub(crate) fn remaining(&self) -> usize {
        self.frame.body.len() - self.at
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some(array) = self.frame.body[self.at..].first_chunk::<N>() else {
            return Err(self.fail(DecodeReason::Truncated));
        };
        self.at += N;
        Ok(*array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn slice(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if len > self.remaining() {
            return Err(self.fail(DecodeReason::Truncated));
        }
        let slice = self.frame.body.slice(self.at..self.at + len);
        self.at += len;
        Ok(slice)
    }

    pub(crate) fn text(&mut self) -> Result<Text, DecodeError> {
        let len = usize::from(self.u16()?);
        let start = self.at;
        let slice = self.slice(len)?;
        Text::from_utf8(slice).map_err(|valid_up_to| {
            self.at = start + valid_up_to;
            self.fail(DecodeReason::Utf8)
        })
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let len = self.u32()? as usize;
        self.slice(len)
    }

    /// The count of a list whose items take at least `item_bytes_min`, at most `max` of them.
    pub(crate) fn count(
        &mut self,
        item_bytes_min: usize,
        max: usize,
    ) -> Result<usize, DecodeError> {
        let announced = self.u32()?;
        let max = max.min(self.remaining() / item_bytes_min);
        if announced as usize > max {
            return Err(self.fail(DecodeReason::Count { announced, max }));
        }
        Ok(announced as usize)
    }

    pub(crate) fn opt_u64(&mut self, on: bool) -> Result<Option<u64>, DecodeError> {
        if on { self.u64().map(Some) } else { Ok(None) }
    }

    pub(crate) fn opt_u32(&mut self, on: bool) -> Result<Option<u32>, DecodeError> {
        if on { self.u32().map(Some) } else { Ok(None) }
    }

    pub(crate) fn opt_text(&mut self, on: bool) -> Result<Option<Text>, DecodeError> {
        if on { self.text().map(Some) } else { Ok(None) }
    }

    pub(crate) fn opt_bytes(&mut self, on: bool) -> Result<Option<Bytes>, DecodeError> {
        if on { self.bytes().map(Some) } else { Ok(None) }
    }

    pub(crate) fn known_fields(&self, present: &Present) -> Result<(), DecodeError> {
        match present.unknown() {
            0 => Ok(()),
            bits => Err(self.fail(DecodeReason::Fields(bits))),
        }
    }

    /// The message is read: nothing may be left.
    pub(crate) fn finish(self, present: &Present) -> Result<(), DecodeError> {
        self.known_fields(present)?;
        match self.remaining() {
            0 => Ok(()),
            count => Err(self.fail(DecodeReason::TrailingBytes { count })),
        }
    }
}
