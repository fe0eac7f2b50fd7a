//! Every page can be found from the README, and no link inside the repository is broken.

use std::collections::HashSet;

use super::Finding;
use super::repo::Repo;

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut linked = HashSet::new();
    for page in repo.files.iter().filter(|f| f.path.ends_with(".md")) {
        for (line, target) in links(&page.text) {
            if is_elsewhere(&target) {
                continue;
            }
            let (path, anchor) = match target.split_once('#') {
                Some((path, anchor)) => (path, Some(anchor)),
                None => (target.as_str(), None),
            };
            let Some(path) = resolve(&page.path, path) else {
                let what = format!("the link {target} leaves the repository");
                findings.push(Finding::at_line(&page.path, line, what));
                continue;
            };
            if path != page.path {
                linked.insert(path.clone());
            }
            if !path.is_empty() && !repo.paths.contains(&path) {
                findings.push(Finding::at_line(
                    &page.path,
                    line,
                    format!("broken link {target}"),
                ));
            } else if let (Some(anchor), Some(file)) = (anchor, repo.file(&path))
                && file.path.ends_with(".md")
                && !anchors(&file.text).contains(anchor)
            {
                let what = format!("no heading for the link {target}");
                findings.push(Finding::at_line(&page.path, line, what));
            }
        }
    }
    for page in repo.files_below("docs", ".md") {
        if !linked.contains(&page.path) {
            findings.push(Finding::new(&page.path, "no other page links to it"));
        }
    }
    findings
}

fn is_elsewhere(target: &str) -> bool {
    ["http://", "https://", "mailto:"]
        .iter()
        .any(|scheme| target.starts_with(scheme))
}

/// The link targets of a page with their lines, those in code left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (i, line) in prose_lines(text) {
        let line = without_code_spans(line);
        let mut rest = line.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let end = rest.find([')', ' ']).unwrap_or(rest.len());
            links.push((i + 1, rest[..end].trim_matches(['<', '>']).to_owned()));
            rest = &rest[end..];
        }
        if line.starts_with('[')
            && let Some((_, target)) = line.split_once("]: ")
        {
            links.push((i + 1, target.trim().to_owned()));
        }
    }
    links
}

fn prose_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

fn without_code_spans(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The names by which a page's headings can be linked.
fn anchors(text: &str) -> HashSet<String> {
    let headings = prose_lines(text).filter_map(|(_, line)| {
        let heading = line.trim_start_matches('#');
        (heading.len() < line.len() && heading.starts_with(' ')).then_some(heading.trim())
    });
    headings
        .map(|heading| {
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().to_lowercase().replace(' ', "-")
        })
        .collect()
}

/// The path from the root that a link on a page leads to.
fn resolve(page: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(page.to_owned());
    }
    if link.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::repo::Repo;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        super::check(&Repo::of(files))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn broken_links_are_found_with_their_line() {
        let readme = "# A\n[a](docs/a.md#the-one-b) [x](docs/b.md)\n[y](/etc/passwd) [z](../out.md)\n\
                      [w](https://example.org/no) `[c](no.md)`\n```\n[c](no.md)\n```\n[v](docs/a.md#no)";
        assert_eq!(
            found(&[
                ("README.md", readme),
                ("docs/a.md", "## The one: `b`\n[up](../README.md)")
            ]),
            [
                "README.md:2: broken link docs/b.md",
                "README.md:3: the link /etc/passwd leaves the repository",
                "README.md:3: the link ../out.md leaves the repository",
                "README.md:8: no heading for the link docs/a.md#no",
            ]
        );
    }

    #[test]
    fn a_page_that_nobody_links_is_found() {
        assert_eq!(
            found(&[
                ("README.md", "[a](docs/a.md)"),
                ("docs/a.md", "[b](b.md)"),
                ("docs/b.md", ""),
                ("docs/c.md", "[c](c.md)"),
            ]),
            ["docs/c.md: no other page links to it"]
        );
    }
}
