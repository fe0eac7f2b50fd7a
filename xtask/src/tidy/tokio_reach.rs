//! Tokio is reachable only through the server, the client and these tasks.

use std::collections::{HashMap, HashSet};

use super::Finding;
use super::metadata::Metadata;
use super::repo::Repo;

const MAY_REACH: &[&str] = &["docdb-server", "docdb-client", "xtask"];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let members = repo.metadata.members();
    members
        .filter(|p| !MAY_REACH.contains(&p.name.as_str()))
        .filter_map(|p| {
            let path = path_to(&repo.metadata, &p.id, "tokio")?;
            Some(Finding::new(
                &p.name,
                format!("reaches tokio: {}", path.join(" -> ")),
            ))
        })
        .collect()
}

/// The names on one way from a package to another over dependencies that are built for its users.
fn path_to<'a>(metadata: &'a Metadata, from: &'a str, target: &str) -> Option<Vec<&'a str>> {
    let names = metadata.names();
    let nodes: HashMap<&str, _> = metadata
        .resolve
        .nodes
        .iter()
        .map(|n| (n.id.as_str(), n))
        .collect();
    let mut seen = HashSet::from([from]);
    let mut ways = vec![vec![from]];
    while let Some(way) = ways.pop() {
        let node = way.last().and_then(|id| nodes.get(id));
        for dep in node.iter().flat_map(|n| &n.deps) {
            let for_users = dep
                .dep_kinds
                .iter()
                .any(|k| k.kind.as_deref() != Some("dev"));
            if !for_users || !seen.insert(&dep.pkg) {
                continue;
            }
            let mut longer = way.clone();
            longer.push(&dep.pkg);
            if names.get(dep.pkg.as_str()) == Some(&target) {
                return Some(
                    longer
                        .iter()
                        .filter_map(|id| names.get(id).copied())
                        .collect(),
                );
            }
            ways.push(longer);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{metadata, repo::Repo};

    #[test]
    fn tokio_is_found_behind_other_packages() {
        let mut repo = Repo::of(&[]);
        repo.metadata = metadata::of(
            &[
                ("docdb-server", &["tokio"]),
                ("docdb-pool", &["helper"]),
                ("docdb-wal", &["bytes"]),
            ],
            &[
                ("tokio", &["bytes"]),
                ("helper", &["bytes", "deep"]),
                ("deep", &["tokio"]),
                ("bytes", &[]),
            ],
        );
        let found: Vec<_> = super::check(&repo)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            found,
            ["docdb-pool: reaches tokio: docdb-pool -> helper -> deep -> tokio"]
        );
    }

    #[test]
    fn tokio_in_tests_is_no_finding() {
        let mut repo = Repo::of(&[]);
        repo.metadata = metadata::of(&[("docdb-pool", &["tokio"])], &[("tokio", &[])]);
        assert_eq!(super::check(&repo).len(), 1);
        repo.metadata.resolve.nodes[0].deps[0].dep_kinds[0].kind = Some("dev".to_owned());
        assert_eq!(super::check(&repo), []);
    }
}
