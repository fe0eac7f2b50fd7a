//! Every library crate can be picked up alone: README, example, crate docs, package fields.

use super::Finding;
use super::repo::Repo;

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    let libraries = repo
        .metadata
        .members()
        .filter(|p| p.targets.iter().any(|t| t.kind.iter().any(|k| k == "lib")))
        // What is never published is for this repository's own tests.
        .filter(|p| p.publish.as_ref().is_none_or(|to| !to.is_empty()));
    for package in libraries {
        let name = package.name.as_str();
        if package
            .description
            .as_deref()
            .unwrap_or_default()
            .is_empty()
        {
            findings.push(Finding::new(
                format!("{name}/Cargo.toml"),
                "has no description",
            ));
        }
        if package.readme.is_none() {
            findings.push(Finding::new(
                format!("{name}/Cargo.toml"),
                "names no readme",
            ));
        }
        let lib_path = format!("{name}/src/lib.rs");
        let lib = repo.file(&lib_path).map_or("", |f| f.text.as_str());
        if !lib.trim_start().starts_with("//!") && !lib.contains("#![doc = include_str!(") {
            findings.push(Finding::new(&lib_path, "has no crate documentation"));
        }
        let readme_path = format!("{name}/README.md");
        match repo.file(&readme_path) {
            None => findings.push(Finding::new(&readme_path, "is missing")),
            Some(readme) => {
                if !has_compiled_example(&readme.text) {
                    findings.push(Finding::new(&readme_path, "has no Rust example"));
                } else if !lib.contains("include_str!(\"../README.md\")") {
                    let what = "does not include README.md, so that its example is not compiled";
                    findings.push(Finding::new(&lib_path, what));
                }
            }
        }
        if repo
            .files_below(&format!("{name}/examples"), ".rs")
            .next()
            .is_none()
        {
            findings.push(Finding::new(format!("{name}/examples"), "has no example"));
        }
    }
    findings
}

/// Whether a page has a code block that rustdoc compiles.
fn has_compiled_example(page: &str) -> bool {
    let fences = page
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("```"));
    fences.step_by(2).any(|info| {
        info.split(',').map(str::trim).all(|word| {
            ["", "rust", "no_run", "should_panic"].contains(&word) || word.starts_with("edition")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::{metadata, repo::Repo};

    #[test]
    fn what_a_library_lacks_is_found() {
        let mut repo = Repo::of(&[
            ("docdb-a/src/lib.rs", "fn a() {}"),
            ("docdb-a/README.md", "# a"),
        ]);
        repo.metadata = metadata::of(&[("docdb-a", &[])], &[]);
        let found: Vec<_> = super::check(&repo)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "docdb-a/src/lib.rs: has no crate documentation",
                "docdb-a/README.md: has no Rust example",
                "docdb-a/examples: has no example",
            ]
        );
    }

    #[test]
    fn examples_are_those_that_rustdoc_compiles() {
        for good in [
            "```\nx\n```",
            "```rust,no_run\n```",
            "```sh\n```\n```no_run\n```",
        ] {
            assert!(super::has_compiled_example(good), "{good}");
        }
        for bad in ["", "```sh\nx\n```", "```text\n```", "```rust,ignore\n```"] {
            assert!(!super::has_compiled_example(bad), "{bad}");
        }
    }

    #[test]
    fn a_complete_library_passes() {
        let lib =
            "//! A.\n#[cfg(doctest)]\n#[doc = include_str!(\"../README.md\")]\nstruct Readme;";
        let mut repo = Repo::of(&[
            ("docdb-a/src/lib.rs", lib),
            ("docdb-a/README.md", "```rust\n```"),
            ("docdb-a/examples/a.rs", "fn main() {}"),
        ]);
        repo.metadata = metadata::of(&[("docdb-a", &[])], &[]);
        assert_eq!(super::check(&repo), []);
    }
}
