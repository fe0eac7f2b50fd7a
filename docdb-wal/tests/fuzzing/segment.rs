//! Any bytes as the only segment of a log.

use docdb_wal::Lsn;

use super::afterlife::live_on;
use super::choices::Choices;
use super::seal::{DATA_START, SEGMENT_HEADER_BYTES, SEGMENT_MAGIC, Sealed, Sealing, u64_at};
use crate::common::{dir, disk, options};

/// Any bytes as the only segment of a log end in a verdict or in an error that says something. What
/// is opened goes on as a log.
pub(crate) fn segment(data: &[u8]) {
    let mut choices = Choices::new(data);
    let how = choices.byte();
    let is = |bit: u8| how & (1 << bit) != 0;
    let mut options = options();
    options.wal_id = None;
    if is(4) {
        options.start_lsn = Some(Lsn(u64::from(choices.byte())));
    }
    if is(5) {
        options.proven_lsn = Lsn(u64::from(choices.byte()));
    }
    let mut number = u64::from(choices.byte());
    let data = choices.rest();
    // An input need not spend its bytes on the rest of the header's block.
    let mut bytes = data.to_vec();
    if is(0) && data.len() >= SEGMENT_HEADER_BYTES {
        bytes.resize(SEGMENT_HEADER_BYTES, 0);
        bytes.resize(DATA_START, 0);
        bytes.extend_from_slice(&data[SEGMENT_HEADER_BYTES..]);
    }
    if is(1) && bytes.len() >= SEGMENT_HEADER_BYTES {
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..10].copy_from_slice(&1_u16.to_le_bytes());
    }
    if is(2) {
        let sealing = Sealing {
            chain: !is(6),
            records: !is(7),
            numbers: is(6),
        };
        Sealed::default().seal(&mut bytes, sealing);
    }
    if is(3) && bytes.len() >= SEGMENT_HEADER_BYTES {
        number = u64_at(&bytes, 40);
    }
    let vfs = disk();
    let path = dir().join(format!("{number:020}.wal"));
    vfs.write_file(&path, &bytes).unwrap();
    live_on(&vfs, &options);
}
