//! Finding a place in what is sorted, when its ends tell about where it is.

/// Where `id` is among `len` ids from `first` to `last`, if they are evenly spread; exact for ids
/// without gaps, up to 2^52 of them.
pub(super) fn guess_id(first: u64, last: u64, len: usize, id: u64) -> usize {
    if id <= first || last <= first {
        return 0;
    }
    let steps = len.saturating_sub(1);
    // Rounding costs a step of the search at most.
    let share = (id - first) as f64 * steps as f64 / (last - first) as f64;
    (share as usize).min(steps)
}

/// How many of `0..len` fulfil `is_before`, which holds up to some number and not from there on.
/// Takes two calls if `guess` is right, and as many as the error has bits, twice, if not.
pub(super) fn partition(len: usize, guess: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    if guess < len {
        let mut step = 1;
        if is_before(guess) {
            low = guess + 1;
            while low + step - 1 < high {
                let probe = low + step - 1;
                if !is_before(probe) {
                    high = probe;
                    break;
                }
                low = probe + 1;
                step *= 2;
            }
        } else {
            high = guess;
            while let Some(probe) = high.checked_sub(step) {
                if is_before(probe) {
                    low = probe + 1;
                    break;
                }
                high = probe;
                step *= 2;
            }
        }
    }
    while low < high {
        let middle = low.midpoint(high);
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_found_from_every_guess() {
        for len in 0..40 {
            for place in 0..=len {
                for guess in 0..len + 3 {
                    let found = partition(len, guess, |i| {
                        assert!(i < len);
                        i < place
                    });
                    assert_eq!(found, place, "{len} {guess}");
                }
            }
        }
    }

    #[test]
    fn a_guess_is_exact_without_gaps_and_never_outside() {
        for (first, len) in [(1, 1), (1, 110), (1 << 40, 91_000), (u64::MAX - 9, 10)] {
            for i in 0..len {
                let last = first + (len as u64 - 1);
                assert_eq!(guess_id(first, last, len, first + i as u64), i);
            }
        }
        for id in [0, 1, 7, u64::MAX / 2, u64::MAX] {
            for (first, last) in [(0, u64::MAX), (5, 6), (u64::MAX, u64::MAX), (3, 3)] {
                assert!(guess_id(first, last, 10, id) < 10);
            }
        }
    }
}
