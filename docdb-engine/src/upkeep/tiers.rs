//! Which runs are merged next.
//!
//! Runs pile up until there is one too many. Then the newest are merged, and with them every older
//! one that is not more than twice as large as all that are newer than it: what is rewritten has
//! grown by a good part since it was last written, so an entry is rewritten a number of times that
//! grows with the logarithm of the number of checkpoints (with 6 runs: 3.0 times for 100 of equal
//! size, 5.3 times for 1,000, 6.7 times for 3,000; with 4 it would be 16.8 times for 3,000).

use std::ops::Range;

/// A run that is not more than so many times as large as all newer ones together is merged with them.
const GROWTH: u64 = 2;
/// All runs are merged when one entry in so many is one that this would drop.
const GARBAGE_SHARE: u64 = 4;

/// The runs to merge, of these many entries, newest first; at least two.
pub(super) fn choose(entries: &[u64], runs_max: usize) -> Option<Range<usize>> {
    if entries.len() <= runs_max.max(1) {
        return None;
    }
    let mut end = 1;
    let mut merged = entries[0];
    while let Some(next) = entries.get(end)
        && (end < 2 || *next <= merged.saturating_mul(GROWTH))
    {
        merged = merged.saturating_add(*next);
        end += 1;
    }
    Some(0..end)
}

/// Whether so much of the runs is deletions or of dropped collections that it pays to rewrite all.
pub(super) fn is_purge_due(entries: u64, garbage: u64) -> bool {
    garbage > 0 && garbage.saturating_mul(GARBAGE_SHARE) >= entries
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checkpoints of equal size, merged as soon as there are too many runs: how often each entry was
    /// written again, and how many runs there were at most.
    fn amplification(checkpoints: usize, runs_max: usize) -> (f64, usize) {
        let (mut runs, mut written, mut most) = (Vec::new(), 0, 0);
        for _ in 0..checkpoints {
            runs.insert(0, 1_000);
            most = most.max(runs.len());
            while let Some(range) = choose(&runs, runs_max) {
                assert!(range.len() >= 2);
                let merged: u64 = runs[range.clone()].iter().sum();
                written += merged;
                runs.splice(range, [merged]);
            }
            assert!(runs.len() <= runs_max);
        }
        (written as f64 / (checkpoints * 1_000) as f64, most)
    }

    #[test]
    fn what_is_rewritten_grows_with_the_logarithm() {
        for (runs_max, checkpoints, times_max) in [
            (8, 10, 1.0),
            (8, 100, 2.5),
            (8, 1_000, 5.0),
            (8, 3_000, 6.0),
            (6, 10, 1.0),
            (6, 100, 3.5),
            (6, 1_000, 6.0),
            (6, 3_000, 7.5),
        ] {
            let (times, runs) = amplification(checkpoints, runs_max);
            println!("{runs_max} runs, {checkpoints} checkpoints: {times:.1} times, {runs} runs");
            assert!(times <= times_max, "{times} times for {checkpoints}");
            assert!(runs <= runs_max + 1);
        }
    }

    #[test]
    fn the_choice_is_made_by_size() {
        assert_eq!(choose(&[1, 1], 2), None);
        assert_eq!(choose(&[1, 1, 100], 2), Some(0..2));
        assert_eq!(choose(&[1, 1, 4], 2), Some(0..3));
        assert_eq!(choose(&[1, 90, 100], 2), Some(0..3));
        assert_eq!(choose(&[1, 90, 1_000], 2), Some(0..2));
        assert_eq!(choose(&[5], 0), None);
        assert_eq!(choose(&[0, 0], 1), Some(0..2));
        assert!(is_purge_due(8, 2) && !is_purge_due(9, 2) && !is_purge_due(0, 0));
    }
}
