//! A lower crate knows nothing of an upper one.

use super::Finding;
use super::repo::Repo;

/// Every crate and the crates of this workspace that it may depend on. A new line or a new name here
/// is a decision about the architecture.
const ALLOWED: &[(&str, &[&str])] = &[
    ("docdb-types", &[]),
    ("docdb-vfs", &[]),
    ("docdb-mvcc", &[]),
    ("docdb-wal", &["docdb-vfs"]),
    ("docdb-wal-shuttle", &["docdb-vfs"]),
    ("docdb-datafile", &["docdb-vfs"]),
    ("docdb-index", &["docdb-vfs", "docdb-mvcc"]),
    (
        "docdb-engine",
        &[
            "docdb-types",
            "docdb-vfs",
            "docdb-wal",
            "docdb-datafile",
            "docdb-mvcc",
            "docdb-index",
        ],
    ),
    (
        "docdb-pool",
        &["docdb-types", "docdb-vfs", "docdb-wal", "docdb-engine"],
    ),
    ("docdb-ipc", &["docdb-types"]),
    (
        "docdb-server",
        &[
            "docdb-types",
            "docdb-vfs",
            "docdb-wal",
            "docdb-engine",
            "docdb-pool",
            "docdb-ipc",
        ],
    ),
    ("docdb-client", &["docdb-types", "docdb-ipc"]),
    ("docdb-history", &[]),
    (
        "docdb-crashtest",
        &[
            "docdb-types",
            "docdb-vfs",
            "docdb-wal",
            "docdb-engine",
            "docdb-pool",
            "docdb-history",
        ],
    ),
    (
        "xtask",
        &[
            "docdb-types",
            "docdb-vfs",
            "docdb-wal",
            "docdb-datafile",
            "docdb-mvcc",
            "docdb-index",
            "docdb-engine",
            "docdb-pool",
            "docdb-ipc",
            "docdb-client",
            "docdb-history",
            "docdb-crashtest",
        ],
    ),
];

/// What the tests of every crate may use; it is never published.
const FOR_TESTS: [&str; 2] = ["docdb-history", "docdb-crashtest"];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let members: Vec<_> = repo.metadata.members().collect();
    let mut findings = Vec::new();
    for package in &members {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
            findings.push(Finding::new(
                &package.name,
                "has no place in the table of layers",
            ));
            continue;
        };
        for dependency in &package.dependencies {
            // Tests of the two outermost crates may run against each other.
            let in_tests = dependency.kind.as_deref() == Some("dev");
            if in_tests && ["docdb-server", "docdb-client"].contains(&package.name.as_str()) {
                continue;
            }
            if dependency.name == package.name && in_tests {
                continue;
            }
            if in_tests && FOR_TESTS.contains(&dependency.name.as_str()) {
                continue;
            }
            if members.iter().any(|m| m.name == dependency.name)
                && !allowed.contains(&dependency.name.as_str())
            {
                let what = format!("must not depend on {}", dependency.name);
                findings.push(Finding::new(&package.name, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::{metadata, repo::Repo};

    #[test]
    fn what_is_for_tests_is_for_nothing_else() {
        let mut repo = Repo::of(&[]);
        let members: &[(&str, &[&str])] =
            &[("docdb-history", &[]), ("docdb-engine", &["docdb-history"])];
        repo.metadata = metadata::of(members, &[]);
        let found: Vec<_> = super::check(&repo)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["docdb-engine: must not depend on docdb-history"]);
        repo.metadata.packages[1].dependencies[0].kind = Some("dev".to_owned());
        assert_eq!(super::check(&repo), []);
    }

    #[test]
    fn an_upward_dependency_is_found() {
        let mut repo = Repo::of(&[]);
        repo.metadata = metadata::of(
            &[
                ("docdb-vfs", &["bytes"]),
                ("docdb-wal", &["docdb-vfs", "docdb-engine"]),
                ("docdb-engine", &["docdb-wal"]),
                ("docdb-new", &[]),
            ],
            &[("bytes", &[])],
        );
        let found: Vec<_> = super::check(&repo)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "docdb-wal: must not depend on docdb-engine",
                "docdb-new: has no place in the table of layers",
            ]
        );
    }
}
