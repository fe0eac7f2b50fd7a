//! Documents and patches made from choices.

use super::choices::Choices;

const KEYS: [&str; 12] = [
    "a", "b", "c", "", "a/b", "~", "~1", "é", "a\\u0062", "\\u0061", "0", "\\\"\\\\",
];
const SCALARS: [&str; 12] = [
    "null",
    "true",
    "0",
    "1.10",
    "1e2",
    "-0",
    "9007199254740993",
    "123456789012345678901234567890",
    "\"\"",
    "\"\\u00e9\\/\\ud83d\\ude00\"",
    "\"é, {\\\"a\\\":[1]}\"",
    "\"a string of more than a few words, and then some\"",
];
const SPACES: [&str; 6] = ["", "", "", " ", "\n  ", "\t\r\n"];
const LEVELS_MAX: usize = 4;

fn space(choices: &mut Choices<'_>, out: &mut String) {
    out.push_str(choices.one_of(&SPACES));
}

/// A value. Objects may have a key twice only where `doubles` is set.
pub(super) fn value(choices: &mut Choices<'_>, out: &mut String, doubles: bool, levels: usize) {
    match choices.below(4) {
        0 | 1 if levels < LEVELS_MAX => {
            out.push('{');
            let mut keys = Vec::new();
            for _ in 0..choices.below(if levels == 0 { 50 } else { 5 }) {
                let mut key = choices.one_of(&KEYS).to_owned();
                if !doubles && keys.contains(&super::model::meaning(&format!("\"{key}\""))) {
                    key = format!("k{}", keys.len());
                }
                keys.push(super::model::meaning(&format!("\"{key}\"")));
                if keys.len() > 1 {
                    out.push(',');
                }
                space(choices, out);
                out.push_str(&format!("\"{key}\""));
                space(choices, out);
                out.push(':');
                space(choices, out);
                value(choices, out, doubles, levels + 1);
                space(choices, out);
            }
            if keys.is_empty() {
                space(choices, out);
            }
            out.push('}');
        }
        2 if levels < LEVELS_MAX => {
            out.push('[');
            for at in 0..choices.below(5) {
                if at > 0 {
                    out.push(',');
                }
                space(choices, out);
                value(choices, out, doubles, levels + 1);
                space(choices, out);
            }
            out.push(']');
        }
        _ => out.push_str(choices.one_of(&SCALARS)),
    }
}

/// A patch that mostly fits documents as they are made here.
pub(super) fn patch(choices: &mut Choices<'_>, out: &mut String) {
    const TOKENS: [&str; 14] = [
        "a", "b", "c", "", "a~1b", "~0", "~01", "é", "ab", "0", "1", "-", "k1", "\\\"\\\\",
    ];
    out.push('[');
    for at in 0..choices.below(12) {
        if at > 0 {
            out.push(',');
        }
        let mut path = String::new();
        for _ in 0..choices.below(5) {
            path.push('/');
            path.push_str(choices.one_of(&TOKENS));
        }
        let op = choices.one_of(&[
            "set",
            "set",
            "set",
            "delete",
            "insert",
            "delete",
            "s\\u0065t",
            "add",
        ]);
        out.push_str(&format!("{{\"op\":\"{op}\", \"path\": \"{path}\""));
        if choices.byte() % 8 != 7 {
            out.push_str(",\"value\":");
            value(choices, out, true, 2);
        }
        out.push('}');
    }
    out.push(']');
}
