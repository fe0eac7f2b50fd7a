//! JSON lines: one object to a line, and documents as they are stored.

use std::fmt::Write;

/// An object under construction.
#[derive(Debug)]
pub struct Line(Vec<u8>);

impl Default for Line {
    fn default() -> Self {
        Self(b"{".to_vec())
    }
}

impl Line {
    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// Adds a text; `key` needs no escapes.
    #[must_use]
    pub fn text(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        let mut escaped = String::with_capacity(value.len() + 2);
        escaped.push('"');
        for c in value.chars() {
            match c {
                '"' => escaped.push_str("\\\""),
                '\\' => escaped.push_str("\\\\"),
                '\n' => escaped.push_str("\\n"),
                c if c < ' ' => {
                    // Writing to a string does not fail.
                    let _ = write!(escaped, "\\u{:04x}", u32::from(c));
                }
                c => escaped.push(c),
            }
        }
        escaped.push('"');
        self.0.extend_from_slice(escaped.as_bytes());
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, key: &str, value: u64) -> Self {
        self.key(key);
        self.0.extend_from_slice(value.to_string().as_bytes());
        self
    }

    /// Adds a number, or nothing.
    #[must_use]
    pub fn maybe(self, key: &str, value: Option<u64>) -> Self {
        match value {
            Some(value) => self.number(key, value),
            None => self,
        }
    }

    /// Adds a truth value.
    #[must_use]
    pub fn truth(mut self, key: &str, value: bool) -> Self {
        self.key(key);
        self.0
            .extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    /// Adds a document, which is JSON. Line ends and tabs, which can stand between its tokens only,
    /// become spaces.
    #[must_use]
    pub fn document(mut self, key: &str, json: &[u8]) -> Self {
        self.key(key);
        let plain = |byte: &u8| match byte {
            b'\n' | b'\r' | b'\t' => b' ',
            byte => *byte,
        };
        self.0.extend(json.iter().map(plain));
        self
    }

    /// The line, with its end.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json() {
        let line = Line::default()
            .text("name", "a \"b\"\\\n\u{1}ü")
            .number("id", u64::MAX)
            .maybe("none", None)
            .truth("is", true)
            .document("doc", b"{\"a\":\n[1,\t2]}");
        let text = String::from_utf8(line.end()).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["name"], "a \"b\"\\\n\u{1}ü");
        assert_eq!(value["id"], u64::MAX);
        assert_eq!(value["doc"]["a"][1], 2);
    }
}
