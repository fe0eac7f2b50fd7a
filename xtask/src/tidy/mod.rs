//! `cargo xtask tidy`: the rules of this repository that the compiler does not know.
//!
//! Every check is a pure function of the repository's files and Cargo's own view of the workspace,
//! and answers with findings, each of which names its place.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

mod crate_docs;
mod errors_page;
mod file_effects;
mod formats;
mod layers;
mod licences;
mod links;
mod markers;
mod metadata;
mod repo;
mod source;
mod tokio_reach;
mod unsafe_code;

use repo::Repo;

/// Options of `cargo xtask tidy`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Rewrite the parts of pages that are generated: the error table and the formats' hashes
    #[arg(long)]
    bless: bool,
}

/// One thing that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    /// A path below the repository's root, with a line if there is one, or a crate's name.
    place: String,
    what: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding {
            place: place.into(),
            what: what.into(),
        }
    }

    fn at_line(path: &str, line: usize, what: impl Into<String>) -> Finding {
        Finding::new(format!("{path}:{line}"), what)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

type Check = fn(&Repo) -> Vec<Finding>;

const CHECKS: &[(&str, Check)] = &[
    ("lower crates do not depend on upper ones", layers::check),
    (
        "tokio is reachable only through docdb-server and docdb-client",
        tokio_reach::check,
    ),
    (
        "files and sockets are reached only through docdb-vfs",
        file_effects::check,
    ),
    ("unsafe code only in docdb-vfs", unsafe_code::check),
    (
        "library crates have a README, an example and crate docs",
        crate_docs::check,
    ),
    (
        "dependencies have allowed licences and sources",
        licences::check,
    ),
    ("pages are linked and links lead somewhere", links::check),
    ("docs/errors.md lists every error kind", errors_page::check),
    (
        "docs/on-disk-format.md is in step with the format sources",
        formats::check,
    ),
    (
        "no unfinished work, no paths of one machine",
        markers::check,
    ),
];

/// Runs every check and prints what it found.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let mut repo = Repo::load()?;
    if options.bless {
        for (path, text) in [errors_page::bless(&repo), formats::bless(&repo)]
            .into_iter()
            .flatten()
        {
            repo.write(&path, text)?;
            println!("wrote {path}");
        }
    }
    let mut findings_count = 0;
    for (name, check) in CHECKS {
        let findings = check(&repo);
        println!(
            "{} {name}",
            if findings.is_empty() { "ok  " } else { "FAIL" }
        );
        for finding in &findings {
            println!("     {finding}");
        }
        findings_count += findings.len();
    }
    if findings_count == 0 {
        println!(
            "tidy: {} checks passed over {} files",
            CHECKS.len(),
            repo.files.len()
        );
        Ok(ExitCode::SUCCESS)
    } else {
        println!("tidy: {findings_count} findings");
        Ok(ExitCode::FAILURE)
    }
}
