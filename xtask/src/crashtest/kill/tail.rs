//! What a kill may take back of a database that writes behind: the last commits, and never one from
//! their midst.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::oracle::{Known, Oracle, Place, Seen};

/// On top of what the mode promises: machines stand still now and then, and a write takes its time.
const GRACE: Duration = Duration::from_secs(2);

/// What was taken back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) commits: u64,
    /// How long before the kill the oldest of them was acknowledged.
    pub(super) age: Duration,
    pub(super) violations: Vec<String>,
}

/// Takes back, newest first, the fewest commits after which what all lanes of a database know is what
/// is there. What no such number explains stays to be judged as of a mode that loses nothing.
pub(super) fn take_back(
    oracles: &mut [&mut Oracle],
    seen: &HashMap<Place, Seen>,
    killed: Instant,
    tail: Duration,
) -> Lost {
    let excused: Vec<Vec<Place>> = oracles
        .iter()
        .map(|oracle| oracle.places_of_pending(seen))
        .collect();
    let mut wrong = 0_u64;
    for (oracle, excused) in oracles.iter().zip(&excused) {
        let places = oracle.known.keys().filter(|place| !excused.contains(place));
        let is_wrong = |place: &&Place| oracle.is_wrong(place, seen.get(place));
        wrong += places.filter(is_wrong).count() as u64;
    }
    // Places that are written by their own lane alone, so that each commit belongs to one oracle.
    let mut commits: Vec<(u64, usize)> = Vec::new();
    for (index, oracle) in oracles.iter().enumerate() {
        commits.extend(oracle.recent.iter().map(|commit| (commit.version, index)));
    }
    commits.sort_unstable();
    let mut plan = Vec::new();
    let mut left = commits.len();
    let mut shown: Vec<usize> = oracles.iter().map(|oracle| oracle.recent.len()).collect();
    let mut states: Vec<HashMap<Place, Option<Known>>> = vec![HashMap::new(); oracles.len()];
    while wrong > 0 && left > 0 {
        left -= 1;
        let index = commits[left].1;
        let oracle = &oracles[index];
        shown[index] -= 1;
        let commit = &oracle.recent[shown[index]];
        for (place, before) in &commit.before {
            let is_excused = excused[index].contains(place);
            let now = match states[index].get(place) {
                Some(known) => *known,
                None => oracle.known.get(place).copied(),
            };
            if !is_excused {
                let found = seen.get(place);
                wrong -= u64::from(Oracle::differs(now.as_ref(), found));
                wrong += u64::from(Oracle::differs(before.as_ref(), found));
            }
            states[index].insert(*place, *before);
        }
        plan.push((index, commit.version, commit.acknowledged));
    }
    if wrong > 0 {
        return Lost::default();
    }
    let mut lost = Lost {
        commits: plan.len() as u64,
        ..Lost::default()
    };
    let oldest = plan.last().map(|(_, version, _)| *version);
    for place in excused.iter().flatten() {
        let found = seen.get(place).map(|seen| seen.version);
        if let (Some(oldest), Some(found)) = (oldest, found)
            && found > oldest
        {
            lost.violations.push(format!(
                "{place}: the unanswered commit of version {found} is there, but the acknowledged one \
                 of version {oldest} before it is not"
            ));
        }
    }
    for (index, _, acknowledged) in plan {
        lost.age = lost.age.max(killed.saturating_duration_since(acknowledged));
        oracles[index].undo_last();
    }
    if lost.age > tail * 2 + GRACE {
        lost.violations.push(format!(
            "a commit that was acknowledged {:?} before the kill is gone, although the mode writes \
             every {tail:?}",
            lost.age
        ));
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::super::document::Stamp;
    use super::super::oracle::{Attempt, Collection};
    use super::*;

    const TAIL: Duration = Duration::from_millis(20);

    fn place(id: u64) -> Place {
        Place {
            collection: Collection::Chosen,
            id,
        }
    }

    fn write(id: u64, sequence: u64) -> Attempt {
        let stamp = Stamp {
            lane: id,
            sequence,
            fill_bytes: 3,
        };
        Attempt {
            place: place(id),
            stamp: Some(stamp),
        }
    }

    /// Two lanes that write 1 and 2: versions 1, 3, 5 and 2, 4.
    fn lanes() -> (Oracle, Oracle) {
        let (mut first, mut second) = (Oracle::writing_behind(), Oracle::writing_behind());
        for (version, sequence) in [(1, 1), (3, 2), (5, 3)] {
            first
                .acknowledge(&[write(1, sequence)], version)
                .expect("rises");
        }
        for (version, sequence) in [(2, 1), (4, 2)] {
            second
                .acknowledge(&[write(2, sequence)], version)
                .expect("rises");
        }
        (first, second)
    }

    fn seen(documents: &[(u64, u64, u64)]) -> HashMap<Place, Seen> {
        let seen = documents.iter().map(|&(id, sequence, version)| {
            let stamp = write(id, sequence).stamp;
            (place(id), Seen { stamp, version })
        });
        seen.collect()
    }

    #[test]
    fn a_tail_is_taken_back_and_a_hole_is_not() {
        for (found, lost) in [
            (&[(1, 3, 5), (2, 2, 4)][..], Some(0)),
            (&[(1, 2, 3), (2, 2, 4)], Some(1)),
            (&[(1, 2, 3), (2, 1, 2)], Some(2)),
            (&[(1, 1, 1)], Some(4)),
            (&[], Some(5)),
            // The other lane's later commit is there.
            (&[(1, 1, 1), (2, 2, 4)], None),
            (&[(2, 2, 4)], None),
            (&[(1, 2, 5), (2, 2, 4)], None),
        ] {
            let (mut first, mut second) = lanes();
            let seen = seen(found);
            let taken = take_back(&mut [&mut first, &mut second], &seen, Instant::now(), TAIL);
            let violations = [first.judge(&only(&seen, 1)), second.judge(&only(&seen, 2))];
            let is_clean = violations.iter().all(|judged| judged.violations.is_empty());
            assert_eq!(is_clean, lost.is_some(), "{found:?}");
            assert_eq!(taken.commits, lost.unwrap_or(0), "{found:?}");
        }
    }

    #[test]
    fn what_is_old_must_not_be_lost() {
        let (mut first, mut second) = lanes();
        let later = Instant::now() + Duration::from_secs(60);
        let taken = take_back(&mut [&mut first, &mut second], &seen(&[]), later, TAIL);
        assert_eq!(taken.violations.len(), 1);
    }

    fn only(seen: &HashMap<Place, Seen>, id: u64) -> HashMap<Place, Seen> {
        let own = seen.iter().filter(|(place, _)| place.id == id);
        own.map(|(place, seen)| (*place, *seen)).collect()
    }
}
