//! Makes the checksums of segment files right, whatever else their bytes say. Written from
//! `docs/on-disk-format.md`, not from the sources: without it a fuzzer never gets past the first
//! checksum.

use std::collections::BTreeMap;
use std::path::PathBuf;

use docdb_wal::vfs::sim::SimVfs;

use crate::common::segments;

pub(crate) const SEGMENT_MAGIC: &[u8; 8] = b"DOCDBWAL";
pub(crate) const GROUP_MAGIC: &[u8; 4] = b"DGRP";
pub(crate) const SEGMENT_HEADER_BYTES: usize = 128;
pub(crate) const GROUP_HEADER_BYTES: usize = 80;
pub(crate) const RECORD_HEADER_BYTES: usize = 32;
pub(crate) const DATA_START: usize = 4096;
pub(crate) const GROUP_ALIGN_BYTES: usize = 64;

const ORIGIN_RECOVERED: u8 = 3;

pub(crate) fn get<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(get(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(get(bytes, at))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn crc(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

/// Which parts are made right beside the checksums of headers, which always are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sealing {
    /// The checksums that a group repeats of the group before it.
    pub(crate) chain: bool,
    /// The checksums of records, and of all records of a group.
    pub(crate) records: bool,
    /// The numbers of records, and how many a group has.
    pub(crate) numbers: bool,
}

impl Sealing {
    #[allow(dead_code, reason = "the fuzz targets let their input choose")]
    pub(crate) const ALL: Sealing = Sealing {
        chain: true,
        records: true,
        numbers: true,
    };
}

/// Where something that looks like a group stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupAt {
    pub(crate) offset: usize,
    /// The end of its records, or of its header if the file does not hold them.
    pub(crate) end: usize,
}

impl GroupAt {
    pub(crate) fn next_offset(self) -> usize {
        self.end.next_multiple_of(GROUP_ALIGN_BYTES)
    }
}

/// Everything that looks like a group, by its magic number alone.
pub(crate) fn groups(bytes: &[u8]) -> Vec<GroupAt> {
    let mut found = Vec::new();
    let mut offset = DATA_START;
    while offset + GROUP_HEADER_BYTES <= bytes.len() {
        if &get(bytes, offset) != GROUP_MAGIC {
            offset += GROUP_ALIGN_BYTES;
            continue;
        }
        let header_end = offset + GROUP_HEADER_BYTES;
        let end = header_end + u32_at(bytes, offset + 40) as usize;
        let group = GroupAt {
            offset,
            end: if end <= bytes.len() { end } else { header_end },
        };
        offset = group.next_offset();
        found.push(group);
    }
    found
}

/// Where the records of a group stand, as far as their lengths make sense.
pub(crate) fn records(bytes: &[u8], group: GroupAt) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = group.offset + GROUP_HEADER_BYTES;
    while at + RECORD_HEADER_BYTES <= group.end {
        let end = at + RECORD_HEADER_BYTES + u32_at(bytes, at) as usize;
        if end > group.end {
            break;
        }
        found.push((at, end));
        at = end;
    }
    found
}

/// The checksums of the groups seen so far, by segment and offset.
#[derive(Debug, Default)]
pub(crate) struct Sealed(BTreeMap<(u64, u64), u32>);

impl Sealed {
    fn last_before(&self, segment: u64, offset: u64) -> Option<u32> {
        self.0
            .range(..(segment, offset))
            .next_back()
            .map(|(_, &crc)| crc)
    }

    /// Seals a file behind those that were sealed before.
    pub(crate) fn seal(&mut self, bytes: &mut [u8], sealing: Sealing) {
        if bytes.len() < SEGMENT_HEADER_BYTES || &get(bytes, 0) != SEGMENT_MAGIC {
            return;
        }
        let (wal_id, segment): ([u8; 16], u64) = (get(bytes, 24), u64_at(bytes, 40));
        let mut previous = self.last_before(segment, 0);
        if bytes[10] == ORIGIN_RECOVERED {
            previous = self.last_before(u64_at(bytes, 72), u64_at(bytes, 80));
            if sealing.chain {
                put(bytes, 104, previous.unwrap_or(0));
            }
        }
        let header_crc = crc(&[&bytes[..124]]);
        put(bytes, 124, header_crc);
        for group in groups(bytes) {
            if sealing.numbers {
                number_records(bytes, group);
            }
            if sealing.records {
                seal_records(bytes, group, &wal_id);
            }
            let GroupAt { offset, .. } = group;
            if sealing.chain {
                put(bytes, offset + 52, previous.unwrap_or(0));
            }
            let group_crc = crc(&[
                &wal_id,
                &segment.to_le_bytes(),
                &(offset as u64).to_le_bytes(),
                &bytes[offset + 8..offset + GROUP_HEADER_BYTES],
            ]);
            put(bytes, offset + 4, group_crc);
            self.0.insert((segment, offset as u64), group_crc);
            previous = Some(group_crc);
        }
    }
}

fn number_records(bytes: &mut [u8], group: GroupAt) {
    let mut lsn = u64_at(bytes, group.offset + 16);
    let records = records(bytes, group);
    put(bytes, group.offset + 44, records.len() as u32);
    for (at, _) in records {
        bytes[at + 8..at + 16].copy_from_slice(&lsn.to_le_bytes());
        lsn = lsn.wrapping_add(1);
    }
}

fn seal_records(bytes: &mut [u8], group: GroupAt, wal_id: &[u8; 16]) {
    let mut digest = crc32fast::Hasher::new();
    for (at, end) in records(bytes, group) {
        let payload = at + RECORD_HEADER_BYTES;
        let payload_crc = crc(&[&bytes[payload..end]]);
        put(bytes, at + 24, payload_crc);
        let header_crc = crc(&[wal_id, &bytes[at..at + 4], &bytes[at + 8..payload]]);
        put(bytes, at + 4, header_crc);
        digest.update(&bytes[at..payload]);
    }
    put(bytes, group.offset + 56, digest.finalize());
}

/// Seals all segments of the log, oldest first.
pub(crate) fn seal_log(vfs: &SimVfs, sealing: Sealing) {
    let mut sealed = Sealed::default();
    let mut files: Vec<PathBuf> = segments(vfs);
    files.sort();
    for path in files {
        let mut bytes = vfs.read_file(&path).unwrap();
        sealed.seal(&mut bytes, sealing);
        vfs.write_file(&path, &bytes).unwrap();
    }
}
