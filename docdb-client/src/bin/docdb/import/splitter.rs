//! Cuts a stream of bytes into JSON documents without parsing them: NDJSON, or one JSON array.
//!
//! The splitter follows strings and brackets only; whether a document is JSON is for the server to
//! say. The text of each document is kept as it is, without the space around it.

use bytes::{Bytes, BytesMut};
use docdb_types::ErrorKind;
use docdb_types::limits::DOCUMENT_BYTES_MAX;

/// The largest document and what a line of an export has around it.
const PIECE_BYTES_MAX: usize = DOCUMENT_BYTES_MAX + (4 << 10);
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One document and the line on which it starts, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) line: u64,
    pub(crate) text: Bytes,
}

/// Why the stream cannot be cut any further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SplitError {
    pub(crate) kind: ErrorKind,
    pub(crate) line: u64,
    pub(crate) message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Nothing but space was seen; the next byte decides between lines and an array.
    Start,
    Lines,
    Array,
    /// The array's `]` was seen: only space may follow.
    End,
}

/// Where in the current document the scan stands.
#[derive(Debug, Clone, Copy)]
struct Open {
    line: u64,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

/// An incremental splitter; see the module.
#[derive(Debug)]
pub(crate) struct Splitter {
    /// Bytes not given out yet. While a document is open it starts at byte 0.
    buffer: BytesMut,
    /// Bytes of `buffer` that were looked at already.
    scanned: usize,
    line: u64,
    mode: Mode,
    open: Option<Open>,
    /// In an array: a comma was the last thing seen, so that a value must follow.
    value_due: bool,
    /// In an array: a value was the last thing seen, so that a comma or `]` must follow.
    value_seen: bool,
    bom_checked: bool,
}

impl Splitter {
    pub(crate) fn new() -> Self {
        Splitter {
            buffer: BytesMut::new(),
            scanned: 0,
            line: 1,
            mode: Mode::Start,
            open: None,
            value_due: false,
            value_seen: false,
            bom_checked: false,
        }
    }

    /// Adds bytes of the stream, in any sizes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete document; `None` when more bytes are needed.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>, SplitError> {
        if !self.bom_checked {
            if self.buffer.starts_with(BYTE_ORDER_MARK) {
                let _ = self.buffer.split_to(BYTE_ORDER_MARK.len());
            } else if self.buffer.len() < BYTE_ORDER_MARK.len()
                && BYTE_ORDER_MARK.starts_with(&self.buffer)
            {
                return Ok(None);
            }
            self.bom_checked = true;
        }
        loop {
            match self.open {
                Some(open) => return self.scan_document(open),
                None => {
                    if !self.skip_between()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The end of the stream: the last document, if the stream ends without a newline.
    pub(crate) fn finish(&mut self) -> Result<Option<Piece>, SplitError> {
        self.bom_checked = true;
        if let Some(piece) = self.next()? {
            return Ok(Some(piece));
        }
        match (self.mode, self.open) {
            (Mode::Lines, Some(open)) if open.depth == 0 && !open.in_string => {
                self.open = None;
                let length = self.buffer.len();
                Ok(Some(self.take(open.line, length)))
            }
            (_, Some(open)) => Err(invalid(
                open.line,
                "the document that starts here does not end",
            )),
            (Mode::Array, None) => Err(invalid(self.line, "the array does not end with ]")),
            _ => Ok(None),
        }
    }

    /// Passes over what stands between documents; true when a document starts at byte 0.
    fn skip_between(&mut self) -> Result<bool, SplitError> {
        let mut at = 0;
        while at < self.buffer.len() {
            let byte = self.buffer[at];
            match byte {
                b' ' | b'\t' | b'\r' => {}
                b'\n' => self.line += 1,
                _ => match self.mode {
                    Mode::Start if byte == b'[' => self.mode = Mode::Array,
                    Mode::Start | Mode::Lines => {
                        self.mode = Mode::Lines;
                        return Ok(self.begin(at));
                    }
                    Mode::End => {
                        return Err(invalid(self.line, "there is more after the array's ]"));
                    }
                    Mode::Array => match byte {
                        b',' if self.value_seen => {
                            self.value_seen = false;
                            self.value_due = true;
                        }
                        b',' => return Err(invalid(self.line, "a value is missing before ,")),
                        b']' if self.value_due => {
                            return Err(invalid(self.line, "a value is missing before ]"));
                        }
                        b']' => self.mode = Mode::End,
                        _ => return Ok(self.begin(at)),
                    },
                },
            }
            at += 1;
        }
        self.buffer.clear();
        Ok(false)
    }

    fn begin(&mut self, at: usize) -> bool {
        let _ = self.buffer.split_to(at);
        self.scanned = 0;
        self.open = Some(Open {
            line: self.line,
            depth: 0,
            in_string: false,
            escaped: false,
        });
        true
    }

    fn scan_document(&mut self, mut open: Open) -> Result<Option<Piece>, SplitError> {
        while self.scanned < self.buffer.len() {
            let byte = self.buffer[self.scanned];
            if open.in_string {
                if open.escaped {
                    open.escaped = false;
                } else if byte == b'\\' {
                    open.escaped = true;
                } else if byte == b'"' {
                    open.in_string = false;
                } else if byte == b'\n' {
                    return Err(invalid(
                        open.line,
                        "a string does not end before its line does",
                    ));
                }
                self.scanned += 1;
                continue;
            }
            match byte {
                b'"' => open.in_string = true,
                b'\n' if open.depth == 0 && self.mode == Mode::Lines => {
                    // The newline itself is counted by whoever skips it.
                    return Ok(Some(self.close(open)));
                }
                b'\n' => self.line += 1,
                b',' | b']' if open.depth == 0 && self.mode == Mode::Array => {
                    self.value_seen = true;
                    self.value_due = false;
                    return Ok(Some(self.close(open)));
                }
                b'{' | b'[' => open.depth += 1,
                b'}' | b']' => open.depth = open.depth.saturating_sub(1),
                _ => {}
            }
            self.scanned += 1;
        }
        self.open = Some(open);
        if self.scanned > PIECE_BYTES_MAX {
            return Err(too_large(open.line));
        }
        Ok(None)
    }

    fn close(&mut self, open: Open) -> Piece {
        self.open = None;
        let length = self.scanned;
        self.take(open.line, length)
    }

    fn take(&mut self, line: u64, length: usize) -> Piece {
        let mut text = self.buffer.split_to(length);
        text.truncate(text.trim_ascii_end().len());
        self.scanned = 0;
        Piece {
            line,
            text: text.freeze(),
        }
    }
}

fn invalid(line: u64, message: &str) -> SplitError {
    SplitError {
        kind: ErrorKind::InvalidJson,
        line,
        message: message.to_owned(),
    }
}

fn too_large(line: u64) -> SplitError {
    SplitError {
        kind: ErrorKind::TooLarge,
        line,
        message: format!("the document that starts here has more than {PIECE_BYTES_MAX} bytes"),
    }
}

#[cfg(test)]
#[path = "splitter_tests.rs"]
mod tests;
