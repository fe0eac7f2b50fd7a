//! The page about formats on disk changes whenever a format's source does.
//!
//! The page's last lines hold a hash of every format source, comments and tests left out. A change
//! of a format fails the check until somebody has looked at the page and blessed it.

use super::Finding;
use super::repo::{File, Repo};
use super::source::{Literals, code_only, is_test_file};

const PAGE: &str = "docs/on-disk-format.md";
const BEGIN: &str = "<!-- Hashes of the format sources, written by `cargo xtask tidy --bless`:\n";
const END: &str = "-->\n";

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let sources: Vec<&File> = format_sources(repo).collect();
    let mut findings = Vec::new();
    for source in &sources {
        let crate_name = source.path.split('/').next().unwrap_or_default();
        let mut tests = repo.files_below(crate_name, ".rs");
        if !tests.any(|f| f.text.contains("golden")) {
            findings.push(Finding::new(&source.path, "its crate has no golden test"));
        }
    }
    let Some(page) = repo.file(PAGE) else {
        if !sources.is_empty() {
            findings.push(Finding::new(PAGE, "is missing"));
        }
        return findings;
    };
    let recorded = page.text.split_once(BEGIN).map_or("", |(_, footer)| footer);
    let recorded: Vec<&str> = recorded
        .lines()
        .take_while(|line| *line != END.trim())
        .collect();
    for source in &sources {
        if !recorded.contains(&hash_line(source).as_str()) {
            let what = format!("has changed: see whether {PAGE} still describes it, then bless");
            findings.push(Finding::new(&source.path, what));
        }
    }
    for line in recorded {
        let path = line.split(' ').next().unwrap_or_default();
        if !sources.iter().any(|s| s.path == path) {
            findings.push(Finding::new(
                PAGE,
                format!("holds a hash of {path}, which is gone"),
            ));
        }
    }
    findings
}

/// The page with the hashes of the sources as they are now.
pub(super) fn bless(repo: &Repo) -> Option<(String, String)> {
    let page = repo.file(PAGE)?;
    let body = page
        .text
        .split_once(BEGIN)
        .map_or(page.text.as_str(), |(body, _)| body);
    let lines: Vec<String> = format_sources(repo).map(hash_line).collect();
    let footer = format!("{BEGIN}{}\n{END}", lines.join("\n"));
    Some((PAGE.to_owned(), format!("{}\n\n{footer}", body.trim_end())))
}

/// Modules named `format`, of one file or several.
fn format_sources(repo: &Repo) -> impl Iterator<Item = &File> {
    repo.files.iter().filter(|f| {
        let is_format = f.path.ends_with("/format.rs") || f.path.contains("/format/");
        f.path.contains("/src/") && f.path.ends_with(".rs") && is_format && !is_test_file(&f.path)
    })
}

fn hash_line(file: &File) -> String {
    let code = code_only(&file.text, Literals::Keep);
    let dense: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{} {:016x}", file.path, fnv1a(dense.as_bytes()))
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "docdb-wal/src/format/group.rs";

    fn repo(source: &str, page: &str) -> Repo {
        Repo::of(&[
            (SOURCE, source),
            (PAGE, page),
            ("docdb-wal/src/tests.rs", "fn golden() {}"),
        ])
    }

    fn blessed(source: &str) -> String {
        bless(&repo(source, "# Formats\n"))
            .expect("there is a page")
            .1
    }

    #[test]
    fn a_changed_format_is_found_until_it_is_blessed() {
        let source = "const MAGIC: &[u8] = b\"DOCDB\"; // old\n";
        let page = blessed(source);
        assert_eq!(check(&repo(source, &page)), []);
        assert_eq!(check(&repo(&source.replace("old", "new"), &page)), []);
        let changed = source.replace("DOCDB", "DOCDC");
        assert_eq!(check(&repo(&changed, &page))[0].place, SOURCE);
        let page = bless(&repo(&changed, &page)).expect("there is a page").1;
        assert_eq!(check(&repo(&changed, &page)), []);
        assert_eq!(page.matches(BEGIN).count(), 1);
        assert!(page.starts_with("# Formats\n"));
    }

    #[test]
    fn missing_pages_golden_tests_and_sources_are_found() {
        let alone = Repo::of(&[(SOURCE, "")]);
        let found: Vec<_> = check(&alone).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "docdb-wal/src/format/group.rs: its crate has no golden test",
                "docs/on-disk-format.md: is missing",
            ]
        );
        let gone = Repo::of(&[(PAGE, &blessed(""))]);
        assert_eq!(check(&gone).len(), 1);
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
