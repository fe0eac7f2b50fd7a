//! docs/errors.md holds one table, generated from `docdb_types::ErrorKind`.

use docdb_types::ErrorKind;

use super::Finding;
use super::repo::Repo;

const PAGE: &str = "docs/errors.md";
const SOURCE: &str = "docdb-types/src/error_kind.rs";
const BEGIN: &str = "<!-- errors: written by `cargo xtask tidy --bless` -->\n";
const END: &str = "<!-- errors end -->\n";

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let Some(page) = repo.file(PAGE) else {
        return vec![Finding::new(PAGE, "is missing")];
    };
    let source = repo.file(SOURCE).map_or("", |f| f.text.as_str());
    let mut findings = Vec::new();
    for kind in ErrorKind::ALL {
        if meaning(source, *kind).is_none() {
            findings.push(Finding::new(SOURCE, format!("{kind} has no doc comment")));
        }
    }
    match replaced(&page.text, &table(source)) {
        None => findings.push(Finding::new(PAGE, "has no place for the table of errors")),
        Some(text) if text != page.text => {
            let what = "is not what ErrorKind says: run `cargo xtask tidy --bless`";
            findings.push(Finding::new(PAGE, what));
        }
        Some(_) => {}
    }
    findings
}

/// The page with its table as it should be.
pub(super) fn bless(repo: &Repo) -> Option<(String, String)> {
    let source = repo.file(SOURCE)?;
    let text = replaced(&repo.file(PAGE)?.text, &table(&source.text))?;
    Some((PAGE.to_owned(), text))
}

fn replaced(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

fn table(source: &str) -> String {
    let mut table = String::from(
        "| kind | code | class | retryable | may have been written | meaning |\n\
         |---|---|---|---|---|---|\n",
    );
    for kind in ErrorKind::ALL {
        let yes = |yes| if yes { "yes" } else { "no" };
        table += &format!(
            "| {kind} | {} | {} | {} | {} | {} |\n",
            kind.code(),
            kind.class().name(),
            yes(kind.is_retryable()),
            yes(may_have_written(*kind)),
            meaning(source, *kind).unwrap_or_default(),
        );
    }
    table
}

/// Whether a write that was answered with this kind may be there all the same.
fn may_have_written(kind: ErrorKind) -> bool {
    // An I/O error names an operation, which may be the last of several that a request needs, for
    // example when a database is dropped. A bug may have struck after the write.
    matches!(
        kind,
        ErrorKind::OutcomeUnknown | ErrorKind::Io | ErrorKind::Internal
    )
}

/// The kind's doc comment.
fn meaning(source: &str, kind: ErrorKind) -> Option<String> {
    let definition = format!("{kind} = {},", kind.code());
    let mut comment: Vec<&str> = Vec::new();
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            comment.push(text.trim());
        } else if line.starts_with(&definition) {
            return (!comment.is_empty()).then(|| comment.join(" "));
        } else {
            comment.clear();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::repo::Repo;
    use super::*;

    const KINDS: &str = include_str!("../../../docdb-types/src/error_kind.rs");

    #[test]
    fn an_old_table_is_found_and_blessing_mends_it() {
        let old = format!("# Errors\n{BEGIN}| old |\n{END}After.\n");
        let repo = Repo::of(&[(PAGE, &old), (SOURCE, KINDS)]);
        assert_eq!(check(&repo).len(), 1);
        let (_, page) = bless(&repo).expect("there is a page");
        assert!(
            page.contains(
                "\n| NotFound | 1 | permanent | no | no | The document does not exist. |\n"
            )
        );
        assert!(page.starts_with("# Errors\n") && page.ends_with("After.\n"));
        assert_eq!(check(&Repo::of(&[(PAGE, &page), (SOURCE, KINDS)])), []);
    }

    #[test]
    fn retryable_kinds_have_written_nothing() {
        for kind in ErrorKind::ALL {
            assert!(!(kind.is_retryable() && may_have_written(*kind)), "{kind}");
        }
    }
}
