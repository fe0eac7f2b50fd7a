//! The fewest steps of a life that still break with such a fault.

use docdb_engine::Durability;

use super::case::{Case, Depth, calls_of};
use super::judge_caught;
use super::life::Step;

/// Lives that are tried at most.
const TRIES_MAX: usize = 3_000;

/// Leaves out steps as long as some call of the same kind still breaks the life, and returns what is
/// left, one line each, the call last.
pub(super) fn shrink(steps: &[Step], mode: Durability, case: &Case) -> Vec<String> {
    let mut tries = TRIES_MAX;
    let mut fewest = steps.to_vec();
    let mut broken = case.clone();
    let mut n = fewest.len();
    // From the end, since what comes last depends on most.
    while n > 0 {
        n -= 1;
        let mut fewer = fewest.clone();
        fewer.remove(n);
        if let Some(found) = breaks(&fewer, mode, case, &mut tries) {
            (fewest, broken) = (fewer, found);
        }
    }
    let mut lines: Vec<String> = fewest.iter().map(Step::to_string).collect();
    let how = if broken.sticky { "for good" } else { "once" };
    lines.push(format!("{} {how}: {}", broken.fault.text(), broken.call));
    lines
}

/// The first call like that of `case` whose failure breaks a promise.
fn breaks(steps: &[Step], mode: Durability, case: &Case, tries: &mut usize) -> Option<Case> {
    // A step may need one that is gone.
    let calls = calls_of(steps, mode).ok()?;
    for call in calls.into_iter().filter(|call| call.is_like(&case.call)) {
        *tries = tries.checked_sub(1)?;
        let case = Case {
            call,
            ..case.clone()
        };
        if judge_caught(steps, mode, &case, Depth { random: 0 })
            .broken
            .is_some()
        {
            return Some(case);
        }
    }
    None
}
