//! What this project is built from may be used by everybody, and comes from crates.io.

use super::Finding;
use super::repo::Repo;

/// SPDX names of licences that ask for no more than a notice.
const ALLOWED: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "0BSD",
    "CC0-1.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Where Cargo says that a package of crates.io comes from.
const SOURCES: &[&str] = &[
    "registry+https://github.com/rust-lang/crates.io-index",
    "sparse+https://index.crates.io/",
];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &repo.metadata.packages {
        match &package.source {
            Some(source) if SOURCES.contains(&source.as_str()) => {}
            Some(source) => {
                findings.push(Finding::new(&package.name, format!("comes from {source}")));
            }
            None if repo.metadata.workspace_members.contains(&package.id) => {}
            None => findings.push(Finding::new(
                &package.name,
                "is a path outside the workspace",
            )),
        }
        match (&package.license, &package.license_file) {
            (Some(licence), _) if is_allowed(licence) => {}
            (Some(licence), _) => {
                findings.push(Finding::new(
                    &package.name,
                    format!("has the licence {licence}"),
                ));
            }
            (None, Some(file)) => {
                findings.push(Finding::new(
                    &package.name,
                    format!("has its own licence in {file}"),
                ));
            }
            (None, None) => findings.push(Finding::new(&package.name, "names no licence")),
        }
    }
    findings
}

/// Whether an SPDX expression can be satisfied with allowed licences alone. A malformed one cannot.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    any_of(&tokens, &mut at) == Some(true) && at == tokens.len()
}

fn any_of(tokens: &[&str], at: &mut usize) -> Option<bool> {
    let mut allowed = all_of(tokens, at)?;
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        allowed |= all_of(tokens, at)?;
    }
    Some(allowed)
}

fn all_of(tokens: &[&str], at: &mut usize) -> Option<bool> {
    let mut allowed = one(tokens, at)?;
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        allowed &= one(tokens, at)?;
    }
    Some(allowed)
}

fn one(tokens: &[&str], at: &mut usize) -> Option<bool> {
    let token = *tokens.get(*at)?;
    *at += 1;
    if token == "(" {
        let allowed = any_of(tokens, at)?;
        let closed = tokens.get(*at) == Some(&")");
        *at += 1;
        return closed.then_some(allowed);
    }
    let mut name = token.to_owned();
    if tokens.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", tokens.get(*at + 1)?);
        *at += 2;
    }
    Some(ALLOWED.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::super::{metadata, repo::Repo};
    use super::is_allowed;

    #[test]
    fn expressions() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR ISC) AND LGPL-2.1",
            "",
            "MIT OR",
            "MIT ISC",
            "GPL-2.0 WITH Classpath-exception-2.0",
            "(MIT",
        ] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }

    #[test]
    fn other_sources_are_found() {
        let mut repo = Repo::of(&[]);
        repo.metadata = metadata::of(&[("docdb-a", &[])], &[("b", &[]), ("c", &[]), ("d", &[])]);
        repo.metadata.packages[1].source = Some("git+https://example.org/b".to_owned());
        repo.metadata.packages[2].source = None;
        repo.metadata.packages[3].license = Some("SSPL-1.0".to_owned());
        let found: Vec<_> = super::check(&repo)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "b: comes from git+https://example.org/b",
                "c: is a path outside the workspace",
                "d: has the licence SSPL-1.0",
            ]
        );
    }
}
