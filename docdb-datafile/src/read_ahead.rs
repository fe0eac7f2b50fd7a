//! Reading many bodies in the order of a scan.
//!
//! A checkpoint appends documents in the order of their keys, so neighbours in a scan are mostly
//! neighbours in a file. One read of a stretch of the file, a *window*, then serves many of them.
//! A scan over documents of several checkpoints goes forth and back between as many places, so there
//! are several windows. A window begins with the one frame that was asked for and doubles as long as
//! the next frames come from next to it: a short scan reads little that it does not need.

use std::sync::Arc;

use crate::format::FILE_HEADER_BYTES;
use crate::{DataFile, DataFileError, DocStore, FilePtr, FrameId, Result};

/// The length at which a window stops growing, in bytes.
pub const WINDOW_BYTES_MAX: usize = 64 << 10;
/// Most windows of a scan.
pub const WINDOWS_MAX: usize = 4;

/// The length of the first window that is more than a frame, in bytes.
const WINDOW_BYTES_MIN: usize = 4 << 10;

/// Where the frames that will be asked for lie from those that were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadOrder {
    /// At higher offsets.
    Ascending,
    /// At lower offsets.
    Descending,
}

/// Bodies read in order, with at most [`WINDOWS_MAX`] windows of [`WINDOW_BYTES_MAX`] bytes in
/// memory. Each frame is verified when it is asked for: damage beside it does not concern it.
#[derive(Debug)]
pub struct ReadAhead {
    order: ReadOrder,
    windows: Vec<Window>,
    uses: u64,
}

/// Bytes of a file's durable part, which never change.
#[derive(Debug)]
struct Window {
    file: Arc<DataFile>,
    at: u64,
    len: usize,
    /// At least `len` bytes; what is beyond is left from before.
    buffer: Vec<u8>,
    last_use: u64,
}

impl Window {
    fn end(&self) -> u64 {
        self.at + self.len as u64
    }

    fn is_of(&self, ptr: FilePtr) -> bool {
        self.file.identity().number == ptr.file
    }

    fn frame(&self, ptr: FilePtr, bytes: usize) -> Option<&[u8]> {
        let start = usize::try_from(ptr.offset.checked_sub(self.at)?).ok()?;
        self.buffer[..self.len].get(start..start.checked_add(bytes)?)
    }

    /// Whether the frame lies behind the window, in the order of reading, and not far.
    fn is_followed_by(&self, ptr: FilePtr, order: ReadOrder) -> bool {
        let gap = match order {
            ReadOrder::Ascending => ptr.offset.checked_sub(self.end()),
            ReadOrder::Descending => {
                let end = ptr.offset.checked_add(ptr.frame_bytes());
                end.and_then(|end| self.at.checked_sub(end))
            }
        };
        self.is_of(ptr) && gap.is_some_and(|gap| gap <= WINDOW_BYTES_MIN as u64)
    }
}

impl ReadAhead {
    /// Nothing read yet.
    pub fn new(order: ReadOrder) -> Self {
        Self {
            order,
            windows: Vec::new(),
            uses: 0,
        }
    }

    /// The bytes that the windows take in memory.
    pub fn bytes(&self) -> usize {
        let windows = self.windows.iter();
        windows.map(|window| window.buffer.capacity()).sum()
    }

    /// The body, if its frame was read already. Errors as of [`DataFile::read`].
    pub fn held(&mut self, ptr: FilePtr, id: &FrameId) -> Option<Result<Arc<[u8]>>> {
        let uses = self.uses;
        self.windows.iter_mut().find_map(|window| {
            if !window.is_of(ptr) {
                return None;
            }
            let bytes = window.file.frame_bytes(ptr).ok()?;
            let frame = window.frame(ptr, bytes)?;
            let body = window.file.verified_body(frame, ptr, id);
            let body = body.map(Arc::from);
            window.last_use = uses;
            Some(body)
        })
    }

    /// Reads a body that is not [held](ReadAhead::held), and what lies next to it. Errors as of
    /// [`DocStore::read`], and only those of the frame itself.
    pub fn read(&mut self, store: &DocStore, ptr: FilePtr, id: &FrameId) -> Result<Arc<[u8]>> {
        let file = store.file_of(ptr)?;
        let bytes = file.frame_bytes(ptr)?;
        if bytes > WINDOW_BYTES_MAX {
            return file.read(ptr, id);
        }
        self.uses += 1;
        let followed = self
            .windows
            .iter()
            .position(|window| window.is_followed_by(ptr, self.order));
        let ahead = match followed {
            Some(i) => (self.windows[i].len * 2).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX),
            None => 0,
        };
        let window = match followed.or_else(|| self.least_recent()) {
            Some(i) => &mut self.windows[i],
            None => {
                self.windows.push(Window {
                    file: Arc::clone(&file),
                    at: 0,
                    len: 0,
                    buffer: Vec::new(),
                    last_use: 0,
                });
                let last = self.windows.len() - 1;
                &mut self.windows[last]
            }
        };
        window.file = file;
        window.last_use = self.uses;
        fill(window, ptr, bytes, bytes.max(ahead), self.order)?;
        match window.frame(ptr, bytes) {
            Some(frame) => window.file.verified_body(frame, ptr, id).map(Arc::from),
            None => Err(DataFileError::corrupt(
                window.file.path(),
                ptr.offset,
                "the pointer leads out of the file",
            )),
        }
    }

    /// The window to give up for another; `None` while there may be more.
    fn least_recent(&self) -> Option<usize> {
        if self.windows.len() < WINDOWS_MAX {
            return None;
        }
        let windows = self.windows.iter().enumerate();
        windows
            .min_by_key(|(_, window)| window.last_use)
            .map(|(i, _)| i)
    }
}

/// Reads `wanted` bytes of the file, or as many as there are, with the frame of `bytes` bytes among
/// them; the frame alone if the rest cannot be read.
fn fill(
    window: &mut Window,
    ptr: FilePtr,
    bytes: usize,
    wanted: usize,
    order: ReadOrder,
) -> Result<()> {
    let frame_end = ptr.offset + bytes as u64;
    let (at, end) = match order {
        ReadOrder::Ascending => {
            let end = ptr.offset + wanted as u64;
            (ptr.offset, end.min(window.file.durable_len()))
        }
        ReadOrder::Descending => {
            let at = frame_end.saturating_sub(wanted as u64);
            (at.max(FILE_HEADER_BYTES as u64), frame_end)
        }
    };
    let len = (end - at) as usize;
    if len > bytes && read(window, at, len).is_ok() {
        return Ok(());
    }
    read(window, ptr.offset, bytes)
}

fn read(window: &mut Window, at: u64, len: usize) -> Result<()> {
    window.len = 0;
    if window.buffer.len() < len {
        window.buffer.resize(len, 0);
    }
    let read = window
        .file
        .file()
        .read_exact_at(&mut window.buffer[..len], at);
    read.map_err(|error| crate::file::read_error(window.file.path(), at, error))?;
    (window.at, window.len) = (at, len);
    Ok(())
}
