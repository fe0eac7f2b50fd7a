//! Scans: frames of documents, and how much of them may be under way.

use std::fmt;

use bytes::{BufMut, BytesMut};

use crate::frame::{frame_length, put_header};
use crate::limits::SCAN_ITEMS_MAX;
use crate::{EncodeError, FRAME_HEADER_BYTES, Opcode, RequestId};

/// What a document of a scan takes besides its body, in bytes: id u64, version u64, length u32.
pub const SCAN_ITEM_HEADER_BYTES: usize = 8 + 8 + 4;
const COUNT_BYTES: usize = 4;

/// Writes one [`crate::Response::ScanItems`] document by document, straight into the buffer that
/// is sent. Dropped before [`ScanItemsWriter::finish`], it leaves the buffer as it was.
#[derive(Debug)]
pub struct ScanItemsWriter<'a> {
    out: &'a mut BytesMut,
    start: usize,
    id: RequestId,
    frame_bytes_max: usize,
    items: u32,
}

impl<'a> ScanItemsWriter<'a> {
    pub(crate) fn new(
        out: &'a mut BytesMut,
        id: RequestId,
        frame_bytes_max: usize,
    ) -> ScanItemsWriter<'a> {
        let start = out.len();
        ScanItemsWriter {
            out,
            start,
            id,
            frame_bytes_max,
            items: 0,
        }
    }

    /// Appends a document. `Ok(false)` says that the frame is full: finish it and begin another.
    /// A document that does not fit into any frame is an error. Nothing is written in either case.
    pub fn push(&mut self, id: u64, version: u64, body: &[u8]) -> Result<bool, EncodeError> {
        let body_bytes = self.body_bytes();
        let bytes = frame_length(
            body_bytes
                .saturating_add(SCAN_ITEM_HEADER_BYTES)
                .saturating_add(body.len()),
        );
        if bytes > self.frame_bytes_max {
            let max = self.frame_bytes_max;
            return if self.items == 0 {
                Err(EncodeError::FrameTooLarge { bytes, max })
            } else {
                Ok(false)
            };
        }
        if self.items as usize == SCAN_ITEMS_MAX {
            return Ok(false);
        }
        if self.items == 0 {
            // Length and count are patched by `finish`.
            put_header(self.out, Opcode::ScanItems.code(), 0, self.id, 0);
            self.out.put_u32_le(0);
        }
        self.out.reserve(SCAN_ITEM_HEADER_BYTES + body.len());
        self.out.put_u64_le(id);
        self.out.put_u64_le(version);
        self.out
            .put_u32_le(u32::try_from(body.len()).expect("smaller than the frame"));
        self.out.put_slice(body);
        self.items += 1;
        Ok(true)
    }

    /// How many documents have been written.
    pub fn items(&self) -> usize {
        self.items as usize
    }

    /// How long the frame is so far, in bytes, header and length field counted; 0 without
    /// documents.
    pub fn bytes(&self) -> usize {
        self.out.len() - self.start
    }

    /// Completes the frame and says how many documents are in it. Without any, no frame is written.
    pub fn finish(mut self) -> usize {
        let items = self.items;
        if items > 0 {
            let body_bytes = self.body_bytes();
            let length = u32::try_from(frame_length(body_bytes)).expect("below the limit");
            let frame = &mut self.out[self.start..];
            frame[..4].copy_from_slice(&length.to_le_bytes());
            frame[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + COUNT_BYTES]
                .copy_from_slice(&items.to_le_bytes());
            // The frame is whole: `drop` has nothing to take back.
            self.start = self.out.len();
        }
        items as usize
    }

    fn body_bytes(&self) -> usize {
        self.bytes()
            .saturating_sub(FRAME_HEADER_BYTES)
            .max(COUNT_BYTES)
    }
}

impl Drop for ScanItemsWriter<'_> {
    fn drop(&mut self) {
        self.out.truncate(self.start);
    }
}

/// The credit of one scan, in bytes: what the client is ready to take. Each document costs
/// [`SCAN_ITEM_HEADER_BYTES`] and its body.
///
/// While there is any credit one more document may be sent, even one that costs more; what it
/// costs beyond is a debt that the next credit pays first. So a small credit cannot stop a scan at
/// a large document, and the client holds at most its credit and one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreditWindow {
    balance_bytes: i64,
    max_bytes: u32,
}

impl CreditWindow {
    /// A scan's first credit, and the most it may ever have, both in bytes.
    pub fn new(credit_bytes: u32, max_bytes: u32) -> Result<CreditWindow, CreditError> {
        let mut window = CreditWindow {
            balance_bytes: 0,
            max_bytes,
        };
        window.grant(credit_bytes)?;
        Ok(window)
    }

    /// Adds credit.
    pub fn grant(&mut self, credit_bytes: u32) -> Result<(), CreditError> {
        let balance_bytes = self.balance_bytes.saturating_add(i64::from(credit_bytes));
        if balance_bytes > i64::from(self.max_bytes) {
            return Err(CreditError {
                balance_bytes,
                max_bytes: self.max_bytes,
            });
        }
        self.balance_bytes = balance_bytes;
        Ok(())
    }

    /// Whether a document may be sent now.
    pub fn is_open(&self) -> bool {
        self.balance_bytes > 0
    }

    /// What is left, in bytes; negative for a debt.
    pub fn balance_bytes(&self) -> i64 {
        self.balance_bytes
    }

    /// Takes off what a document with a body of that many bytes costs.
    pub fn charge(&mut self, body_bytes: usize) {
        self.balance_bytes = self
            .balance_bytes
            .saturating_sub(item_cost_bytes(body_bytes));
    }

    /// What a document with a body of that many bytes costs, in bytes: what a client that has
    /// consumed it grants anew.
    pub fn cost_bytes(body_bytes: usize) -> u32 {
        u32::try_from(item_cost_bytes(body_bytes)).unwrap_or(u32::MAX)
    }
}

fn item_cost_bytes(body_bytes: usize) -> i64 {
    i64::try_from(body_bytes.saturating_add(SCAN_ITEM_HEADER_BYTES)).unwrap_or(i64::MAX)
}

/// More credit than a scan may have: the scan ends with `InvalidArgument`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreditError {
    /// What the credit would have been, in bytes.
    pub balance_bytes: i64,
    /// The limit, in bytes.
    pub max_bytes: u32,
}

impl fmt::Display for CreditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CreditError {
            balance_bytes,
            max_bytes,
        } = self;
        write!(
            f,
            "a scan's credit of {balance_bytes} bytes, at most {max_bytes} are allowed"
        )
    }
}

impl std::error::Error for CreditError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Codec, FrameDecoder, HELLO_BYTES_MAX, Response, decode_response};

    #[test]
    fn a_dropped_writer_leaves_nothing() {
        let mut out = BytesMut::from(&b"before"[..]);
        let mut writer = Codec::default().scan_items(&mut out, RequestId(1));
        assert_eq!(writer.push(1, 1, b"{}"), Ok(true));
        drop(writer);
        assert_eq!(out, b"before"[..]);
        assert_eq!(
            Codec::default().scan_items(&mut out, RequestId(1)).finish(),
            0
        );
        assert_eq!(out, b"before"[..]);
    }

    #[test]
    fn a_full_frame_has_exactly_the_limit() {
        let codec = Codec::new(HELLO_BYTES_MAX);
        let body = [b'1'; 100];
        let mut out = BytesMut::new();
        let mut writer = codec.scan_items(&mut out, RequestId(7));
        let mut pushed = 0;
        while writer.push(pushed, 3, &body) == Ok(true) {
            pushed += 1;
        }
        // The rest of the header, the count, and 34 documents of 120 bytes fill the frame.
        assert_eq!(12 + 4 + 34 * 120, HELLO_BYTES_MAX);
        assert_eq!(pushed, 34);
        assert_eq!(writer.finish(), 34);
        assert_eq!(out.len(), HELLO_BYTES_MAX + 4);
        let mut decoder = FrameDecoder::new(HELLO_BYTES_MAX);
        decoder.feed(&out);
        let frame = decoder.next_frame().unwrap().unwrap();
        let (id, response) = decode_response(&frame).unwrap();
        assert_eq!(id, RequestId(7));
        let Response::ScanItems(items) = response else {
            panic!("{response:?}")
        };
        assert_eq!(items.len(), 34);
        assert!(
            items
                .iter()
                .all(|item| item.body == body[..] && item.version == 3)
        );
    }

    #[test]
    fn a_document_beyond_any_frame_is_an_error() {
        let mut out = BytesMut::new();
        let mut writer = Codec::new(HELLO_BYTES_MAX).scan_items(&mut out, RequestId(1));
        let error = writer.push(1, 1, &[b' '; HELLO_BYTES_MAX]);
        assert!(matches!(
            error,
            Err(EncodeError::FrameTooLarge {
                max: HELLO_BYTES_MAX,
                ..
            })
        ));
        drop(writer);
        assert!(out.is_empty());
    }

    #[test]
    fn credit_may_be_overdrawn_by_one_document() {
        let mut window = CreditWindow::new(10, 100).unwrap();
        assert!(window.is_open());
        window.charge(50);
        assert_eq!(window.balance_bytes(), -60);
        window.grant(60).unwrap();
        assert!(!window.is_open());
        window.grant(100).unwrap();
        assert!(window.is_open());
        assert_eq!(
            window.grant(1),
            Err(CreditError {
                balance_bytes: 101,
                max_bytes: 100
            })
        );
        assert_eq!(window.balance_bytes(), 100);
        assert_eq!(CreditWindow::cost_bytes(50), 70);
        assert!(CreditWindow::new(101, 100).is_err());
    }
}
