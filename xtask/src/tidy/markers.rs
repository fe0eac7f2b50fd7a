//! Nothing unfinished, nothing that holds on one machine only.

use super::Finding;
use super::repo::Repo;

/// What must not stand anywhere. Split, so that this file passes its own check.
const MARKERS: &[(&str, &str, &str)] = &[
    ("to", "do!(", "unfinished code"),
    ("unimple", "mented!(", "unfinished code"),
    ("FIX", "ME", "a marker of unfinished work"),
    ("TO", "DO:", "a marker of unfinished work"),
    ("/ro", "ot/", "a path of one machine"),
    ("/wo", "rk/", "a path of one machine"),
    ("/ho", "me/", "a path of one machine"),
    ("/Us", "ers/", "a path of one machine"),
];

const SUFFIXES: &[&str] = &[
    ".rs", ".md", ".toml", ".yml", ".yaml", ".sh", ".py", ".json", ".ci/run", ".service",
];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repo
        .files
        .iter()
        .filter(|f| SUFFIXES.iter().any(|s| f.path.ends_with(s)))
    {
        for (first, second, what) in MARKERS {
            let marker = format!("{first}{second}");
            for (i, _) in file
                .text
                .lines()
                .enumerate()
                .filter(|(_, l)| l.contains(&marker))
            {
                findings.push(Finding::at_line(
                    &file.path,
                    i + 1,
                    format!("{marker}: {what}"),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::repo::Repo;

    #[test]
    fn every_marker_is_found() {
        for (first, second, _) in super::MARKERS {
            let text = format!("fine\n// {first}{second}\n");
            let found = super::check(&Repo::of(&[("a/b.rs", &text), ("a/b.bin", &text)]));
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].place, "a/b.rs:2");
        }
    }
}
