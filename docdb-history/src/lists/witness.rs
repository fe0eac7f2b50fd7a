//! Why an edge is there: which key and which elements make it.

use super::cycles::Cycle;
use super::graph::{Dependencies, Edge};
use super::orders::Orders;
use super::store::Kind;
use super::words::Words;

/// A cycle in words, a sentence for each edge.
pub(super) fn cycle(
    orders: &Orders<'_>,
    graph: &Dependencies,
    cycle: &Cycle,
) -> (Vec<usize>, String) {
    // Points in time are nobody's names: the edge leads to the next transaction.
    let mut txns: Cycle = cycle.clone();
    txns.retain(|(node, _)| graph.is_txn(*node));
    let words = Words::of(orders);
    let said = (0..txns.len()).map(|i| {
        let (from, kind) = txns[i];
        let to = txns[(i + 1) % txns.len()].0;
        let (from_said, to_said) = (words.txn(from), words.txn(to));
        let because = match reason(orders, from, kind, to) {
            Some((key, Some(element))) => format!("{element} of key {key}"),
            Some((key, None)) => format!("an element of key {key}"),
            None => "an element".to_owned(),
        };
        match kind {
            Edge::Ww => {
                format!("{to_said} appended {because} behind what {from_said} had appended")
            }
            Edge::Wr => format!("{to_said} saw {because}, which {from_said} had appended"),
            Edge::Rw => format!("{from_said} did not see {because}, which {to_said} appended"),
            Edge::Session => format!("{from_said} came before {to_said} in the same process"),
            Edge::RealTime => format!("{from_said} was over before {to_said} began"),
        }
    });
    let said = said.collect::<Vec<_>>().join("; ");
    (txns.iter().map(|(node, _)| *node as usize).collect(), said)
}

/// Whether two transactions read one version of a list and both appended to it.
pub(super) fn replaced_one_version(orders: &Orders<'_>, a: u32, b: u32) -> bool {
    let ops = |txn: u32| {
        let range = orders.history.ops_of(txn as usize);
        range.map(|at| orders.history.ops[at])
    };
    let replaced = |txn: u32| {
        let reads = ops(txn).filter(|op| op.kind() == Kind::Known);
        let replaces =
            move |key: u32| ops(txn).any(|op| op.key == key && op.kind() == Kind::Append);
        reads
            .filter(move |op| replaces(op.key))
            .map(|op| (op.key, op.length()))
    };
    replaced(a).any(|version| replaced(b).any(|other| other == version))
}

/// The key that makes an edge, and the element.
fn reason(orders: &Orders<'_>, from: u32, kind: Edge, to: u32) -> Option<(u64, Option<u64>)> {
    let history = orders.history;
    let name = |key: u32| history.keys[key as usize].name;
    let ops = |txn: u32| {
        let range = history.ops_of(txn as usize);
        range.map(|at| (at as u32, history.ops[at]))
    };
    let before = |key: u32, place: u32| {
        let places = (0..place).rev();
        places.filter_map(|place| orders.writer(key, place)).next()
    };
    match kind {
        Edge::Ww => ops(to).find_map(|(at, op)| {
            let place = orders.place_of(at);
            let end = orders.elements_of(op.key).len() as u32;
            let follows =
                op.kind() == Kind::Append && before(op.key, place.unwrap_or(end)) == Some(from);
            follows.then_some((name(op.key), Some(op.value)))
        }),
        Edge::Wr => ops(to).find_map(|(_, op)| {
            let last = op.length().checked_sub(1)?;
            if op.kind() != Kind::Known || orders.writer(op.key, last) != Some(from) {
                return None;
            }
            let known = &history.keys[op.key as usize].known;
            Some((name(op.key), known.get(last as usize).copied()))
        }),
        Edge::Rw => ops(from).find_map(|(_, op)| {
            if op.kind() != Kind::Known {
                return None;
            }
            let count = orders.elements_of(op.key).len() as u32;
            let next = (op.length()..count).find(|place| orders.writer(op.key, *place).is_some());
            let element = match next {
                Some(place) if orders.writer(op.key, place) == Some(to) => {
                    Some(history.keys[op.key as usize].known[place as usize])
                }
                Some(_) => None,
                None => ops(to)
                    .find(|(at, o)| {
                        let unseen = orders.place_of(*at).is_none();
                        o.key == op.key && o.kind() == Kind::Append && unseen
                    })
                    .map(|(_, o)| o.value),
            };
            element.map(|element| (name(op.key), Some(element)))
        }),
        Edge::Session | Edge::RealTime => None,
    }
}
