#![doc = include_str!("../README.md")]

mod error;
mod file;
pub mod format;
mod frames;
mod read_ahead;
mod scratch;
mod scrub;
mod store;
mod writer;

pub use error::{DataFileError, Result};
pub use file::DataFile;
pub use format::{FileIdentity, FrameId};
pub use frames::{Frame, FrameInPlace, Frames};
pub use read_ahead::{ReadAhead, ReadOrder, WINDOW_BYTES_MAX, WINDOWS_MAX};
pub use scrub::{Damage, Scrubbed};
pub use store::{DocStore, FileStats};
pub use writer::{DataFileWriter, WRITE_BUFFER_BYTES};

/// Where a frame's body lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FilePtr {
    /// The number of the file.
    pub file: u32,
    /// The offset of the frame's header in the file, in bytes.
    pub offset: u64,
    /// The length of the body, in bytes.
    pub len: u32,
}

impl FilePtr {
    /// The bytes that the frame takes in its file: header, body and padding.
    pub fn frame_bytes(&self) -> u64 {
        format::frame_bytes(self.len)
    }
}

/// The name of the data file with that number, in the database's directory.
pub fn data_file_name(number: u32) -> String {
    format!("data-{number:08}.dat")
}

/// The number in the name of a data file; `None` if that is not one, spelled exactly as
/// [`data_file_name`] does.
pub fn parse_data_file_name(name: &str) -> Option<u32> {
    let number = name
        .strip_prefix("data-")?
        .strip_suffix(".dat")?
        .parse()
        .ok()?;
    (data_file_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_nothing_else_parses() {
        for number in [0, 1, 99_999_999, 100_000_000, u32::MAX] {
            assert_eq!(parse_data_file_name(&data_file_name(number)), Some(number));
        }
        for other in [
            "data-1.dat",
            "data-00000001.dat.tmp",
            "data-+0000001.dat",
            "data-.dat",
            "run-00000001.idx",
        ] {
            assert_eq!(parse_data_file_name(other), None, "{other}");
        }
    }
}
