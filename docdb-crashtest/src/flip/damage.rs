//! What is done to a file, and all the ways to do it.

use std::fmt;
use std::path::{Path, PathBuf};

use docdb_vfs::Vfs;
use docdb_vfs::sim::SimVfs;

use super::directory::{DATA_DIR, Directory, FileKind};
use crate::job::Scale;
use crate::rng::Rng;

/// What a device writes as a whole.
const SECTOR: usize = 512;
/// What an index run and the alignments of all files are made of.
const PAGE: usize = 4096;
/// In a smoke test, of zeros in a row in a log only one in so many is flipped.
const ZEROS_STRIDE: usize = 64;

/// Damage to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Damage {
    /// This bit of the byte at this offset.
    Flip(u64, u8),
    /// The same in both copies of the catalog.
    FlipBoth(u64, u8),
    /// The file is gone.
    Deleted,
    /// So many bytes are left.
    Cut(u64),
    /// Zeros from here, so many.
    Zeroed(u64, u64),
    /// Noise from here, so many.
    Noise(u64, u64),
    /// The contents twice.
    Doubled,
    /// These two ranges of so many bytes have changed places.
    Swapped(u64, u64, u64),
    /// So many bytes of another file, from there, stand here.
    Moved(PathBuf, u64, u64, u64),
    /// What stood here before a crash, the number counted over all older copies.
    Older(usize),
    /// The contents of another file of this directory.
    Replaced(PathBuf),
    /// Those of the file of the same name in another data directory.
    Foreign,
    /// The directory of the database is gone.
    DirectoryGone,
    /// There is a directory that the catalog does not know.
    DirectoryUnknown,
}

/// A file and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) path: PathBuf,
    pub(super) damage: Damage,
}

/// The path below the data directory.
fn below(path: &Path) -> String {
    let below = path.strip_prefix(DATA_DIR).unwrap_or(path);
    // A place is split at slashes.
    below.display().to_string().replace('/', ":")
}

fn above(name: &str) -> PathBuf {
    Path::new(DATA_DIR).join(name.replace(':', "/"))
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", below(&self.path))?;
        match &self.damage {
            Damage::Flip(at, bit) => write!(f, "bit/{at}/{bit}"),
            Damage::FlipBoth(at, bit) => write!(f, "both/{at}/{bit}"),
            Damage::Deleted => f.write_str("deleted"),
            Damage::Cut(len) => write!(f, "cut/{len}"),
            Damage::Zeroed(at, len) => write!(f, "zeroed/{at}/{len}"),
            Damage::Noise(at, len) => write!(f, "noise/{at}/{len}"),
            Damage::Doubled => f.write_str("doubled"),
            Damage::Swapped(a, b, len) => write!(f, "swapped/{a}/{b}/{len}"),
            Damage::Moved(from, at, to, len) => {
                write!(f, "moved/{}/{at}/{to}/{len}", below(from))
            }
            Damage::Older(number) => write!(f, "older/{number}"),
            Damage::Replaced(from) => write!(f, "replaced/{}", below(from)),
            Damage::Foreign => f.write_str("foreign"),
            Damage::DirectoryGone => f.write_str("directory-gone"),
            Damage::DirectoryUnknown => f.write_str("directory-unknown"),
        }
    }
}

impl Case {
    /// The case of that name.
    pub(super) fn parse(place: &str) -> Option<Case> {
        let parts: Vec<&str> = place.split('/').collect();
        let (file, rest) = parts.split_first()?;
        let number = |text: &str| text.parse::<u64>().ok();
        let bit = |text: &str| text.parse::<u8>().ok().filter(|bit| *bit < 8);
        let damage = match rest {
            ["bit", at, b] => Damage::Flip(number(at)?, bit(b)?),
            ["both", at, b] => Damage::FlipBoth(number(at)?, bit(b)?),
            ["deleted"] => Damage::Deleted,
            ["cut", len] => Damage::Cut(number(len)?),
            ["zeroed", at, len] => Damage::Zeroed(number(at)?, number(len)?),
            ["noise", at, len] => Damage::Noise(number(at)?, number(len)?),
            ["doubled"] => Damage::Doubled,
            ["swapped", a, b, len] => Damage::Swapped(number(a)?, number(b)?, number(len)?),
            ["moved", from, at, to, len] => {
                Damage::Moved(above(from), number(at)?, number(to)?, number(len)?)
            }
            ["older", n] => Damage::Older(n.parse().ok()?),
            ["replaced", from] => Damage::Replaced(above(from)),
            ["foreign"] => Damage::Foreign,
            ["directory-gone"] => Damage::DirectoryGone,
            ["directory-unknown"] => Damage::DirectoryUnknown,
            _ => return None,
        };
        Some(Case {
            path: above(file),
            damage,
        })
    }

    /// Whether all that is damaged is what stands in one byte.
    pub(super) fn is_flip(&self) -> bool {
        matches!(self.damage, Damage::Flip(..) | Damage::FlipBoth(..))
    }

    /// Does it to `vfs`, which is a copy of the directory's. `other` is another data directory.
    pub(super) fn apply(
        &self,
        vfs: &SimVfs,
        directory: &Directory,
        other: &Directory,
    ) -> Result<(), String> {
        let failed = |e: docdb_vfs::IoError| format!("{self} cannot be done: {e}");
        let edit = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut contents = vfs.read_file(&self.path).map_err(failed)?;
            change(&mut contents);
            vfs.write_file(&self.path, &contents).map_err(failed)
        };
        match &self.damage {
            Damage::Flip(at, bit) => vfs.flip_bit(&self.path, *at, *bit).map_err(failed),
            Damage::FlipBoth(at, bit) => {
                for copy in ["CATALOG", "CATALOG.copy"] {
                    let path = Path::new(DATA_DIR).join(copy);
                    vfs.flip_bit(&path, *at, *bit).map_err(failed)?;
                }
                Ok(())
            }
            Damage::Deleted => vfs.remove(&self.path).map_err(failed),
            Damage::Cut(len) => edit(&|contents| contents.truncate(*len as usize)),
            Damage::Zeroed(at, len) => edit(&|contents| range(contents, *at, *len).fill(0)),
            Damage::Noise(at, len) => edit(&|contents| {
                let mut rng = Rng::new(at ^ len);
                let noise = range(contents, *at, *len).iter_mut();
                noise.for_each(|byte| *byte = rng.next() as u8);
            }),
            Damage::Doubled => edit(&|contents| contents.extend_from_within(..)),
            Damage::Swapped(a, b, len) => edit(&|contents| {
                let (one, two) = (
                    range(contents, *a, *len).to_vec(),
                    range(contents, *b, *len).to_vec(),
                );
                let len = one.len().min(two.len());
                range(contents, *a, len as u64).copy_from_slice(&two[..len]);
                range(contents, *b, len as u64).copy_from_slice(&one[..len]);
            }),
            Damage::Moved(from, at, to, len) => {
                let mut donor = vfs.read_file(from).map_err(failed)?;
                let moved = range(&mut donor, *at, *len).to_vec();
                edit(&|contents| {
                    let into = range(contents, *to, *len);
                    let len = into.len().min(moved.len());
                    into[..len].copy_from_slice(&moved[..len]);
                })
            }
            Damage::Older(number) => {
                let older = directory.older.get(*number);
                let older = older.ok_or_else(|| format!("there is no older copy {number}"))?;
                vfs.write_file(&self.path, &older.contents).map_err(failed)
            }
            Damage::Replaced(from) => {
                let contents = vfs.read_file(from).map_err(failed)?;
                vfs.write_file(&self.path, &contents).map_err(failed)
            }
            Damage::Foreign => {
                let contents = other.vfs.read_file(&self.path).map_err(failed)?;
                vfs.write_file(&self.path, &contents).map_err(failed)
            }
            Damage::DirectoryGone => {
                for path in vfs.files() {
                    if path.starts_with(&self.path) {
                        vfs.remove(&path).map_err(failed)?;
                    }
                }
                vfs.remove_dir(&self.path.join("wal")).map_err(failed)?;
                vfs.remove_dir(&self.path).map_err(failed)
            }
            Damage::DirectoryUnknown => vfs.create_dir(&self.path).map_err(failed),
        }
    }
}

/// As much of the range as there is.
fn range(contents: &mut [u8], at: u64, len: u64) -> &mut [u8] {
    let from = (at as usize).min(contents.len());
    let to = (at + len).min(contents.len() as u64) as usize;
    &mut contents[from..to.max(from)]
}

/// Everything that is done to the directory, drawn from the seed where it is a choice.
pub(super) fn cases(
    directory: &Directory,
    other: &Directory,
    seed: u64,
    scale: Scale,
) -> Vec<Case> {
    let mut rng = Rng::fork(seed, 0xf11b);
    let files: Vec<(PathBuf, Vec<u8>)> = directory
        .vfs
        .files()
        .into_iter()
        .filter_map(|path| Some((path.clone(), directory.vfs.read_file(&path).ok()?)))
        .collect();
    let mut cases = Vec::new();
    // What is rare comes first, so that a short run has some of each.
    for (path, contents) in &files {
        whole_file(path, contents, &mut cases);
        parts(path, contents, &files, scale, &mut rng, &mut cases);
        if other
            .vfs
            .read_file(path)
            .is_ok_and(|other| other != *contents)
        {
            cases.push(Case {
                path: path.clone(),
                damage: Damage::Foreign,
            });
        }
        let alike = files.iter().filter(|(other, theirs)| {
            other != path
                && theirs != contents
                && (FileKind::of(other) == FileKind::of(path) || scale == Scale::Soak)
        });
        cases.extend(alike.map(|(from, _)| Case {
            path: path.clone(),
            damage: Damage::Replaced(from.clone()),
        }));
    }
    cases.extend(directory.older.iter().enumerate().map(|(n, older)| Case {
        path: older.path.clone(),
        damage: Damage::Older(n),
    }));
    for database in &directory.databases {
        cases.push(Case {
            path: Path::new(DATA_DIR).join(&database.dir),
            damage: Damage::DirectoryGone,
        });
    }
    cases.push(Case {
        path: Path::new(DATA_DIR).join("db-00000000000000ff"),
        damage: Damage::DirectoryUnknown,
    });
    let first_flip = cases.len();
    for (path, contents) in &files {
        flips(path, contents, scale, &mut rng, &mut cases);
    }
    // So that a run that ends early has seen all files.
    for n in (first_flip + 1..cases.len()).rev() {
        let with = first_flip + rng.below((n - first_flip) as u64 + 1) as usize;
        cases.swap(n, with);
    }
    cases
}

fn whole_file(path: &Path, contents: &[u8], cases: &mut Vec<Case>) {
    let len = contents.len() as u64;
    let mut damages = vec![
        Damage::Deleted,
        Damage::Zeroed(0, len),
        Damage::Noise(0, len),
        Damage::Doubled,
        Damage::Cut(0),
        Damage::Cut(len / 2),
        Damage::Cut(len.saturating_sub(1)),
    ];
    let sectors = (0..len).step_by(SECTOR);
    damages.extend(sectors.clone().skip(1).map(Damage::Cut));
    damages.extend(sectors.map(|at| Damage::Zeroed(at, SECTOR as u64)));
    let pages = (0..len).step_by(PAGE);
    damages.extend(pages.clone().map(|at| Damage::Zeroed(at, PAGE as u64)));
    damages.extend(pages.map(|at| Damage::Noise(at, PAGE as u64)));
    damages.dedup();
    cases.extend(damages.into_iter().map(|damage| Case {
        path: path.to_path_buf(),
        damage,
    }));
}

/// Where the units of a file stand, and how long each is: groups, frames, pages.
fn units(path: &Path, contents: &[u8]) -> Vec<(u64, u64)> {
    let magic: &[u8] = match FileKind::of(path) {
        FileKind::Data => b"DFRM",
        FileKind::Segment => b"DGRP",
        FileKind::Run => {
            let pages = (0..contents.len() as u64).step_by(PAGE);
            return pages.map(|at| (at, PAGE as u64)).collect();
        }
        _ => return Vec::new(),
    };
    let starts: Vec<usize> = (0..contents.len().saturating_sub(magic.len()))
        .filter(|at| contents[*at..].starts_with(magic))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([contents.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| (*start as u64, (end - start) as u64))
        .collect()
}

/// Units of the file, and of others of its kind, in each other's places.
fn parts(
    path: &Path,
    contents: &[u8],
    files: &[(PathBuf, Vec<u8>)],
    scale: Scale,
    rng: &mut Rng,
    cases: &mut Vec<Case>,
) {
    let own = units(path, contents);
    let mut found = Vec::new();
    for (n, (a, a_len)) in own.iter().enumerate() {
        for (b, b_len) in &own[n + 1..] {
            found.push(Damage::Swapped(*a, *b, *a_len.min(b_len)));
            // Of a unit of another length, at its place and over what follows.
            found.push(Damage::Moved(path.to_path_buf(), *a, *b, *a_len));
            found.push(Damage::Moved(path.to_path_buf(), *b, *a, *b_len));
        }
    }
    for (donor, theirs) in files {
        if donor == path || FileKind::of(donor) != FileKind::of(path) {
            continue;
        }
        for (from, len) in units(donor, theirs) {
            for (to, _) in &own {
                found.push(Damage::Moved(donor.clone(), from, *to, len));
            }
        }
    }
    let pages: Vec<u64> = match FileKind::of(path) {
        // These are its units.
        FileKind::Run => Vec::new(),
        _ => (0..contents.len() as u64).step_by(PAGE).collect(),
    };
    for (n, a) in pages.iter().enumerate() {
        let later = pages[n + 1..].iter();
        found.extend(later.map(|b| Damage::Swapped(*a, *b, PAGE as u64)));
    }
    let keep = match scale {
        Scale::Smoke => 150,
        Scale::Soak => usize::MAX,
    };
    while found.len() > keep {
        let unlucky = rng.below(found.len() as u64) as usize;
        found.swap_remove(unlucky);
    }
    cases.extend(found.into_iter().map(|damage| Case {
        path: path.to_path_buf(),
        damage,
    }));
}

fn flips(path: &Path, contents: &[u8], scale: Scale, rng: &mut Rng, cases: &mut Vec<Case>) {
    let is_catalog = path == Path::new(DATA_DIR).join("CATALOG");
    // Space that is set aside for groups to come; elsewhere zeros count.
    let has_log_tail = path.parent().is_some_and(|dir| dir.ends_with("wal"));
    for at in 0..contents.len() {
        let bits = match scale {
            Scale::Soak => 0..8,
            Scale::Smoke if has_log_tail && is_one_of_many_zeros(contents, at) => continue,
            Scale::Smoke => {
                let bit = rng.below(8) as u8;
                bit..bit + 1
            }
        };
        for bit in bits {
            let mut push = |damage| {
                cases.push(Case {
                    path: path.to_path_buf(),
                    damage,
                });
            };
            push(Damage::Flip(at as u64, bit));
            if is_catalog {
                push(Damage::FlipBoth(at as u64, bit));
            }
        }
    }
}

/// Whether the byte stands in the midst of zeros, and is not the one that is looked at for all of them.
fn is_one_of_many_zeros(contents: &[u8], at: usize) -> bool {
    let around = at.saturating_sub(16)..contents.len().min(at + 16);
    !at.is_multiple_of(ZEROS_STRIDE) && contents[around].iter().all(|byte| *byte == 0)
}
