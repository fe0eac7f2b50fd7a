//! Directories: what is durable of their entries, and the operations that are not.

use std::collections::BTreeMap;

/// The number of a file or directory, never reused on one disk.
pub(super) type NodeId = u64;

/// The root directory.
pub(super) const ROOT: NodeId = 0;

/// An entry: the directory and the name in it.
pub(super) type Entry = (NodeId, String);

/// A directory.
#[derive(Debug, Clone, Default)]
pub(super) struct DirNode {
    pub(super) durable: BTreeMap<String, NodeId>,
    pub(super) current: BTreeMap<String, NodeId>,
}

/// What an operation did to entries.
#[derive(Debug, Clone)]
pub(super) enum EntryChange {
    /// A file or directory was created.
    Link { at: Entry, node: NodeId },
    /// A file or directory was removed.
    Unlink { at: Entry },
    /// One was renamed, in one step. Between two directories the step is durable when both have
    /// been synced.
    Rename {
        from: Entry,
        to: Entry,
        node: NodeId,
        from_synced: bool,
        to_synced: bool,
    },
}

/// An operation that no sync has covered.
#[derive(Debug, Clone)]
pub(super) struct EntryOp {
    /// Place in the order of all operations of the disk.
    pub(super) seq: u64,
    /// A sync of the directory failed: no later one makes this durable by itself.
    pub(super) lost: bool,
    pub(super) change: EntryChange,
}

impl EntryOp {
    /// The entries that it changes.
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let (first, second) = match &self.change {
            EntryChange::Link { at, .. } | EntryChange::Unlink { at } => (at, None),
            EntryChange::Rename { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(first).chain(second)
    }

    pub(super) fn touches(&self, dir: NodeId) -> bool {
        self.entries().any(|(of, _)| *of == dir)
    }

    /// The node that it gave a name.
    pub(super) fn node(&self) -> Option<NodeId> {
        match self.change {
            EntryChange::Link { node, .. } | EntryChange::Rename { node, .. } => Some(node),
            EntryChange::Unlink { .. } => None,
        }
    }

    /// Calls `set` with each entry as the operation leaves it.
    pub(super) fn apply(&self, mut set: impl FnMut(&Entry, Option<NodeId>)) {
        match &self.change {
            EntryChange::Link { at, node } => set(at, Some(*node)),
            EntryChange::Unlink { at } => set(at, None),
            EntryChange::Rename { from, to, node, .. } => {
                set(from, None);
                set(to, Some(*node));
            }
        }
    }
}

/// Makes `name` mean `node`, or nothing.
pub(super) fn set_name(entries: &mut BTreeMap<String, NodeId>, name: &str, node: Option<NodeId>) {
    match node {
        Some(node) => entries.insert(name.to_owned(), node),
        None => entries.remove(name),
    };
}

/// For each operation, the earlier ones without which it cannot have happened: the last before it
/// on each of its entries. So every entry is some state that it has been in, and a renamed file is
/// never in two places or in none.
pub(super) fn predecessors(ops: &[EntryOp]) -> Vec<Vec<usize>> {
    let mut last: BTreeMap<&Entry, usize> = BTreeMap::new();
    let mut found = Vec::with_capacity(ops.len());
    for (i, op) in ops.iter().enumerate() {
        found.push(
            op.entries()
                .filter_map(|entry| last.insert(entry, i))
                .collect(),
        );
    }
    found
}

/// Takes out of `ops` what a sync of `dir` makes durable, in order.
pub(super) fn take_synced(ops: &mut Vec<EntryOp>, dir: NodeId) -> Vec<EntryOp> {
    for op in ops.iter_mut().filter(|op| !op.lost) {
        if let EntryChange::Rename {
            from,
            to,
            from_synced,
            to_synced,
            ..
        } = &mut op.change
        {
            *from_synced |= from.0 == dir;
            *to_synced |= to.0 == dir;
        }
    }
    let mut synced: Vec<bool> = ops
        .iter()
        .map(|op| {
            let whole = match op.change {
                EntryChange::Rename {
                    from_synced,
                    to_synced,
                    ..
                } => from_synced && to_synced,
                _ => true,
            };
            !op.lost && whole && op.touches(dir)
        })
        .collect();
    for (i, before) in predecessors(ops).into_iter().enumerate().rev() {
        if synced[i] {
            before.into_iter().for_each(|b| synced[b] = true);
        }
    }
    let mut taken = Vec::new();
    let mut left = Vec::new();
    for (op, synced) in std::mem::take(ops).into_iter().zip(synced) {
        if synced {
            taken.push(op)
        } else {
            left.push(op)
        }
    }
    *ops = left;
    taken
}

/// A sync of `dir` failed.
pub(super) fn lose(ops: &mut [EntryOp], dir: NodeId) {
    for op in ops.iter_mut().filter(|op| op.touches(dir)) {
        op.lost = true;
    }
}
