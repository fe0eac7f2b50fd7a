//! Cycles of dependencies, and what they are called.

use std::collections::{HashMap, VecDeque};

use super::graph::{ALL, DATA, DEPENDENCIES, Dependencies, Edge, View};
use super::orders::Orders;
use super::tarjan::{Components, components};
use super::witness;
use crate::report::{Anomaly, Report};

/// Most edges of a component from which a cycle of a certain kind is looked for.
const TRIES_MAX: usize = 64;

/// Nodes and the edges that leave them; the last leads back to the first node.
pub(super) type Cycle = Vec<(u32, Edge)>;

/// Looks for every kind of cycle. Linear as long as there is none that is forbidden.
pub(super) fn check(orders: &Orders<'_>, graph: &Dependencies, report: &mut Report) {
    let search = Search { orders, graph };
    search.forbidden(report);
    search.tolerated(report);
}

struct Search<'a, 'h> {
    orders: &'a Orders<'h>,
    graph: &'a Dependencies,
}

impl<'a> Search<'a, '_> {
    fn view(&self, kinds: u8, forbidden: bool) -> View<'a> {
        View {
            graph: self.graph,
            kinds,
            forbidden,
        }
    }

    fn add(&self, kind: Anomaly, allowed: bool, cycle: &Cycle, report: &mut Report) {
        report.add(kind, allowed, || {
            witness::cycle(self.orders, self.graph, cycle)
        });
    }

    /// What the levels of the transactions forbid.
    fn forbidden(&self, report: &mut Report) {
        let everything = self.view(ALL, true);
        let with_order = components(&everything);
        if with_order.members.is_empty() {
            return;
        }
        let ww = self.view(Edge::Ww.bit(), false);
        self.one_of_each(ww, &components(&ww), Edge::Ww, Anomaly::G0, report);
        let dependencies = self.view(DEPENDENCIES, false);
        let found = components(&dependencies);
        self.one_of_each(dependencies, &found, Edge::Wr, Anomaly::G1c, report);

        let data = self.view(DATA, true);
        let found = components(&data);
        for id in 1..=found.members.len() as u32 {
            self.skews(data, &found, id, report, |_| Some(false));
            let starts = edges_within(data, &found, id, Edge::Rw).take(TRIES_MAX);
            let cycles = starts.filter_map(|start| cycle_through(data, &found, id, start));
            let rws = |c: &Cycle| c.iter().filter(|(_, kind)| *kind == Edge::Rw).count();
            let Some(cycle) = cycles.min_by_key(|cycle| (rws(cycle), cycle.len())) else {
                continue;
            };
            let kind = classify(&cycle);
            let counted = matches!(kind, Anomaly::WriteSkew | Anomaly::G0 | Anomaly::G1c)
                || (kind == Anomaly::GSingle && self.is_lost_update(&cycle));
            if !counted {
                self.add(kind, false, &cycle, report);
            }
        }
        if report.is_ok() {
            self.ordered(everything, &with_order, report);
        }
    }

    /// What snapshot isolation allows: worth counting, since a workload in which it never happens
    /// proves nothing about the other level.
    fn tolerated(&self, report: &mut Report) {
        if !self.graph.has_snapshot_level() {
            return;
        }
        let view = self.view(DATA, false);
        let found = components(&view);
        let allowed = |cycle: &Cycle| {
            let before = cycle.iter().cycle().skip(cycle.len() - 1);
            let mut pairs = before.zip(cycle);
            let tolerant = pairs.any(|((_, to), (pivot, from))| {
                *to == Edge::Rw && *from == Edge::Rw && self.graph.asked_for_snapshot(*pivot)
            });
            tolerant.then_some(true)
        };
        for id in 1..=found.members.len() as u32 {
            if self.skews(view, &found, id, report, allowed) > 0 {
                continue;
            }
            let starts = edges_within(view, &found, id, Edge::Rw).take(TRIES_MAX);
            let cycle = starts
                .filter_map(|start| cycle_through(view, &found, id, start))
                .find(|cycle| allowed(cycle).is_some());
            if let Some(cycle) = cycle {
                self.add(classify(&cycle), true, &cycle, report);
            }
        }
    }

    /// Every pair of transactions that do not see each other's writes; answers how many there are.
    /// `allowed` says whether one is, or `None` to pass it over.
    fn skews(
        &self,
        view: View<'_>,
        found: &Components,
        id: u32,
        report: &mut Report,
        allowed: impl Fn(&Cycle) -> Option<bool>,
    ) -> u32 {
        let mut pairs = 0;
        let mut counted = (0, Vec::new());
        for (from, kind, to) in edges_within(view, found, id, Edge::Rw) {
            if counted.0 != from {
                counted = (from, Vec::new());
            }
            let back = |(kind, node): (Edge, u32)| kind == Edge::Rw && node == from;
            if from < to && !counted.1.contains(&to) && view.from(to).any(back) {
                counted.1.push(to);
                let cycle = vec![(view.base(from), kind), (view.base(to), Edge::Rw)];
                if let Some(allowed) = allowed(&cycle) {
                    self.add(Anomaly::WriteSkew, allowed, &cycle, report);
                    pairs += 1;
                }
            }
        }
        pairs
    }

    /// Cycles that exist only by the order of sessions or of time. Looked for where nothing else is
    /// wrong, as anything else brings such cycles with it.
    fn ordered(&self, view: View<'_>, found: &Components, report: &mut Report) {
        self.one_of_each(view, found, Edge::Session, Anomaly::SessionCycle, report);
        self.one_of_each(view, found, Edge::RealTime, Anomaly::RealTimeCycle, report);
    }

    fn one_of_each(
        &self,
        view: View<'_>,
        found: &Components,
        through: Edge,
        kind: Anomaly,
        report: &mut Report,
    ) {
        for id in 1..=found.members.len() as u32 {
            let mut starts = edges_within(view, found, id, through);
            let cycle = starts.find_map(|start| cycle_through(view, found, id, start));
            if let Some(cycle) = cycle {
                self.add(kind, false, &cycle, report);
            }
        }
    }

    /// Whether a cycle is about a version that both replaced, which is reported as a lost update.
    fn is_lost_update(&self, cycle: &Cycle) -> bool {
        let no_wr = cycle.iter().all(|(_, kind)| *kind != Edge::Wr);
        cycle.len() == 2
            && no_wr
            && witness::replaced_one_version(self.orders, cycle[0].0, cycle[1].0)
    }
}

/// What a cycle without the order of sessions and time is called.
fn classify(cycle: &Cycle) -> Anomaly {
    let is_rw = |i: usize| cycle[i % cycle.len()].1 == Edge::Rw;
    let rws = (0..cycle.len()).filter(|i| is_rw(*i)).count();
    let adjacent = rws > 1 && (0..cycle.len()).any(|i| is_rw(i) && is_rw(i + 1));
    match rws {
        0 if cycle.iter().all(|(_, kind)| *kind == Edge::Ww) => Anomaly::G0,
        0 => Anomaly::G1c,
        1 => Anomaly::GSingle,
        _ if !adjacent => Anomaly::LongFork,
        2 if cycle.len() == 2 => Anomaly::WriteSkew,
        _ => Anomaly::G2Item,
    }
}

/// The edges of one kind inside a component.
fn edges_within<'a>(
    view: View<'a>,
    found: &'a Components,
    id: u32,
    kind: Edge,
) -> impl Iterator<Item = (u32, Edge, u32)> {
    let members = &found.members[id as usize - 1];
    members.iter().flat_map(move |from| {
        let edges = view
            .from(*from)
            .filter(move |(k, to)| *k == kind && found.component_of[*to as usize] == id);
        edges.map(|(kind, to)| (*from, kind, to))
    })
}

/// The shortest cycle through an edge inside a component, on nodes of the underlying graph.
fn cycle_through(
    view: View<'_>,
    found: &Components,
    id: u32,
    (from, kind, to): (u32, Edge, u32),
) -> Option<Cycle> {
    let mut came: HashMap<u32, (u32, Edge)> = HashMap::new();
    let mut open = VecDeque::from([to]);
    while let Some(node) = open.pop_front() {
        if node == from {
            break;
        }
        for (kind, next) in view.from(node) {
            if found.component_of[next as usize] == id && next != to {
                came.entry(next).or_insert_with(|| {
                    open.push_back(next);
                    (node, kind)
                });
            }
        }
    }
    let mut back = Vec::new();
    let mut node = from;
    while node != to {
        let (before, kind) = *came.get(&node)?;
        back.push((before, kind));
        node = before;
    }
    let mut cycle = vec![(from, kind)];
    cycle.extend(back.into_iter().rev());
    if view.forbidden {
        cycle = without_detours(cycle);
    }
    cycle
        .iter_mut()
        .for_each(|(node, _)| *node = view.base(*node));
    Some(cycle)
}

/// A walk may meet a transaction twice where two nodes stand for it; then the part of the walk that
/// begins at the one after a rw and ends at the other is a cycle by itself.
fn without_detours(mut cycle: Cycle) -> Cycle {
    while let Some((after_rw, other)) = meeting(&cycle) {
        cycle.rotate_left(after_rw);
        let length = (other + cycle.len() - after_rw) % cycle.len();
        cycle.truncate(length);
    }
    cycle
}

/// Two places of one transaction, the one after a rw first.
fn meeting(cycle: &Cycle) -> Option<(usize, usize)> {
    let places: HashMap<u32, usize> = cycle.iter().map(|(n, _)| *n).zip(0..).collect();
    cycle.iter().enumerate().find_map(|(at, (node, _))| {
        let other = places.get(&(node ^ 1))?;
        (node & 1 == 1).then_some((at, *other))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_have_their_names() {
        use Edge::{Rw, Wr, Ww};
        let named = |kinds: &[Edge]| classify(&kinds.iter().map(|k| (0, *k)).collect());
        assert_eq!(named(&[Ww, Ww]), Anomaly::G0);
        assert_eq!(named(&[Ww, Wr]), Anomaly::G1c);
        assert_eq!(named(&[Rw, Wr]), Anomaly::GSingle);
        assert_eq!(named(&[Rw, Wr, Rw, Wr]), Anomaly::LongFork);
        assert_eq!(named(&[Rw, Rw]), Anomaly::WriteSkew);
        assert_eq!(
            named(&[Rw, Wr, Rw]),
            Anomaly::G2Item,
            "adjacent around the end"
        );
        assert_eq!(named(&[Rw, Rw, Rw]), Anomaly::G2Item);
    }

    #[test]
    fn a_walk_that_meets_itself_is_cut_to_a_cycle() {
        use Edge::{Rw, Wr, Ww};
        // Transaction 2 is met as node 4, after a dependency, and as node 5, after a rw.
        let walk: Cycle = vec![(4, Ww), (8, Rw), (5, Wr), (12, Wr)];
        assert_eq!(without_detours(walk), [(5, Wr), (12, Wr)]);
        let clean: Cycle = vec![(4, Ww), (8, Rw), (11, Wr)];
        assert_eq!(without_detours(clean.clone()), clean);
    }
}
