//! Which files make up a log, in which order, and where reading starts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_vfs::{OpenMode, Vfs, VfsFile};

use super::judge::{KeptSegment, NUMBER_MAX};
use super::reader::SegmentReader;
use crate::error::{Result, WalError};
use crate::format::group::GroupPlace;
use crate::format::segment::{
    Cut, DATA_START, HEADER_BYTES, HeaderError, Origin, SegmentHeader, file_name,
    is_temporary_name, parse_file_name,
};
use crate::options::WalOptions;

pub(super) struct SegmentFile {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn VfsFile>,
    pub(super) header: std::result::Result<SegmentHeader, HeaderError>,
}

/// A segment of the chain: bytes at or after `end` are void.
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn VfsFile>,
    pub(super) header: SegmentHeader,
    pub(super) end: u64,
    pub(super) cut_here: bool,
}

impl Link {
    /// Bytes to read, however far away a damaged number says that the segment is cut. One that ends
    /// with the marker of a clean end is shorter than its capacity.
    pub(super) fn bytes(&self) -> Result<u64> {
        Ok(self.end.min(self.capacity_bytes()?))
    }

    /// Bytes that the segment can hold as it stands.
    pub(super) fn capacity_bytes(&self) -> Result<u64> {
        Ok(self.header.capacity_bytes.min(self.file.len()?))
    }
}

pub(super) struct Listing {
    pub(super) segments: Vec<SegmentFile>,
    pub(super) leftovers: Vec<PathBuf>,
    pub(super) foreign: Vec<PathBuf>,
}

pub(super) fn list(vfs: &dyn Vfs, dir: &Path) -> Result<Listing> {
    let mut listing = Listing {
        segments: Vec::new(),
        leftovers: Vec::new(),
        foreign: Vec::new(),
    };
    for name in vfs.list(dir)? {
        let path = dir.join(&name);
        if let Some(number) = parse_file_name(&name) {
            let file = vfs.open(&path, OpenMode::Read)?;
            let mut raw = [0; HEADER_BYTES];
            let header = match file.read_at(&mut raw, 0)? {
                HEADER_BYTES => SegmentHeader::decode(&raw),
                _ => Err(HeaderError::Damaged(
                    "the file is shorter than a segment header",
                )),
            };
            let header = header.and_then(|header| {
                if header.segment != number {
                    return Err(HeaderError::Damaged(
                        "the segment's number is not that of its file name",
                    ));
                }
                let cut = match header.origin {
                    Origin::Recovered(cut) => cut,
                    Origin::First | Origin::Successor => Cut::default(),
                };
                if number.max(cut.last_lsn).max(cut.last_group) > NUMBER_MAX {
                    return Err(HeaderError::Damaged(
                        "the segment header has an impossible number",
                    ));
                }
                Ok(header)
            });
            listing.segments.push(SegmentFile {
                number,
                path,
                file,
                header,
            });
        } else if path == crate::reserve::path(dir) {
            // No leftover: what it holds may be needed.
        } else if is_temporary_name(&name) {
            listing.leftovers.push(path);
        } else {
            listing.foreign.push(path);
        }
    }
    listing.segments.sort_by_key(|segment| segment.number);
    Ok(listing)
}

/// The id of the log: all segments must agree on it.
pub(super) fn identity(segments: &[SegmentFile], options: &WalOptions) -> Result<u128> {
    let mut known = options.wal_id;
    for segment in segments.iter().rev() {
        let Ok(header) = &segment.header else {
            continue;
        };
        match known {
            None => known = Some(header.wal_id),
            Some(id) if id == header.wal_id => {}
            Some(id) => {
                return Err(WalError::corrupt(
                    &segment.path,
                    24,
                    format!(
                        "the segment belongs to log {:032x}, not to {id:032x}",
                        header.wal_id
                    ),
                ));
            }
        }
    }
    match (known, segments.last()) {
        (Some(id), _) => Ok(id),
        (None, Some(segment)) => Err(header_error(segment)),
        (None, None) => Ok(0),
    }
}

fn header_error(segment: &SegmentFile) -> WalError {
    match &segment.header {
        Err(HeaderError::Unsupported(what)) => WalError::UnsupportedVersion {
            path: segment.path.clone(),
            what: what.clone(),
        },
        Err(HeaderError::Damaged(what)) => WalError::corrupt(&segment.path, 0, *what),
        Ok(_) => WalError::corrupt(&segment.path, 0, "the segment is out of place"),
    }
}

pub(super) struct Chain {
    /// Oldest first.
    pub(super) links: Vec<Link>,
    /// Segments that an earlier recovery has cut away.
    pub(super) void: Vec<PathBuf>,
    /// Why the log cannot be followed any further back, if it cannot.
    pub(super) broken: Option<WalError>,
    /// The segments from there on.
    pub(super) unreachable: Vec<PathBuf>,
}

/// Follows the segments from the newest to the oldest, leaving out what earlier recoveries cut.
pub(super) fn chain(segments: Vec<SegmentFile>) -> Chain {
    let mut links: Vec<Link> = Vec::new();
    let mut void = Vec::new();
    let mut broken = None;
    let mut unreachable = Vec::new();
    let mut cut: Option<Cut> = None;
    for segment in segments.into_iter().rev() {
        if broken.is_some() {
            unreachable.push(segment.path);
            continue;
        }
        if cut.is_some_and(|cut| segment.number > cut.segment) {
            void.push(segment.path);
            continue;
        }
        let header = match follow(&segment, links.last(), cut) {
            Ok(header) => header,
            Err(error) => {
                broken = Some(error);
                unreachable.push(segment.path);
                continue;
            }
        };
        let cut_here = cut.take();
        if let Origin::Recovered(at) = header.origin {
            cut = Some(at);
        }
        links.push(Link {
            number: segment.number,
            path: segment.path,
            file: segment.file,
            header,
            end: cut_here.map_or(header.capacity_bytes, |cut| cut.offset),
            cut_here: cut_here.is_some(),
        });
    }
    links.reverse();
    Chain {
        links,
        void,
        broken,
        unreachable,
    }
}

/// The header of `segment`, if it stands where the log comes from that goes on in `next`.
fn follow(segment: &SegmentFile, next: Option<&Link>, cut: Option<Cut>) -> Result<SegmentHeader> {
    let Ok(header) = &segment.header else {
        return Err(header_error(segment));
    };
    let contiguous = next.is_none_or(|next| {
        cut.is_some_and(|cut| cut.segment == segment.number)
            || (cut.is_none() && next.number == segment.number + 1)
    });
    if next.is_some_and(|next| next.header.origin == Origin::First) {
        return Err(WalError::corrupt(
            &segment.path,
            0,
            "a segment from before the log began",
        ));
    }
    if !contiguous {
        let missing = cut.map_or(segment.number + 1, |cut| cut.segment);
        return Err(missing_segment(&segment.path, segment.number, missing));
    }
    if let Origin::Recovered(at) = header.origin
        && at.segment >= segment.number
    {
        return Err(WalError::corrupt(
            &segment.path,
            72,
            "the cut lies in the future",
        ));
    }
    Ok(*header)
}

/// The absence of a segment, told by the name that its file would have.
pub(super) fn missing_segment(before: &Path, number: u64, missing: u64) -> WalError {
    WalError::corrupt(
        &before.with_file_name(file_name(missing)),
        0,
        format!("the file is missing, but segment {number} says that the log goes on in it"),
    )
}

/// The link in which reading starts, and the older ones, which are not judged.
pub(super) fn start(
    chain: &Chain,
    options: &WalOptions,
    dir: &Path,
) -> Result<(usize, Vec<KeptSegment>)> {
    let links = &chain.links;
    if links.is_empty()
        && let Some(error) = &chain.broken
    {
        return Err(error.clone());
    }
    let Some(start_lsn) = options.start_lsn else {
        return match &chain.broken {
            Some(error) => Err(error.clone()),
            None => Ok((0, Vec::new())),
        };
    };
    let mut first = None;
    for (at, link) in links.iter().enumerate().rev() {
        let first_lsn = match link.header.origin {
            Origin::First => Some(1),
            Origin::Recovered(cut) => Some(cut.last_lsn + 1),
            Origin::Successor => {
                let place = GroupPlace {
                    wal_id: link.header.wal_id,
                    segment: link.number,
                    offset: DATA_START,
                };
                let mut reader = SegmentReader::new(&link.path, Arc::clone(&link.file), link.end)?;
                reader.header(place)?.map(|(header, _)| header.first_lsn)
            }
        };
        if first_lsn.is_some_and(|lsn| lsn <= start_lsn.0) {
            first = Some(at);
            break;
        }
    }
    let Some(first) = first else {
        if let Some(error) = &chain.broken {
            return Err(error.clone());
        }
        let path = links.first().map_or(dir, |link| &link.path);
        return Err(WalError::corrupt(
            path,
            0,
            format!("the log begins after record {start_lsn}, which is still needed"),
        ));
    };
    let older = links[..first]
        .iter()
        .map(|link| {
            Ok(KeptSegment {
                number: link.number,
                path: link.path.clone(),
                capacity_bytes: link.capacity_bytes()?,
                last_lsn: start_lsn.0.saturating_sub(1),
                end_bytes: link.end,
            })
        })
        .collect::<Result<_>>()?;
    Ok((first, older))
}
