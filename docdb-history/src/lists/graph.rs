//! The dependencies between transactions.

use super::orders::Orders;
use super::store::Kind;
use super::tarjan::Graph;
use crate::model::{Level, Outcome};

/// Kinds of edges. An edge leads from who comes first to who comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    /// The later one overwrote what the first had written.
    Ww,
    /// The later one read what the first had written.
    Wr,
    /// The later one overwrote what the first had read.
    Rw,
    /// One process ran the first, then the later one.
    Session,
    /// The first was over before the later one began.
    RealTime,
}

const KINDS: [Edge; 5] = [Edge::Ww, Edge::Wr, Edge::Rw, Edge::Session, Edge::RealTime];
const KIND_BITS: u32 = 3;

impl Edge {
    pub(super) fn bit(self) -> u8 {
        1 << self as u8
    }
}

pub(super) const DEPENDENCIES: u8 = 1 << Edge::Ww as u8 | 1 << Edge::Wr as u8;
pub(super) const DATA: u8 = DEPENDENCIES | 1 << Edge::Rw as u8;
pub(super) const ALL: u8 = DATA | 1 << Edge::Session as u8 | 1 << Edge::RealTime as u8;

/// All edges, 4 bytes each. Nodes are the transactions and, behind them, points in time: real-time
/// order would be quadratic in edges from transaction to transaction.
pub(super) struct Dependencies {
    heads: Vec<u32>,
    edges: Vec<u32>,
    snapshot_level: Vec<bool>,
    txns: u32,
}

impl Dependencies {
    pub(super) fn new(orders: &Orders<'_>, session: bool, real_time: bool) -> Self {
        let txns = orders.history.txns.len() as u32;
        let sessions = if session {
            by_session(orders)
        } else {
            Vec::new()
        };
        let (times, points) = if real_time {
            by_time(orders)
        } else {
            (Vec::new(), 0)
        };
        let all = |visit: &mut dyn FnMut(u32, Edge, u32)| {
            for key in 0..orders.history.keys.len() as u32 {
                of_key(orders, key, visit);
            }
            for pair in sessions.windows(2) {
                let process = |txn: u32| orders.history.txns[txn as usize].process;
                if process(pair[0]) == process(pair[1]) {
                    visit(pair[0], Edge::Session, pair[1]);
                }
            }
            for_times(&times, txns, visit);
        };
        let nodes = (txns + points) as usize;
        let mut heads = vec![0u32; nodes + 1];
        all(&mut |from, _, _| heads[from as usize + 1] += 1);
        for node in 0..nodes {
            heads[node + 1] += heads[node];
        }
        let mut next = heads.clone();
        let mut edges = vec![0; heads[nodes] as usize];
        all(&mut |from, kind, to| {
            let slot = &mut next[from as usize];
            edges[*slot as usize] = to << KIND_BITS | kind as u32;
            *slot += 1;
        });
        let levels = orders.history.txns.iter().map(|t| t.level);
        Self {
            heads,
            edges,
            snapshot_level: levels.map(|l| l == Level::Snapshot).collect(),
            txns,
        }
    }

    pub(super) fn edge_count(&self) -> u64 {
        self.edges.len() as u64
    }

    pub(super) fn is_txn(&self, node: u32) -> bool {
        node < self.txns
    }

    /// Whether this is a transaction that did not ask to be serializable.
    pub(super) fn asked_for_snapshot(&self, node: u32) -> bool {
        self.snapshot_level.get(node as usize) == Some(&true)
    }

    pub(super) fn has_snapshot_level(&self) -> bool {
        self.snapshot_level.contains(&true)
    }

    pub(super) fn from(&self, node: u32) -> impl Iterator<Item = (Edge, u32)> {
        let range = self.heads[node as usize] as usize..self.heads[node as usize + 1] as usize;
        self.edges[range].iter().map(|edge| unpack(*edge))
    }
}

fn unpack(edge: u32) -> (Edge, u32) {
    (
        KINDS[(edge & ((1 << KIND_BITS) - 1)) as usize],
        edge >> KIND_BITS,
    )
}

/// The edges that reads and appends of one key show. Linear in the operations on it.
fn of_key(orders: &Orders<'_>, key: u32, visit: &mut dyn FnMut(u32, Edge, u32)) {
    let count = orders.elements_of(key).len() as u32;
    let unseen = orders.unseen_writers(key);
    // For each place, the writer of the first element there or behind it that counts.
    let mut next = vec![None; count as usize + 1];
    for place in (0..count).rev() {
        next[place as usize] = orders.writer(key, place).or(next[place as usize + 1]);
    }
    let mut last = None;
    for place in 0..count {
        let Some(writer) = orders.writer(key, place) else {
            continue;
        };
        if let Some(last) = last.filter(|last| *last != writer) {
            visit(last, Edge::Ww, writer);
        }
        last = Some(writer);
    }
    if let Some(last) = last {
        for writer in unseen.iter().filter(|w| **w != last) {
            visit(last, Edge::Ww, *writer);
        }
    }
    for op in orders.ops_on(key) {
        let row = orders.history.ops[*op as usize];
        let reader = orders.txn_of[*op as usize];
        if row.kind() != Kind::Known || !orders.alive[reader as usize] {
            continue;
        }
        let read = row.length().checked_sub(1);
        if let Some(writer) = read.and_then(|place| orders.writer(key, place))
            && writer != reader
        {
            visit(writer, Edge::Wr, reader);
        }
        match next[row.length() as usize] {
            Some(writer) if writer == reader => {}
            Some(writer) => visit(reader, Edge::Rw, writer),
            // What was never seen stands behind all that was. A reader that is among them is a
            // lost update, which is looked for apart.
            None if unseen.contains(&reader) => {}
            None => {
                for writer in &unseen {
                    visit(reader, Edge::Rw, *writer);
                }
            }
        }
    }
}

/// The transactions that count, by process and in order.
fn by_session(orders: &Orders<'_>) -> Vec<u32> {
    let txns = 0..orders.history.txns.len() as u32;
    let mut alive: Vec<u32> = txns.filter(|t| orders.alive[*t as usize]).collect();
    alive.sort_unstable_by_key(|txn| {
        let row = &orders.history.txns[*txn as usize];
        (row.process, row.begin)
    });
    alive
}

/// Begins and ends in order (an end is a transaction with its lowest bit set), and how many points
/// in time they need.
fn by_time(orders: &Orders<'_>) -> (Vec<u32>, u32) {
    let rows = &orders.history.txns;
    let mut events = Vec::new();
    for txn in 0..rows.len() as u32 {
        if orders.alive[txn as usize] {
            events.push(txn << 1);
            // Where the outcome was unknown, nothing was acknowledged.
            if rows[txn as usize].outcome == Outcome::Committed {
                events.push(txn << 1 | 1);
            }
        }
    }
    events.sort_unstable_by_key(|event| {
        let row = &rows[(event >> 1) as usize];
        let is_end = event & 1 == 1;
        (if is_end { row.end } else { row.begin }, is_end)
    });
    // A point begins where an end follows a begin, or nothing.
    let is_end = |event: Option<&u32>| event.is_some_and(|event| event & 1 == 1);
    let begins_point = |at: &usize| {
        let before = at.checked_sub(1).and_then(|before| events.get(before));
        is_end(events.get(*at)) && !is_end(before)
    };
    let points = (0..events.len()).filter(begins_point).count() as u32;
    (events, points)
}

/// A point in time is after all ends since the last point, and before all begins up to the next.
fn for_times(events: &[u32], txns: u32, visit: &mut dyn FnMut(u32, Edge, u32)) {
    let mut point: Option<u32> = None;
    let mut open = false;
    for event in events {
        let txn = event >> 1;
        if event & 1 == 1 {
            if !open {
                let next = point.map_or(txns, |point| point + 1);
                if let Some(point) = point {
                    visit(point, Edge::RealTime, next);
                }
                (point, open) = (Some(next), true);
            }
            if let Some(point) = point {
                visit(txn, Edge::RealTime, point);
            }
        } else {
            open = false;
            if let Some(point) = point {
                visit(point, Edge::RealTime, txn);
            }
        }
    }
}

/// A part of the edges as a graph of its own.
#[derive(Clone, Copy)]
pub(super) struct View<'g> {
    pub(super) graph: &'g Dependencies,
    /// Which kinds of edges there are, as bits.
    pub(super) kinds: u8,
    /// Only what the levels forbid. A snapshot transaction reads at one point and commits at a later
    /// one, so nothing is wrong with a rw that leads to its commit and one that leaves its snapshot;
    /// a serializable one does both at one point. So behind a rw that leads to a snapshot
    /// transaction the walk is in another node, from which no rw leads. A history is right if there
    /// is no cycle left (for snapshots alone this is the theorem of Cerone and Gotsman).
    pub(super) forbidden: bool,
}

impl View<'_> {
    /// The node of the underlying graph.
    pub(super) fn base(self, node: u32) -> u32 {
        if self.forbidden { node >> 1 } else { node }
    }

    /// Where an edge leads from a node of this view, if it has the edge.
    pub(super) fn follow(self, from: u32, kind: Edge, to: u32) -> Option<u32> {
        if self.kinds & kind.bit() == 0 {
            return None;
        }
        if !self.forbidden {
            return Some(to);
        }
        let is_rw = kind == Edge::Rw;
        let after_rw = from & 1 == 1;
        let to_commit = is_rw && self.graph.asked_for_snapshot(to);
        (!(is_rw && after_rw)).then_some(to << 1 | u32::from(to_commit))
    }

    pub(super) fn from(self, node: u32) -> impl Iterator<Item = (Edge, u32)> {
        let edges = self.graph.from(self.base(node));
        edges.filter_map(move |(kind, to)| Some((kind, self.follow(node, kind, to)?)))
    }
}

impl Graph for View<'_> {
    fn nodes(&self) -> u32 {
        let nodes = self.graph.heads.len() as u32 - 1;
        if self.forbidden { nodes << 1 } else { nodes }
    }

    fn successor(&self, node: u32, cursor: u32) -> Option<(u32, u32)> {
        let base = self.base(node) as usize;
        let end = self.graph.heads[base + 1];
        let first = self.graph.heads[base] + cursor;
        (first..end).find_map(|at| {
            let (kind, to) = unpack(self.graph.edges[at as usize]);
            let to = self.follow(node, kind, to)?;
            Some((to, at + 1 - self.graph.heads[base]))
        })
    }
}
