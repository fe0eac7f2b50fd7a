//! What a pass of each part proves, and what it cannot, in words for who reads the report alone.

/// See the module's documentation.
pub(super) struct Proof {
    pub(super) proves: &'static str,
    pub(super) cannot: &'static str,
}

pub(super) fn of(part: &str) -> Proof {
    let (proves, cannot) = match part {
        "sim" => (
            "On a simulated disk that loses power between any two operations, and keeps any part of what \
             was not synced, the database comes back as it was after some prefix of its commits, with \
             every acknowledged one, as each durability mode promises.",
            "That a real device does what the simulated one does: one that lies about syncs can lose \
             what was acknowledged.",
        ),
        "io" => (
            "When any single operation on the disk fails, or all from there on, nothing acknowledged is \
             lost, nothing is invented, and every error says what happened.",
            "That a real device reports its errors.",
        ),
        "flip" => (
            "A bit that changes on the disk is found when it matters and reported with its place; \
             damaged documents are never passed off as whole.",
            "Damage to the last commit of a database that was not closed looks like a commit that was \
             never finished.",
        ),
        "bounds" => (
            "Writers that are faster than the disk are slowed down, not refused; memory, log and data \
             files stay within their budgets.",
            "How long a real disk takes: time is simulated.",
        ),
        "kill" => (
            "The real server on this disk, killed at these moments, lost no acknowledged write in the \
             modes that promise so, and in the mode that writes behind no more than a tail; commits and \
             transactions were whole or absent, and scans, counts and reads agreed.",
            "What the kernel holds survives the end of a process: this is no loss of power, which the \
             simulated parts show.",
        ),
        "history" => (
            "The transactions that ran, as they happened to overlap, with losses of power and kills in \
             between, could have been what their isolation levels promise.",
            "It says nothing of interleavings that did not happen.",
        ),
        "planted" => (
            "The other parts can fail: each of these bugs, planted on purpose in builds that are never \
             released, was caught.",
            "That a bug of another kind would be caught.",
        ),
        _ => (
            "Nothing is known of this part.",
            "Nothing is known of this part.",
        ),
    };
    Proof { proves, cannot }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_part_has_its_words() {
        for part in super::super::super::parts::NAMES {
            assert!(
                !super::of(part).proves.contains("Nothing is known"),
                "{part}"
            );
        }
    }
}
