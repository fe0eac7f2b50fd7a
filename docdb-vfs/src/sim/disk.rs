//! The state of a simulated disk, and the operations on it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};
use std::time::Duration;

use rustix::io::Errno;

use super::crash::SectorSize;
use super::fault::{FaultPlan, Verdict};
use super::file::{FileNode, Length};
use super::hash::Hash64;
use super::namespace::{
    DirNode, Entry, EntryChange, EntryOp, NodeId, ROOT, lose, set_name, take_synced,
};
use super::pages::PAGE_BYTES;
use super::rng::Rng;
use crate::IoOp;

#[derive(Debug, Clone)]
pub(super) enum Node {
    File(FileNode),
    Dir(DirNode),
}

/// Everything about a simulated disk and the machine around it.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) next_node: NodeId,
    /// Changes of entries that no sync has covered, in order.
    pub(super) entry_ops: Vec<EntryOp>,
    pub(super) next_seq: u64,
    /// Crashes so far: a handle of an earlier generation is dead.
    pub(super) generation: u64,
    pub(super) locked: BTreeSet<NodeId>,
    pub(super) plan: FaultPlan,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) unit_sector: SectorSize,
    pub(super) clock: Duration,
    pub(super) rng: Rng,
    pub(super) trace: Hash64,
}

impl Disk {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Node::Dir(DirNode::default()))]),
            next_node: ROOT + 1,
            entry_ops: Vec::new(),
            next_seq: 0,
            generation: 0,
            locked: BTreeSet::new(),
            plan: FaultPlan::default(),
            capacity_bytes: None,
            unit_sector: SectorSize::Bytes4096,
            clock: Duration::ZERO,
            rng: Rng::new(seed),
            trace: Hash64::new(),
        }
    }

    pub(super) fn take_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }

    pub(super) fn add_node(&mut self, node: Node) -> NodeId {
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.insert(id, node);
        id
    }

    pub(super) fn dir(&self, id: NodeId) -> io::Result<&DirNode> {
        match self.nodes.get(&id) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(Errno::NOTDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    pub(super) fn file(&self, id: NodeId) -> io::Result<&FileNode> {
        match self.nodes.get(&id) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(Errno::ISDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    pub(super) fn file_mut(&mut self, id: NodeId) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(Errno::ISDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    /// The node at a path as programs see it now.
    pub(super) fn lookup(&self, path: &Path) -> io::Result<NodeId> {
        let mut at = ROOT;
        for name in names(path) {
            at = *self.dir(at)?.current.get(&name).ok_or(Errno::NOENT)?;
        }
        Ok(at)
    }

    /// The entry that a path means, whether or not it exists.
    pub(super) fn entry(&self, path: &Path) -> io::Result<Entry> {
        let mut names = names(path);
        let name = names.pop().ok_or(Errno::BUSY)?;
        let mut at = ROOT;
        for parent in names {
            at = *self.dir(at)?.current.get(&parent).ok_or(Errno::NOENT)?;
        }
        self.dir(at)?;
        Ok((at, name))
    }

    fn node_at(&self, entry: &Entry) -> io::Result<Option<NodeId>> {
        Ok(self.dir(entry.0)?.current.get(&entry.1).copied())
    }

    /// Carries a change of entries out for programs to see and remembers it as unsynced.
    fn change_entries(&mut self, change: EntryChange) {
        let op = EntryOp {
            seq: self.take_seq(),
            lost: false,
            change,
        };
        op.apply(|(dir, name), node| {
            if let Some(Node::Dir(dir)) = self.nodes.get_mut(dir) {
                set_name(&mut dir.current, name, node);
            }
        });
        self.entry_ops.push(op);
    }

    /// Sets an entry durably at once. Whatever was unsynced in its directory becomes durable first:
    /// its order against this change would otherwise be open.
    pub(super) fn force_entry(&mut self, dir: NodeId, name: &str, node: Option<NodeId>) {
        self.entry_ops
            .iter_mut()
            .filter(|op| op.touches(dir))
            .for_each(|op| op.lost = false);
        self.persist_entries(dir);
        if let Some(Node::Dir(dir)) = self.nodes.get_mut(&dir) {
            set_name(&mut dir.durable, name, node);
            set_name(&mut dir.current, name, node);
        }
    }

    fn persist_entries(&mut self, dir: NodeId) {
        for op in take_synced(&mut self.entry_ops, dir) {
            op.apply(|(dir, name), node| {
                if let Some(Node::Dir(dir)) = self.nodes.get_mut(dir) {
                    set_name(&mut dir.durable, name, node);
                }
            });
        }
    }

    fn set_links(&mut self, id: NodeId, links: u32) {
        if let Ok(file) = self.file_mut(id) {
            file.links = links;
        }
    }

    pub(super) fn create(&mut self, op: IoOp, path: &Path) -> io::Result<NodeId> {
        let verdict = self.begin(op, path, 0, &[])?;
        if let Verdict::Fail(error) = verdict {
            return Err(error);
        }
        let at = self.entry(path)?;
        if self.node_at(&at)?.is_some() {
            return Err(Errno::EXIST.into());
        }
        let node = self.add_node(match op {
            IoOp::CreateDir => Node::Dir(DirNode::default()),
            _ => Node::File(FileNode::default()),
        });
        self.set_links(node, 1);
        self.change_entries(EntryChange::Link { at, node });
        self.end(verdict)?;
        Ok(node)
    }

    pub(super) fn remove(&mut self, path: &Path, is_dir: bool) -> io::Result<()> {
        let verdict = self.begin(IoOp::Remove, path, u64::from(is_dir), &[])?;
        if let Verdict::Fail(error) = verdict {
            return Err(error);
        }
        let at = self.entry(path)?;
        let node = self.node_at(&at)?.ok_or(Errno::NOENT)?;
        if is_dir {
            if !self.dir(node)?.current.is_empty() {
                return Err(Errno::NOTEMPTY.into());
            }
        } else {
            self.file(node)?;
        }
        self.change_entries(EntryChange::Unlink { at });
        self.set_links(node, 0);
        self.end(verdict)
    }

    pub(super) fn rename(&mut self, from_path: &Path, to_path: &Path) -> io::Result<()> {
        let to_bytes = to_path.as_os_str().as_encoded_bytes();
        let verdict = self.begin(IoOp::Rename, from_path, 0, to_bytes)?;
        if let Verdict::Fail(error) = verdict {
            return Err(error);
        }
        let from = self.entry(from_path)?;
        let to = self.entry(to_path)?;
        let node = self.node_at(&from)?.ok_or(Errno::NOENT)?;
        let replaced = self.node_at(&to)?;
        if replaced == Some(node) {
            return self.end(verdict);
        }
        if self.dir(node).is_ok() {
            if names(to_path).starts_with(&names(from_path)) {
                return Err(Errno::INVAL.into());
            }
            if let Some(replaced) = replaced
                && !self.dir(replaced)?.current.is_empty()
            {
                return Err(Errno::NOTEMPTY.into());
            }
        } else if let Some(replaced) = replaced {
            self.file(replaced)?;
        }
        let change = EntryChange::Rename {
            from,
            to,
            node,
            from_synced: false,
            to_synced: false,
        };
        self.change_entries(change);
        if let Some(replaced) = replaced {
            self.set_links(replaced, 0);
        }
        self.end(verdict)
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let verdict = self.begin(IoOp::SyncDir, path, 0, &[])?;
        let id = self.lookup(path)?;
        self.dir(id)?;
        match verdict {
            Verdict::Fail(_) => lose(&mut self.entry_ops, id),
            Verdict::Lie | Verdict::PowerOff => {}
            _ => {
                self.persist_entries(id);
                self.drop_unreachable();
            }
        }
        self.end(verdict)
    }

    /// Forgets nodes that no entry, durable or current, no unsynced operation and no handle means.
    fn drop_unreachable(&mut self) {
        let mut meant: BTreeSet<NodeId> = BTreeSet::from([ROOT]);
        meant.extend(self.entry_ops.iter().filter_map(EntryOp::node));
        for (id, node) in &self.nodes {
            match node {
                Node::Dir(dir) => meant.extend(dir.durable.values().chain(dir.current.values())),
                Node::File(file) if file.handles > 0 => {
                    meant.insert(*id);
                }
                Node::File(_) => {}
            }
        }
        self.nodes.retain(|id, _| meant.contains(id));
    }

    pub(super) fn write(
        &mut self,
        id: NodeId,
        path: &Path,
        offset: u64,
        data: &[u8],
    ) -> io::Result<()> {
        let verdict = self.begin(IoOp::Write, path, offset, data)?;
        let (offset, data) = match verdict {
            Verdict::Fail(error) => return Err(error),
            Verdict::Short => {
                let part = self.rng.below(data.len() as u64) as usize;
                (offset, &data[..part])
            }
            Verdict::Misdirect(offset) => (offset, data),
            Verdict::Go | Verdict::PowerOff | Verdict::Lie => (offset, data),
        };
        let len = data.len() as u64;
        check_end(offset.checked_add(len))?;
        let missing = self.file(id)?.current.missing_pages(offset, len);
        self.check_space(missing)?;
        let seq = self.take_seq();
        self.file_mut(id)?.write(seq, offset, data);
        self.end(verdict)
    }

    pub(super) fn set_length(
        &mut self,
        op: IoOp,
        id: NodeId,
        path: &Path,
        len: u64,
    ) -> io::Result<()> {
        let verdict = self.begin(op, path, len, &[])?;
        if let Verdict::Fail(error) = verdict {
            return Err(error);
        }
        check_end(Some(len))?;
        let length = match op {
            IoOp::Allocate => {
                let missing = self.file(id)?.current.missing_pages(0, len);
                self.check_space(missing)?;
                Length::Reserve(len)
            }
            _ => Length::Resize(len),
        };
        let seq = self.take_seq();
        self.file_mut(id)?.set_length(seq, length);
        self.end(verdict)
    }

    pub(super) fn sync_file(&mut self, id: NodeId, path: &Path) -> io::Result<()> {
        let verdict = self.begin(IoOp::Sync, path, 0, &[])?;
        let file = self.file_mut(id)?;
        match verdict {
            Verdict::Fail(_) => file.lose_unsynced(),
            Verdict::Lie | Verdict::PowerOff => {}
            _ => file.sync(),
        }
        self.end(verdict)
    }

    fn check_space(&self, missing_pages: u64) -> io::Result<()> {
        let Some(capacity) = self.capacity_bytes else {
            return Ok(());
        };
        if missing_pages > 0 && self.used_pages() + missing_pages > capacity / PAGE_BYTES {
            return Err(Errno::NOSPC.into());
        }
        Ok(())
    }

    /// Pages of all files that have a name or an open handle.
    pub(super) fn used_pages(&self) -> u64 {
        let files = self.nodes.values().filter_map(|node| match node {
            Node::File(file) if file.links + file.handles > 0 => Some(file),
            _ => None,
        });
        files.map(|file| file.current.allocated_pages()).sum()
    }

    /// Calls `visit` with every file that the given view of the directories leads to, by path, in
    /// the order of the names.
    pub(super) fn walk<'a>(
        &'a self,
        view: impl Fn(&'a DirNode) -> &'a BTreeMap<String, NodeId>,
        mut visit: impl FnMut(&str, NodeId, &'a Node),
    ) {
        let mut todo = vec![(String::new(), ROOT)];
        while let Some((path, id)) = todo.pop() {
            let Some(node) = self.nodes.get(&id) else {
                continue;
            };
            if let Node::Dir(dir) = node {
                let entries = view(dir).iter().rev();
                todo.extend(entries.map(|(name, id)| (format!("{path}/{name}"), *id)));
            }
            visit(&path, id, node);
        }
    }
}

/// Refuses what ends past the largest offset that a kernel knows.
pub(super) fn check_end(end: Option<u64>) -> io::Result<()> {
    match end {
        Some(end) if i64::try_from(end).is_ok() => Ok(()),
        _ => Err(Errno::INVAL.into()),
    }
}

/// The names along a path from the root; relative paths start there too.
fn names(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => {
                names.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    names
}
