//! What is left after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::disk::{Disk, Node};
use super::fault::FaultPlan;
use super::file::{FileChange, FileNode};
use super::hash::Hash64;
use super::namespace::{DirNode, NodeId, ROOT, predecessors, set_name};
use super::pages::{Piece, pieces};
use super::rng::Rng;

/// The unit that a device writes as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SectorSize {
    /// 512 bytes.
    Bytes512,
    /// 4096 bytes.
    Bytes4096,
}

impl SectorSize {
    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        match self {
            SectorSize::Bytes512 => 512,
            SectorSize::Bytes4096 => 4096,
        }
    }
}

/// Which unsynced operations a crash spares.
///
/// What stays possible under every policy: a sector written several times holds any one of its
/// states since the last sync, a directory entry names any one of the files that it has named, and
/// a renamed file is found at exactly one of its two names. A file has any one of its lengths since
/// the last sync, whatever became of its contents; bytes that nothing has written read as zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CrashPolicy {
    /// The process dies and the machine goes on: everything is still there and what was unsynced
    /// still is, so that a loss of power later can take it.
    Kill,
    /// The power fails; only what was synced is left.
    KeepNone,
    /// The power fails; everything happened to be on the medium already.
    KeepAll,
    /// The power fails; any subset of the unsynced sectors, lengths and entries is left.
    Random {
        /// Chooses the subset.
        seed: u64,
        /// What the device writes as a whole.
        sector: SectorSize,
    },
    /// As `Random`, and the device tears sectors: of the first lost write to a sector, a part may
    /// be there.
    Torn {
        /// Chooses the subset and the tears.
        seed: u64,
        /// What the device should write as a whole.
        sector: SectorSize,
    },
    /// The power fails; everything is left but this unit, counted as
    /// [`SimVfs::unsynced_units`](super::SimVfs::unsynced_units) counts them, and what builds on it
    /// (later writes to the same sector, later changes of the same length or entry). Past the last unit this
    /// is `KeepAll`.
    DropOne(usize),
    /// The power fails; of what was unsynced only this unit is left, and what it builds on. Past
    /// the last unit this is `KeepNone`.
    KeepOne(usize),
    /// The power fails; of what was unsynced the units are left whose bits are set, the lowest for the
    /// first of them, and what they build on. Units past the 64th are lost.
    Subset(u64),
}

/// What persists or not on its own.
#[derive(Debug)]
struct Unit {
    /// Place of its operation in the order of all operations.
    seq: u64,
    /// The file, or `None` for directory entries.
    file: Option<NodeId>,
    /// Index of its operation among those of the file or of the directories.
    op: usize,
    /// The part of a write that lies in one sector.
    piece: Option<Piece>,
    /// Units without which it cannot have persisted.
    before: Vec<usize>,
}

/// What became of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Kept,
    Dropped,
    /// This part of the piece persisted, in bytes from its start.
    Torn(Range<usize>),
}

impl Disk {
    /// The number of units that the single-unit policies count.
    pub(super) fn unit_count(&self) -> usize {
        self.units(self.unit_sector.bytes()).len()
    }

    /// The disk as the next process finds it.
    pub(super) fn after_crash(&self, policy: &CrashPolicy) -> Disk {
        let units_bytes = match policy {
            CrashPolicy::Kill => return self.after_kill(),
            CrashPolicy::Random { sector, .. } | CrashPolicy::Torn { sector, .. } => sector.bytes(),
            _ => self.unit_sector.bytes(),
        };
        let units = self.units(units_bytes);
        let fates = fates(&units, policy);
        self.after_power_loss(&units, &fates)
    }

    fn units(&self, sector_bytes: u64) -> Vec<Unit> {
        let mut units: Vec<Unit> = Vec::new();
        for (id, node) in &self.nodes {
            let Node::File(file) = node else { continue };
            let mut last_of_sector: BTreeMap<u64, usize> = BTreeMap::new();
            let mut last_length = None;
            for (index, op) in file.unsynced.iter().enumerate() {
                let unit = |piece, before| Unit {
                    seq: op.seq,
                    file: Some(*id),
                    op: index,
                    piece,
                    before,
                };
                match &op.change {
                    FileChange::Length(_) => {
                        let before = last_length.replace(units.len());
                        units.push(unit(None, before.into_iter().collect()));
                    }
                    FileChange::Data { offset, bytes, .. } => {
                        for piece in pieces(*offset, bytes.len() as u64, sector_bytes) {
                            let before = last_of_sector.insert(piece.index, units.len());
                            units.push(unit(Some(piece), before.into_iter().collect()));
                        }
                    }
                }
            }
        }
        let base = units.len();
        for (index, (op, before)) in self
            .entry_ops
            .iter()
            .zip(predecessors(&self.entry_ops))
            .enumerate()
        {
            let before = before.into_iter().map(|b| base + b).collect();
            units.push(Unit {
                seq: op.seq,
                file: None,
                op: index,
                piece: None,
                before,
            });
        }
        units
    }

    /// A process died: handles and locks are gone, the page cache is not.
    fn after_kill(&self) -> Disk {
        let mut disk = self.next_boot(self.nodes.clone());
        disk.entry_ops = self.entry_ops.clone();
        for node in disk.nodes.values_mut() {
            if let Node::File(file) = node {
                file.handles = 0;
            }
        }
        disk
    }

    fn after_power_loss(&self, units: &[Unit], fates: &[Fate]) -> Disk {
        let mut dirs: BTreeMap<NodeId, BTreeMap<String, NodeId>> = BTreeMap::new();
        let mut images = BTreeMap::new();
        for (id, node) in &self.nodes {
            match node {
                Node::Dir(dir) => drop(dirs.insert(*id, dir.durable.clone())),
                Node::File(file) => drop(images.insert(*id, file.durable.clone())),
            }
        }
        for (unit, fate) in units.iter().zip(fates) {
            let part = match fate {
                Fate::Dropped => continue,
                Fate::Kept => None,
                Fate::Torn(part) => Some(part),
            };
            let Some(id) = unit.file else {
                self.entry_ops[unit.op].apply(|(dir, name), node| {
                    if let Some(entries) = dirs.get_mut(dir) {
                        set_name(entries, name, node);
                    }
                });
                continue;
            };
            let (Some(Node::File(file)), Some(image)) = (self.nodes.get(&id), images.get_mut(&id))
            else {
                continue;
            };
            match (&file.unsynced[unit.op].change, unit.piece) {
                (FileChange::Data { offset, bytes, .. }, Some(piece)) => {
                    let mut range = piece.start..piece.end;
                    if let Some(part) = part {
                        range = piece.start + part.start..piece.start + part.end;
                    }
                    image.put(offset + range.start as u64, &bytes[range]);
                }
                (FileChange::Length(length), _) => length.apply(image),
                (FileChange::Data { .. }, None) => {}
            }
        }

        let mut nodes = BTreeMap::new();
        let mut todo = vec![ROOT];
        while let Some(id) = todo.pop() {
            if let Some(entries) = dirs.remove(&id) {
                todo.extend(entries.values());
                let dir = DirNode {
                    durable: entries.clone(),
                    current: entries,
                };
                nodes.insert(id, Node::Dir(dir));
            } else if let Some(mut image) = images.remove(&id) {
                image.settle();
                nodes.insert(
                    id,
                    Node::File(FileNode {
                        links: 1,
                        ..FileNode::settled(image)
                    }),
                );
            }
        }
        self.next_boot(nodes)
    }

    /// The machine with these files after it has come up again: nothing open, locked, planned or
    /// unsynced.
    fn next_boot(&self, nodes: BTreeMap<NodeId, Node>) -> Disk {
        Disk {
            nodes,
            next_node: self.next_node,
            entry_ops: Vec::new(),
            next_seq: self.next_seq,
            generation: 0,
            locked: BTreeSet::new(),
            plan: FaultPlan {
                reads_count: self.plan.reads_count,
                ..FaultPlan::default()
            },
            capacity_bytes: self.capacity_bytes,
            unit_sector: self.unit_sector,
            clock: self.clock,
            rng: self.rng.clone(),
            trace: Hash64::new(),
        }
    }
}

fn fates(units: &[Unit], policy: &CrashPolicy) -> Vec<Fate> {
    let count = units.len();
    let (kept, torn) = match *policy {
        CrashPolicy::Kill | CrashPolicy::KeepAll => (vec![true; count], None),
        CrashPolicy::KeepNone => (vec![false; count], None),
        CrashPolicy::DropOne(dropped) => {
            let mut kept: Vec<bool> = (0..count).map(|i| i != dropped).collect();
            drop_what_builds_on_dropped(units, &mut kept);
            (kept, None)
        }
        CrashPolicy::KeepOne(one) => {
            let mut kept: Vec<bool> = (0..count).map(|i| i == one).collect();
            keep_what_kept_builds_on(units, &mut kept);
            (kept, None)
        }
        CrashPolicy::Subset(bits) => {
            let is_set = |i: usize| i < 64 && bits >> i & 1 == 1;
            let mut kept: Vec<bool> = (0..count).map(is_set).collect();
            keep_what_kept_builds_on(units, &mut kept);
            (kept, None)
        }
        CrashPolicy::Random { seed, .. } => (random_subset(units, &mut Rng::new(seed)), None),
        CrashPolicy::Torn { seed, .. } => {
            let mut rng = Rng::new(seed);
            (random_subset(units, &mut rng), Some(rng))
        }
    };
    let mut fates: Vec<Fate> = kept
        .iter()
        .map(|kept| if *kept { Fate::Kept } else { Fate::Dropped })
        .collect();
    if let Some(mut rng) = torn {
        tear(units, &kept, &mut fates, &mut rng);
    }
    fates
}

fn drop_what_builds_on_dropped(units: &[Unit], kept: &mut [bool]) {
    for (i, unit) in units.iter().enumerate() {
        kept[i] &= unit.before.iter().all(|b| kept[*b]);
    }
}

fn keep_what_kept_builds_on(units: &[Unit], kept: &mut [bool]) {
    for (i, unit) in units.iter().enumerate().rev() {
        if kept[i] {
            unit.before.iter().for_each(|b| kept[*b] = true);
        }
    }
}

/// A subset drawn in one of several manners. Independent coins alone would hardly ever spare one
/// large write whole and lose another, which is what real devices and file systems like to do.
fn random_subset(units: &[Unit], rng: &mut Rng) -> Vec<bool> {
    let percent = [10, 50, 90][rng.below(3) as usize];
    let mut kept: Vec<bool> = match rng.below(4) {
        // Each unit by itself.
        0 => units.iter().map(|_| rng.chance(percent)).collect(),
        // Each operation by itself.
        1 => coin_per_key(units, |unit| unit.seq, percent, rng),
        // Each file by itself, and the directories.
        2 => coin_per_key(units, |unit| unit.file, percent, rng),
        // What came before some moment, and a part of what happened at it.
        _ => {
            let moments: BTreeSet<u64> = units.iter().map(|unit| unit.seq).collect();
            let nth = rng.below(moments.len() as u64) as usize;
            let moment = moments.into_iter().nth(nth).unwrap_or(0);
            let mut before = |unit: &Unit| match unit.seq.cmp(&moment) {
                std::cmp::Ordering::Less => true,
                std::cmp::Ordering::Equal => rng.chance(percent),
                std::cmp::Ordering::Greater => false,
            };
            units.iter().map(&mut before).collect()
        }
    };
    if rng.chance(50) {
        drop_what_builds_on_dropped(units, &mut kept);
    } else {
        keep_what_kept_builds_on(units, &mut kept);
    }
    kept
}

fn coin_per_key<K: Ord>(
    units: &[Unit],
    key: impl Fn(&Unit) -> K,
    percent: u64,
    rng: &mut Rng,
) -> Vec<bool> {
    let mut coins = BTreeMap::new();
    units
        .iter()
        .map(|unit| {
            *coins
                .entry(key(unit))
                .or_insert_with(|| rng.chance(percent))
        })
        .collect()
}

/// Leaves a part of some writes that were the first of their sector to be lost.
fn tear(units: &[Unit], kept: &[bool], fates: &mut [Fate], rng: &mut Rng) {
    for (i, unit) in units.iter().enumerate() {
        let Some(piece) = unit.piece else { continue };
        let len = piece.end - piece.start;
        let first_lost = !kept[i] && unit.before.iter().all(|b| kept[*b]);
        if !first_lost || len < 2 || !rng.chance(50) {
            continue;
        }
        let cut = 1 + rng.below(len as u64 - 1) as usize;
        fates[i] = Fate::Torn(if rng.chance(50) { 0..cut } else { cut..len });
    }
}
