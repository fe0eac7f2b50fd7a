//! Bytes that nobody wrote, with checksums that are right: how an input gets behind them.

use docdb_wal::vfs::sim::SimVfs;

use super::choices::Choices;
use super::seal::{
    GROUP_HEADER_BYTES, GROUP_MAGIC, GroupAt, SEGMENT_HEADER_BYTES, Sealing, groups, records,
    seal_log, u32_at, u64_at,
};
use crate::common::segments;

/// Offset and bytes of the fields of `docs/on-disk-format.md`.
type Field = (usize, usize);

const SEGMENT_FIELDS: &[Field] = &[
    (8, 2),
    (10, 1),
    (12, 4),
    (16, 4),
    (24, 8),
    (40, 8),
    (48, 8),
    (56, 8),
    (64, 8),
    (72, 8),
    (80, 8),
    (88, 8),
    (96, 8),
    (104, 4),
];
const GROUP_FIELDS: &[Field] = &[
    (8, 8),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 4),
    (44, 4),
    (48, 4),
    (52, 4),
    (56, 4),
    (60, 4),
    (64, 4),
];
const RECORD_FIELDS: &[Field] = &[(0, 4), (8, 8), (16, 8), (24, 4), (28, 2), (30, 2)];

/// Where arithmetic and limits have their edges.
const EDGES: &[u64] = &[
    0,
    1,
    2,
    63,
    4_095,
    4_096,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    (1 << 62) - 1,
    1 << 62,
    (1 << 62) + 1,
    u64::MAX - 1,
    u64::MAX,
];

fn change(bytes: &mut [u8], at: usize, (offset, width): Field, choices: &mut Choices<'_>) {
    let field = &mut bytes[at + offset..at + offset + width];
    let mut raw = [0; 8];
    raw[..width].copy_from_slice(field);
    let old = u64::from_le_bytes(raw);
    let new = match choices.below(4) {
        0 => choices.one_of(EDGES),
        1 => old.wrapping_add(u64::from(choices.byte())),
        2 => old.wrapping_sub(u64::from(choices.byte())),
        _ => choices.u64(),
    };
    field.copy_from_slice(&new.to_le_bytes()[..width]);
}

/// A group without records that follows another: any of the marks that a log writes, or none.
fn follow(bytes: &mut [u8], group: GroupAt, flags: u8) {
    let at = group.next_offset();
    if bytes.len() < at + GROUP_HEADER_BYTES {
        return;
    }
    let number = u64_at(bytes, group.offset + 8);
    let first_lsn = u64_at(bytes, group.offset + 16);
    let count = u32_at(bytes, group.offset + 44);
    let header = &mut bytes[at..at + GROUP_HEADER_BYTES];
    header.fill(0);
    header[0..4].copy_from_slice(GROUP_MAGIC);
    header[8..16].copy_from_slice(&number.wrapping_add(1).to_le_bytes());
    header[16..24].copy_from_slice(&first_lsn.wrapping_add(u64::from(count)).to_le_bytes());
    header[48] = flags;
}

/// Changes fields of segments, groups and records, puts groups behind others, and seals all of it.
pub(crate) fn forge(vfs: &SimVfs, choices: &mut Choices<'_>) {
    for _ in 0..choices.below(6) {
        let files = segments(vfs);
        if files.is_empty() {
            return;
        }
        let path = &files[choices.below(files.len())];
        let mut bytes = vfs.read_file(path).unwrap();
        if bytes.len() < SEGMENT_HEADER_BYTES {
            continue;
        }
        let groups = groups(&bytes);
        let group = groups.get(choices.below(groups.len())).copied();
        match (choices.below(4), group) {
            (1, Some(group)) => {
                let field = choices.one_of(GROUP_FIELDS);
                change(&mut bytes, group.offset, field, choices);
            }
            (2, Some(group)) => {
                let records = records(&bytes, group);
                if let Some(&(at, _)) = records.get(choices.below(records.len())) {
                    change(&mut bytes, at, choices.one_of(RECORD_FIELDS), choices);
                }
            }
            (3, Some(group)) => follow(&mut bytes, group, choices.byte()),
            _ => {
                let field = choices.one_of(SEGMENT_FIELDS);
                change(&mut bytes, 0, field, choices);
            }
        }
        vfs.write_file(path, &bytes).unwrap();
    }
    // Mostly all of it: what is wrong anyway is refused early.
    let sealing = choices.byte();
    seal_log(
        vfs,
        Sealing {
            chain: sealing % 8 != 7,
            records: sealing / 8 % 8 != 7,
            numbers: sealing >= 128,
        },
    );
}
