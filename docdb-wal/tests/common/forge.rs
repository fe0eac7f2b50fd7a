//! Writes groups by hand, from the page about the format, to say in them what no log writes.

use docdb_wal::vfs::sim::SimVfs;
use std::path::Path;

use super::WAL_ID;

pub(crate) const GROUP_HEADER_BYTES: usize = 80;
pub(crate) const RECORD_HEADER_BYTES: usize = 32;

/// Makes the only record of the group at `offset` another one: with `flags`, and with what `change`
/// makes of its stored payload. All checksums match.
pub(crate) fn record(
    vfs: &SimVfs,
    path: &Path,
    offset: usize,
    flags: u16,
    change: impl FnOnce(&mut Vec<u8>),
) {
    let mut file = vfs.read_file(path).unwrap();
    let record = offset + GROUP_HEADER_BYTES;
    let payload = record + RECORD_HEADER_BYTES;
    assert_eq!(read_u32(&file, offset + 44), 1, "records in the group");
    let old_bytes = read_u32(&file, record) as usize;
    let mut stored = file[payload..payload + old_bytes].to_vec();
    change(&mut stored);
    file[payload..payload + old_bytes].fill(0);
    file[payload..payload + stored.len()].copy_from_slice(&stored);

    write_u32(&mut file, record, stored.len() as u32);
    write_u32(&mut file, record + 24, crc32fast::hash(&stored));
    file[record + 30..record + 32].copy_from_slice(&flags.to_le_bytes());
    let covered = [
        &WAL_ID.to_le_bytes()[..],
        &file[record..record + 4],
        &file[record + 8..payload],
    ]
    .concat();
    write_u32(&mut file, record + 4, crc32fast::hash(&covered));

    let records_bytes = RECORD_HEADER_BYTES + stored.len();
    write_u32(&mut file, offset + 40, records_bytes as u32);
    let digest = crc32fast::hash(&file[record..payload]);
    write_u32(&mut file, offset + 56, digest);
    let covered = [
        &WAL_ID.to_le_bytes()[..],
        &file[40..48],
        &(offset as u64).to_le_bytes(),
        &file[offset + 8..record],
    ]
    .concat();
    write_u32(&mut file, offset + 4, crc32fast::hash(&covered));
    vfs.write_file(path, &file).unwrap();
}

pub(crate) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub(crate) fn write_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}
