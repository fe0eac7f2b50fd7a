//! The text of documents, changed in nothing but the space between tokens.

use std::borrow::Cow;

/// The document with every newline, carriage return and tab turned into a space. In JSON these
/// characters stand between tokens only, so the document stays the same.
pub(crate) fn on_one_line(document: &[u8]) -> Cow<'_, [u8]> {
    let breaks = |byte: u8| matches!(byte, b'\n' | b'\r' | b'\t');
    if !document.iter().copied().any(breaks) {
        return Cow::Borrowed(document);
    }
    Cow::Owned(
        document
            .iter()
            .map(|&byte| if breaks(byte) { b' ' } else { byte })
            .collect(),
    )
}

/// The text of an error on one line.
pub(crate) fn message_on_one_line(message: &str) -> String {
    message.replace(char::is_control, " ")
}

/// One line of export's shape, without its newline; with the name of the collection of `export-db`'s.
pub(crate) fn export_line(
    out: &mut Vec<u8>,
    collection: Option<&str>,
    id: u64,
    version: u64,
    document: &[u8],
) {
    out.push(b'{');
    if let Some(name) = collection {
        let name = serde_json::Value::from(name);
        out.extend_from_slice(format!("\"collection\":{name},").as_bytes());
    }
    out.extend_from_slice(format!("\"id\":{id},\"version\":{version},\"doc\":").as_bytes());
    out.extend_from_slice(&on_one_line(document));
    out.push(b'}');
}

/// The document over several lines, indented by two spaces. Tokens stay as they are written.
pub(crate) fn pretty(document: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len() * 2);
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    // An opening bracket whose first member has not come yet: `{}` stays together.
    let mut just_opened = false;
    for &byte in document {
        if in_string {
            out.push(byte);
            if escaped {
                escaped = false;
            } else if byte == b'\\' {
                escaped = true;
            } else if byte == b'"' {
                in_string = false;
            }
            continue;
        }
        if byte.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(byte, b'}' | b']');
        if closes {
            depth = depth.saturating_sub(1);
        }
        if just_opened != closes && (just_opened || closes) {
            indent(&mut out, depth);
        }
        just_opened = matches!(byte, b'{' | b'[');
        out.push(byte);
        match byte {
            b'{' | b'[' => depth += 1,
            b',' => indent(&mut out, depth),
            b':' => out.push(b' '),
            b'"' => in_string = true,
            _ => {}
        }
    }
    out
}

fn indent(out: &mut Vec<u8>, depth: usize) {
    out.push(b'\n');
    out.resize(out.len() + 2 * depth, b' ');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pretty_keeps_tokens() {
        let text = b"{\"a\":[1.10,{} ,[ ]],\n\"b: \\\",\":null}";
        let lines = [
            "{",
            "  \"a\": [",
            "    1.10,",
            "    {},",
            "    []",
            "  ],",
            "  \"b: \\\",\": null",
            "}",
        ];
        assert_eq!(String::from_utf8(pretty(text)).unwrap(), lines.join("\n"));
        assert_eq!(pretty(b" 1 "), b"1");
    }

    proptest! {
        #[test]
        fn pretty_never_panics(text in "[{}\\[\\]:,\"\\\\a1 ]{0,24}") {
            let pretty = pretty(text.as_bytes());
            let strip = |text: &[u8]| -> Vec<u8> {
                text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
            };
            prop_assert_eq!(strip(&pretty), strip(text.as_bytes()));
        }
    }

    #[test]
    fn breaks_become_spaces_and_nothing_else_changes() {
        assert_eq!(
            &*on_one_line(b"{\r\n\t\"a\\n\" : \"b c\"\n}"),
            b"{   \"a\\n\" : \"b c\" }"
        );
        assert!(matches!(on_one_line(b"{ \"a\": 1 }"), Cow::Borrowed(_)));
    }

    #[test]
    fn export_line_is_json() {
        let mut line = Vec::new();
        export_line(&mut line, None, 1, 2, b"[1.10,\n9007199254740993]");
        assert_eq!(
            line,
            b"{\"id\":1,\"version\":2,\"doc\":[1.10, 9007199254740993]}"
        );
        line.clear();
        export_line(&mut line, Some("a\"b"), 1, 2, b"0");
        assert_eq!(
            line,
            b"{\"collection\":\"a\\\"b\",\"id\":1,\"version\":2,\"doc\":0}"
        );
    }
}
