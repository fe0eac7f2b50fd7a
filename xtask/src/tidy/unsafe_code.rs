//! Unsafe code stays in the crate that talks to the operating system.

use super::Finding;
use super::repo::Repo;
use super::source::{Literals, code_only, has_word};

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let sources = repo.files.iter().filter(|f| f.path.ends_with(".rs"));
    let mut findings = Vec::new();
    for file in sources.filter(|f| !f.path.starts_with("docdb-vfs/src/")) {
        for (i, line) in code_only(&file.text, Literals::Blank).lines().enumerate() {
            if has_word(line, "unsafe") {
                findings.push(Finding::at_line(&file.path, i + 1, "unsafe code"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::repo::Repo;

    #[test]
    fn unsafe_is_found_outside_the_vfs() {
        let repo = Repo::of(&[
            (
                "docdb-wal/src/a.rs",
                "// unsafe\nfn a() { \"unsafe\"; }\nunsafe fn b() {}",
            ),
            ("docdb-vfs/src/a.rs", "unsafe fn b() {}"),
        ]);
        let found: Vec<_> = super::check(&repo)
            .iter()
            .map(|f| f.place.clone())
            .collect();
        assert_eq!(found, ["docdb-wal/src/a.rs:3"]);
    }
}
