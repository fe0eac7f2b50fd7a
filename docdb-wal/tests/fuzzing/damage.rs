//! What happens to the bytes of a log without anybody making its checksums right again.

use std::path::PathBuf;

use docdb_wal::vfs::sim::SimVfs;

use super::choices::Choices;
use crate::common::{dir, segments};

/// A CRC-32 is certain to notice two flipped bits, as long as nothing else happens; a fuzzer that
/// could flip as many as it likes could compute the right checksum.
const FLIPS_MAX: usize = 2;

/// Bytes that stand somewhere in the log, or did once.
fn source(vfs: &SimVfs, copies: &[(PathBuf, Vec<u8>)], choices: &mut Choices<'_>) -> Vec<u8> {
    let files = segments(vfs);
    match choices.below(files.len() + copies.len()) {
        at if at < files.len() => vfs.read_file(&files[at]).unwrap(),
        at => copies
            .get(at - files.len())
            .map_or_else(Vec::new, |(_, bytes)| bytes.clone()),
    }
}

/// A place in a file of `length` bytes: often one where something begins.
fn place(length: usize, choices: &mut Choices<'_>) -> usize {
    let unit = choices.one_of(&[1, 64, 4096]);
    choices.below(length / unit + 1) * unit
}

/// Damages the files of a log, between not at all and a few times.
pub(crate) fn damage(vfs: &SimVfs, copies: &[(PathBuf, Vec<u8>)], choices: &mut Choices<'_>) {
    let mut flips = 0;
    for _ in 0..choices.below(5) {
        let files = segments(vfs);
        if files.is_empty() {
            return;
        }
        let path = &files[choices.below(files.len())];
        let mut bytes = vfs.read_file(path).unwrap();
        match choices.below(8) {
            0 | 1 if flips < FLIPS_MAX && !bytes.is_empty() => {
                flips += 1;
                let at = choices.below(bytes.len());
                bytes[at] ^= 1 << choices.below(8);
            }
            2 => bytes.truncate(place(bytes.len(), choices)),
            3 => {
                let start = place(bytes.len(), choices);
                let length = place(bytes.len() - start, choices);
                bytes[start..start + length].fill(0);
            }
            4 => {
                let from = source(vfs, copies, choices);
                let start = place(from.len(), choices);
                let length = place(from.len() - start, choices);
                // To the same place of another time, or anywhere.
                let to = match choices.flag() {
                    true => place(bytes.len(), choices),
                    false => start,
                };
                if bytes.len() < to + length {
                    bytes.resize(to + length, 0);
                }
                bytes[to..to + length].copy_from_slice(&from[start..start + length]);
            }
            5 => {
                vfs.remove(path).unwrap();
                continue;
            }
            6 => {
                // A file of another time under its own name.
                if let Some((path, bytes)) = copies.get(choices.below(copies.len())) {
                    vfs.write_file(path, bytes).unwrap();
                }
                continue;
            }
            7 => {
                // A file of any time under any name.
                let bytes = source(vfs, copies, choices);
                let name = format!("{:020}.wal", choices.below(12));
                vfs.write_file(&dir().join(name), &bytes).unwrap();
                continue;
            }
            _ => {}
        }
        vfs.write_file(path, &bytes).unwrap();
    }
}
