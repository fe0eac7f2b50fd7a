//! Making a life that breaks a promise as short as possible.

use std::time::{Duration, Instant};

use super::explore::{Broken, Depth, Explorer};
use super::place::Place;

/// How long is looked for a shorter life.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Leaves out steps as long as what is left still breaks a promise.
pub(super) fn shrink(broken: Broken, depth: Depth) -> Broken {
    let began = Instant::now();
    let mut best = broken;
    let mut kept: Vec<usize> = match &best.place.kept {
        Some(kept) => kept.clone(),
        None => (0..best.place.script().len()).collect(),
    };
    let mut size = kept.len().div_ceil(2);
    while size > 0 && began.elapsed() < TIME_MAX {
        let mut from = 0;
        let mut shrunk = false;
        while from < kept.len() && began.elapsed() < TIME_MAX {
            let mut fewer = kept.clone();
            fewer.drain(from..(from + size).min(kept.len()));
            let place = Place {
                kept: Some(fewer.clone()),
                ..Place::new(best.place.source.clone())
            };
            let depth = Depth {
                part: (0, 1),
                ..depth
            };
            match Explorer::new(depth).life(&place) {
                Err(broken) => {
                    (kept, best, shrunk) = (fewer, broken, true);
                }
                Ok(()) => from += size,
            }
        }
        if !(shrunk && size == 1) {
            size /= 2;
        }
    }
    best
}
