//! Which part is expected to catch a bug: it runs first.

/// Parts that look for bugs.
pub(super) const PARTS: [&str; 6] = ["sim", "io", "flip", "bounds", "kill", "history"];

/// The part that is the fastest, for bugs that the first one does not see.
const FIRST: &[(&str, &str)] = &[
    ("engine:HealedToOlderVersion", "sim"),
    ("engine:HealedUnchecked", "sim"),
    ("engine:BackupUnpinned", "sim"),
    ("engine:BackupUnsynced", "sim"),
    ("wal:IgnoredSyncError", "io"),
    ("wal:RetriedSync", "io"),
    ("wal:ChecksumWithoutPlace", "flip"),
    ("wal:ErrorWakesNobody", "io"),
    ("wal:TokenNotPassed", "history"),
    ("wal:ActBeforeJudging", "flip"),
    ("engine:ManifestErrorIgnored", "io"),
    ("engine:FileNameErrorIgnored", "io"),
    ("pool:CatalogErrorIgnored", "io"),
    ("engine:ScanSkipsDamage", "flip"),
    ("engine:DamageIsAbsence", "flip"),
    ("pool:SecondCopyIgnored", "flip"),
    ("engine:VisibleBeforeInstalled", "history"),
    ("engine:FirstCommitterIgnored", "history"),
    ("engine:ReadSetUnchecked", "history"),
    ("engine:LateCommitsUnchecked", "history"),
    ("engine:BegunBehind", "history"),
    ("engine:CollectedThoughHeld", "history"),
    ("engine:PatchedUnchecked", "kill"),
    ("engine:WritersNotSlowed", "bounds"),
    ("engine:UpkeepRestsAlways", "bounds"),
];

/// All parts that this build has, the one that is expected to catch the bug first.
pub(super) fn order(bug: &str) -> Vec<&'static str> {
    let first = FIRST.iter().find(|(name, _)| *name == bug);
    let first = first.map_or(PARTS[0], |(_, part)| *part);
    let known = |part: &&str| super::super::parts::NAMES.contains(part);
    let mut order: Vec<_> = PARTS.into_iter().filter(|part| known(part)).collect();
    order.sort_by_key(|part| *part != first);
    order
}

#[cfg(test)]
mod tests {
    use super::{FIRST, PARTS, order};

    #[test]
    fn every_part_gets_its_turn_and_the_expected_one_the_first() {
        for (bug, part) in FIRST {
            assert!(PARTS.contains(part), "{bug}: {part}");
            let order = order(bug);
            assert!(
                !order.contains(part) || order[0] == *part,
                "{bug}: {order:?}"
            );
        }
    }
}
