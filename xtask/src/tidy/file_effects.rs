//! From docdb-wal up to docdb-pool every effect on files goes through docdb-vfs, so that all of it
//! runs on the simulated disk.

use super::Finding;
use super::repo::Repo;
use super::source::{Literals, code_only, has_word, is_test_file};

const CRATES: &[&str] = &[
    "docdb-wal",
    "docdb-datafile",
    "docdb-mvcc",
    "docdb-index",
    "docdb-engine",
    "docdb-pool",
];

/// Modules of `std` that touch files or sockets.
const MODULES: &[&str] = &["fs", "net"];

const NAMES: &[&str] = &[
    "File::open",
    "File::create",
    "OpenOptions",
    "std::os::unix::net",
    "process::Command",
    "rustix",
];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in CRATES {
        for file in repo.files_below(&format!("{name}/src"), ".rs") {
            if !is_test_file(&file.path) {
                findings.extend(check_file(&file.path, &file.text));
            }
        }
    }
    findings
}

fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let code = code_only(text, Literals::Blank);
    let mut findings = Vec::new();
    let mut in_std_group = false;
    for (i, line) in code.lines().enumerate() {
        let dense: String = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if dense.contains("use std::{") {
            in_std_group = true;
        }
        for module in MODULES {
            let named = has_word(&dense, &format!("std::{module}"));
            if named || (in_std_group && is_group_item(&dense, module)) {
                findings.push(Finding::at_line(
                    path,
                    i + 1,
                    format!("std::{module} is not for this crate"),
                ));
            }
        }
        if dense.ends_with("};") {
            in_std_group = false;
        }
        for name in NAMES {
            if has_word(&dense, name) {
                findings.push(Finding::at_line(
                    path,
                    i + 1,
                    format!("{name} is not for this crate"),
                ));
            }
        }
    }
    findings
}

/// Whether a line of `use std::{...}` takes this module or something in it.
fn is_group_item(line: &str, module: &str) -> bool {
    let items = line.split_once("std::{").map_or(line, |(_, items)| items);
    items.split([',', '{', '}', ' ', ';']).any(|item| {
        item == module
            || item
                .strip_prefix(module)
                .is_some_and(|r| r.starts_with("::"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::repo::Repo;

    fn lines(text: &str) -> Vec<String> {
        super::check_file("f.rs", text)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn every_way_to_name_std_fs_is_found() {
        assert_eq!(
            lines("use std::fs::File;\n"),
            ["f.rs:1: std::fs is not for this crate"]
        );
        assert_eq!(
            lines("use std::{\n    fmt,\n    fs,\n};\n"),
            ["f.rs:3: std::fs is not for this crate"]
        );
        assert_eq!(
            lines("use std::{fmt, net::TcpStream};"),
            ["f.rs:1: std::net is not for this crate"]
        );
        assert_eq!(
            lines("let f = File::open(p);"),
            ["f.rs:1: File::open is not for this crate"]
        );
        assert_eq!(
            lines("use std::{fmt, sync::Arc};\nlet fs = 1;\nuse vfs::VfsFile;"),
            [""; 0]
        );
    }

    #[test]
    fn tests_and_comments_are_left_alone() {
        assert_eq!(
            lines("// std::fs\n#[cfg(test)]\nmod tests { use std::fs; }"),
            [""; 0]
        );
        let repo = Repo::of(&[
            ("docdb-wal/src/tests.rs", "use std::fs;"),
            ("docdb-vfs/src/real.rs", "use std::fs;"),
            ("docdb-wal/src/lib.rs", "use std::fs;"),
        ]);
        let found: Vec<_> = super::check(&repo)
            .iter()
            .map(|f| f.place.clone())
            .collect();
        assert_eq!(found, ["docdb-wal/src/lib.rs:1"]);
    }
}
