//! Just enough of Rust's lexical rules to look at code without its comments, literals and tests.

/// What to leave of the literals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Literals {
    Keep,
    Blank,
}

/// The source with comments, items under `#[cfg(test)]` and, if asked, what is inside literals
/// replaced by spaces. Lines and columns stay where they were.
pub(super) fn code_only(text: &str, literals: Literals) -> String {
    let blanked = blank(text, Literals::Blank);
    let mut code = if literals == Literals::Blank {
        blanked.clone()
    } else {
        blank(text, literals)
    };
    for (start, end) in test_items(&blanked) {
        blank_range(&mut code, start, end);
    }
    code.into_iter().collect()
}

/// Whether a file holds only tests, by its name.
pub(super) fn is_test_file(path: &str) -> bool {
    path.split('/')
        .any(|part| part == "tests" || part == "benches" || part == "examples")
        || path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
}

/// Whether `word` stands in `line` with nothing around it that would make it another word.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !is_part(line[..at].chars().next_back()) && !is_part(line[at + word.len()..].chars().next())
    })
}

fn blank_range(text: &mut [char], start: usize, end: usize) {
    for c in &mut text[start..end] {
        if *c != '\n' {
            *c = ' ';
        }
    }
}

fn blank(text: &str, literals: Literals) -> Vec<char> {
    let source: Vec<char> = text.chars().collect();
    let mut out = source.clone();
    let mut at = 0;
    while at < source.len() {
        let start = at;
        at = match (source[at], source.get(at + 1)) {
            ('/', Some('/')) => {
                let end = find(&source, at, |s| s[0] == '\n');
                blank_range(&mut out, start, end);
                end
            }
            ('/', Some('*')) => {
                let end = block_comment_end(&source, at);
                blank_range(&mut out, start, end);
                end
            }
            ('"', _) => {
                let end = string_end(&source, at + 1);
                if literals == Literals::Blank {
                    blank_range(&mut out, start + 1, end.saturating_sub(1).max(start + 1));
                }
                end
            }
            ('r', Some('"' | '#')) if !is_inside_word(&source, at) => {
                match raw_string(&source, at + 1) {
                    Some((inside, closing, end)) => {
                        if literals == Literals::Blank {
                            blank_range(&mut out, inside, closing);
                        }
                        end
                    }
                    None => at + 1,
                }
            }
            ('\'', Some(next)) => {
                let end = if *next == '\\' {
                    find(&source, at + 3, |s| s[0] == '\'') + 1
                } else if source.get(at + 2) == Some(&'\'') {
                    at + 3
                } else {
                    // A lifetime.
                    at + 1
                };
                let end = end.min(source.len());
                if literals == Literals::Blank && end > at + 1 {
                    blank_range(&mut out, start + 1, end - 1);
                }
                end
            }
            _ => at + 1,
        };
    }
    out
}

fn is_inside_word(source: &[char], at: usize) -> bool {
    // `br"..."` is a raw string too, `for"` is not.
    let before = |n: usize| at.checked_sub(n).map(|i| source[i]);
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let is_prefix = matches!(before(1), Some('b' | 'c')) && !is_part(before(2));
    is_part(before(1)) && !is_prefix
}

/// The first position from `at` on where the condition holds, or the end.
fn find(source: &[char], at: usize, holds: impl Fn(&[char]) -> bool) -> usize {
    (at..source.len())
        .find(|&i| holds(&source[i..]))
        .unwrap_or(source.len())
}

fn block_comment_end(source: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < source.len() {
        match (source[at], source.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    source.len()
}

fn string_end(source: &[char], inside: usize) -> usize {
    let mut at = inside;
    while at < source.len() {
        match source[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    source.len()
}

/// Where a raw string's text starts and ends and where the literal ends, given the position after
/// its `r`.
fn raw_string(source: &[char], at: usize) -> Option<(usize, usize, usize)> {
    let hashes = source[at..].iter().take_while(|c| **c == '#').count();
    if source.get(at + hashes) != Some(&'"') {
        return None;
    }
    let inside = at + hashes + 1;
    let closing = find(source, inside, |s| {
        s[0] == '"' && s.len() > hashes && s[1..=hashes].iter().all(|c| *c == '#')
    });
    Some((inside, closing, (closing + hashes + 1).min(source.len())))
}

/// The ranges of items under `#[cfg(test)]`, in code whose comments and literals are blank.
fn test_items(code: &[char]) -> Vec<(usize, usize)> {
    let marker: Vec<char> = "#[cfg(test)]".chars().collect();
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let start = find(code, at, |s| s.starts_with(&marker));
        let body = find(code, start + marker.len(), |s| s[0] == '{' || s[0] == ';');
        let end = if code.get(body) == Some(&'{') {
            block_end(code, body)
        } else {
            body
        };
        if start < code.len() {
            ranges.push((start, end.min(code.len())));
        }
        at = end.max(start + 1);
    }
    ranges
}

fn block_end(code: &[char], open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code.iter().enumerate().skip(open) {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, literals: Literals) -> String {
        code_only(text, literals)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn comments_and_literals_are_blank() {
        let text = "let a = \"x // y\"; // z\nlet b = '\"'; /* c /* d */ e */ let f: &'a str = r#\"g\"h\"#;";
        assert_eq!(
            words(text, Literals::Blank),
            "let a = \" \"; let b = ' '; let f: &'a str = r#\" \"#;"
        );
        assert_eq!(
            words(text, Literals::Keep),
            "let a = \"x // y\"; let b = '\"'; let f: &'a str = r#\"g\"h\"#;"
        );
        assert_eq!(code_only(text, Literals::Blank).len(), text.len());
        assert_eq!(
            words("b'\\'' br\"a\" '\\\\' x", Literals::Blank),
            "b' ' br\" \" ' ' x"
        );
    }

    #[test]
    fn tests_are_blank() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n#[cfg(test)]\n#[allow(x)]\nmod t {\n fn c() { \"}\"; }\n}\nfn d() {}";
        assert_eq!(
            words(text, Literals::Blank),
            "fn a() {} ; fn b() {} fn d() {}"
        );
        assert!(is_test_file("docdb-wal/src/tests.rs"));
        assert!(is_test_file("docdb-wal/tests/crash.rs"));
        assert!(is_test_file("docdb-wal/src/group_tests.rs"));
        assert!(!is_test_file("docdb-wal/src/attests.rs"));
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("x unsafe { y }", "unsafe"));
        assert!(!has_word("unsafe_code not_unsafe", "unsafe"));
    }
}
