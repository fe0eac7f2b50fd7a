//! Hand-written cases, and the checker held against serde_json.

use proptest::prelude::*;
use serde_json::Value;

use super::{JSON_DEPTH_MAX, JsonProblem as P, check};

/// Checks a text and holds the verdict against serde_json's: whatever is accepted must parse there,
/// and only a number that is infinite when rounded exactly may be accepted by serde_json alone.
fn verdict(text: &[u8]) -> Result<(), (P, usize)> {
    let ours = check(text).map_err(|e| (e.what, e.offset));
    let theirs = serde_json::from_slice::<Value>(text);
    let shown = String::from_utf8_lossy(text);
    match (&ours, &theirs) {
        (Ok(()), Err(e)) => panic!("accepted here, refused by serde_json ({e}): {shown}"),
        (Err((P::NumberOutOfRange, at)), Ok(_)) => {
            let rest = std::str::from_utf8(&text[*at..]).expect("UTF-8 was checked first");
            let is_number = |c: char| matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
            let end = rest.find(|c| !is_number(c)).unwrap_or(rest.len());
            let exact: f64 = rest[..end].parse().expect("a number");
            assert!(
                exact.is_infinite(),
                "refused here, finite, accepted by serde_json: {shown}"
            );
        }
        (Err(e), Ok(_)) => panic!("refused here ({e:?}), accepted by serde_json: {shown}"),
        _ => {}
    }
    ours
}

fn accepts(text: &str) {
    assert_eq!(verdict(text.as_bytes()), Ok(()), "{text}");
}

fn refuses(text: impl AsRef<[u8]>, what: P, offset: usize) {
    let text = text.as_ref();
    assert_eq!(
        verdict(text),
        Err((what, offset)),
        "{}",
        String::from_utf8_lossy(text)
    );
}

#[test]
fn every_kind_of_value_is_a_document() {
    for text in [
        "{}",
        "[]",
        "\"\"",
        "0",
        "-0",
        "true",
        "false",
        "null",
        "\"a\"",
        "[null]",
        "{\"\":0}",
        "[[],[[]],{}]",
        "{\"a\":{\"b\":[1,2,{\"c\":null}]}}",
        "{\"a\":1,\"a\":2}",
        "[\"\u{7f}\"]",
        " \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } \n",
        "\"\u{fffe}\u{10ffff}\u{2028}\"",
        "\"asd \"",
        "[1,null,null,null,2]",
    ] {
        accepts(text);
    }
}

#[test]
fn numbers() {
    for text in [
        "1",
        "-1",
        "10",
        "0.5",
        "-0.0",
        "1e5",
        "1E5",
        "1e+5",
        "1e-5",
        "0e0",
        "0e+1",
        "1.5E-300",
        "123456789012345678901234567890",
        "18446744073709551615",
        "-9223372036854775808",
        "18446744073709551616",
        "9007199254740993",
        "1.10",
        "1e-999999999999999999999",
        "0e999999999999999999999",
        "0.0e99999",
        "1.7976931348623157e308",
        "-1.7976931348623157e308",
        "179769313486231570e291",
        "5e-324",
        "1e-400",
    ] {
        accepts(text);
        accepts(&format!("[{text}]"));
        accepts(&format!("{{\"a\":{text} }}"));
    }
    for (text, offset) in [
        ("01", 1),
        ("-01", 2),
        ("00", 1),
        ("+1", 0),
        (".5", 0),
        ("1.e5", 2),
        ("1.a", 2),
        ("- 1", 1),
        ("-a", 1),
        ("1ea", 2),
        ("1e+x", 3),
        ("0x10", 1),
        ("Infinity", 0),
        ("NaN", 0),
        ("-Infinity", 1),
        ("1_000", 1),
        ("2.e-3", 2),
        ("1.2.3", 3),
        ("0e+-1", 3),
        ("1 000", 2),
        ("\u{ff11}", 0),
    ] {
        let what = match text {
            "+1" | ".5" | "Infinity" | "NaN" | "\u{ff11}" => P::ExpectedValue,
            "0x10" | "1_000" | "1 000" | "1.2.3" => P::TrailingData,
            _ => P::InvalidNumber,
        };
        refuses(text, what, offset);
    }
    for text in ["-", "1.", "1e", "1E+", "-0.", "0e-"] {
        refuses(text, P::UnexpectedEnd, text.len());
    }
}

#[test]
fn numbers_that_become_infinite_are_refused() {
    for text in [
        "1e309",
        "-1e309",
        "1e999",
        "1.8e308",
        "1797693134862315800e290",
        "0.001e312",
        "0.4e00669999",
        "1e999999999999999999999",
        "0.0001e99999999999",
        "10e308",
        "17976931348623159e292",
    ] {
        refuses(text, P::NumberOutOfRange, 0);
        refuses(format!("[1, {text}]"), P::NumberOutOfRange, 4);
    }
    refuses("1".repeat(310), P::NumberOutOfRange, 0);
    refuses(format!("9{}", "0".repeat(308)), P::NumberOutOfRange, 0);
    accepts(&format!("1{}", "0".repeat(308)));
    accepts(&"1".repeat(309));
    accepts(&format!("{}e-100", "9".repeat(400)));
    accepts(&format!("0.{}1e500", "0".repeat(400)));
    refuses(
        format!("0.{}1e800", "0".repeat(400)),
        P::NumberOutOfRange,
        0,
    );
    accepts(&format!("1{}.5", "0".repeat(300)));
    accepts(&format!("0.{}", "123".repeat(1_000)));
}

#[test]
fn strings() {
    for text in [
        r#""\"\\\/\b\f\n\r\t""#,
        r#""\u0000""#,
        r#""\u00e9\u00E9""#,
        r#""\ud834\udd1e""#,
        r#""\uDBFF\uDFFF""#,
        r#""\uFFFF""#,
        r#""\\u12""#,
        r#""12345678\n12345678""#,
        r#""\u0022""#,
        r#""a\ud83d\ude00b""#,
        r#""1234567\\""#,
        r#""/*not a comment*/""#,
    ] {
        accepts(text);
    }
    for (text, offset) in [
        (r#""\ud800""#, 1),
        (r#""\udc00""#, 1),
        (r#""\ud800\ud800""#, 1),
        (r#""\ud800x""#, 1),
        (r#""ab\ud834\n""#, 3),
        (r#""\udd1e\ud834""#, 1),
        (r#""\ud834\\udd1e""#, 1),
        (r#""1234567\ud800\u0041""#, 8),
        (r#"{"\udfff":1}"#, 2),
    ] {
        refuses(text, P::LoneSurrogate, offset);
    }
    for (text, offset) in [
        (r#""\x00""#, 1),
        (r#""\a""#, 1),
        (r#""\u12G4""#, 1),
        (r#""\U0041""#, 1),
        (r#""\ ""#, 1),
        (r#""\u 041""#, 1),
        ("\"\\\u{e9}\"", 1),
        (r#""\ud834\u12""#, 7),
        (r#""\'""#, 1),
    ] {
        refuses(text, P::InvalidEscape, offset);
    }
    for byte in 0..0x20u8 {
        refuses([b'"', byte, b'"'], P::ControlCharacter, 1);
        refuses(
            [&b"\"0123456789"[..], &[byte], b"0123456789\""].concat(),
            P::ControlCharacter,
            11,
        );
    }
    for text in [
        "\"",
        "\"a",
        "\"1234567",
        "\"12345678",
        "\"\\",
        "\"\\\"",
        "\"\\u",
        "\"\\u00",
    ] {
        refuses(text, P::UnexpectedEnd, text.len());
    }
    refuses("\"\\ud834\\u12", P::UnexpectedEnd, 11);
    refuses("'a'", P::ExpectedValue, 0);
}

#[test]
fn structure() {
    for (text, what, offset) in [
        ("[1,]", P::ExpectedValue, 3),
        ("[,1]", P::ExpectedValue, 1),
        ("[1 2]", P::ExpectedCommaOrBracket, 3),
        ("[1:2]", P::ExpectedCommaOrBracket, 2),
        ("[1}", P::ExpectedCommaOrBracket, 2),
        ("]", P::ExpectedValue, 0),
        ("{1:2}", P::ExpectedKey, 1),
        ("{a:2}", P::ExpectedKey, 1),
        ("{'a':2}", P::ExpectedKey, 1),
        ("{,}", P::ExpectedKey, 1),
        ("{\"a\":1,}", P::ExpectedKey, 7),
        ("{\"a\"}", P::ExpectedColon, 4),
        ("{\"a\" 1}", P::ExpectedColon, 5),
        ("{\"a\"::1}", P::ExpectedValue, 5),
        ("{\"a\":}", P::ExpectedValue, 5),
        ("{\"a\":1 \"b\":2}", P::ExpectedCommaOrBrace, 7),
        ("{\"a\":1]", P::ExpectedCommaOrBrace, 6),
        ("{\"a\":1,,\"b\":2}", P::ExpectedKey, 7),
        ("}", P::ExpectedValue, 0),
        ("[]]", P::TrailingData, 2),
        ("{}{}", P::TrailingData, 2),
        ("1 2", P::TrailingData, 2),
        ("\"a\"x", P::TrailingData, 3),
        ("nul", P::UnexpectedEnd, 3),
        ("nulL", P::ExpectedValue, 3),
        ("truE", P::ExpectedValue, 3),
        ("nulls", P::TrailingData, 4),
        ("True", P::ExpectedValue, 0),
        ("undefined", P::ExpectedValue, 0),
        ("/* a */ 1", P::ExpectedValue, 0),
        ("1 // a", P::TrailingData, 2),
        ("[1\u{a0}]", P::ExpectedCommaOrBracket, 2),
        ("\u{c}1", P::ExpectedValue, 0),
        ("\u{b}1", P::ExpectedValue, 0),
        ("\u{feff}1", P::ExpectedValue, 0),
        ("1\0", P::TrailingData, 1),
        ("[\"a\",\n4\n,1,", P::UnexpectedEnd, 11),
        ("{\"a\":", P::UnexpectedEnd, 5),
        ("{\"a\"", P::UnexpectedEnd, 4),
        ("{", P::UnexpectedEnd, 1),
        ("[", P::UnexpectedEnd, 1),
        ("[1", P::UnexpectedEnd, 2),
        ("{\"a\":1", P::UnexpectedEnd, 6),
        ("", P::Empty, 0),
        (" \n", P::Empty, 2),
    ] {
        refuses(text, what, offset);
    }
}

#[test]
fn only_utf8() {
    for (text, offset) in [
        (&b"\"\xff\""[..], 1),
        (b"\"\xc0\xaf\"", 1),
        (b"\"\xed\xa0\x80\"", 1),
        (b"\"\xf4\x90\x80\x80\"", 1),
        (b"\"\xe6\x97\"", 1),
        (b"[1]\xe9", 3),
        (b"\xff\xfe1\0", 0),
    ] {
        refuses(text, P::NotUtf8, offset);
    }
}

#[test]
fn the_deepest_document_is_the_deepest_that_serde_json_takes() {
    let nested = |open: &str, inner: &str, close: &str, levels: usize| {
        format!("{}{inner}{}", open.repeat(levels), close.repeat(levels))
    };
    accepts(&nested("[", "", "]", JSON_DEPTH_MAX));
    accepts(&nested("[", "1", "]", JSON_DEPTH_MAX));
    accepts(&nested("{\"a\":", "{}", "}", JSON_DEPTH_MAX - 1));
    accepts(&nested("[{\"a\":", "1", "}]", JSON_DEPTH_MAX / 2));
    refuses(
        nested("[", "", "]", JSON_DEPTH_MAX + 1),
        P::TooDeep,
        JSON_DEPTH_MAX,
    );
    refuses(
        nested("{\"a\":", "{}", "}", JSON_DEPTH_MAX),
        P::TooDeep,
        JSON_DEPTH_MAX * 5,
    );
    refuses("[".repeat(100_000), P::TooDeep, JSON_DEPTH_MAX);
    // The kinds of the outer containers survive a deep excursion.
    let deep = nested("[", "", "]", JSON_DEPTH_MAX - 2);
    accepts(&format!("{{\"a\":[{deep},{deep}],\"b\":{deep}}}"));
}

#[test]
fn problems_say_what_and_where() {
    let error = check(b"{\"a\":1,}").expect_err("a comma too many");
    assert_eq!(
        error.to_string(),
        "expected a key in double quotes at byte 7"
    );
    let error = check(&b"[".repeat(200)).expect_err("too deep");
    assert_eq!(
        error.to_string(),
        "nested deeper than 127 levels at byte 127"
    );
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => "[ \t\r\n]{1,9}"]
}

fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[a-zA-Z0-9 ]{0,12}",
        1 => r#"\\["\\/bfnrt]"#,
        1 => r"\\u[0-9a-cA-C][0-9a-fA-F]{3}",
        1 => r"\\u[dD][89a-bA-B][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}",
        1 => "[\u{80}-\u{10ffff}]{1,3}",
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,6})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?",
        1 => "-?[1-9][0-9]{0,330}(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?",
        1 => "-?0\\.0{0,330}[0-9]{1,30}([eE][+-]?[0-9]{1,4})?",
    ]
}

/// Numbers between 1e307 and 1e310 written in many ways, most of them close to the largest `f64`.
fn huge_number() -> impl Strategy<Value = String> {
    let digits = prop_oneof![
        2 => "17976931348623[0-9]{1,25}",
        2 => "1797693134862315[0-9]{1,12}",
        1 => "[1-9][0-9]{0,30}",
        1 => "17976931348623157[0-9]{300}",
        1 => "1[78]0{0,300}",
    ];
    (digits, 0..400usize, 0..60usize, -1..2i64).prop_map(|(digits, zeros, point, off)| {
        // Either leading zeros behind a point, or a point somewhere in the digits.
        let (text, scale) = if zeros < 30 {
            (
                format!("0.{}{digits}", "0".repeat(zeros)),
                -(zeros as i64) - 1,
            )
        } else if point > 0 && point < digits.len() {
            let (whole, fraction) = digits.split_at(point);
            (format!("{whole}.{fraction}"), point as i64 - 1)
        } else {
            let scale = digits.len() as i64 - 1;
            (digits, scale)
        };
        format!("{text}e{}", 308 + off - scale)
    })
}

fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        string(),
        number(),
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("null".to_owned()),
    ];
    scalar.prop_recursive(5, 40, 6, |inner| {
        let item = (space(), inner, space())
            .prop_map(|(a, v, b)| format!("{a}{v}{b}"))
            .boxed();
        let member = (space(), string(), space(), item.clone())
            .prop_map(|(a, key, b, item)| format!("{a}{key}{b}:{item}"));
        prop_oneof![
            prop::collection::vec(item, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..6).prop_map(|m| format!("{{{}}}", m.join(","))),
        ]
    })
}

#[derive(Debug, Clone)]
enum Mutation {
    Remove,
    Replace(u8),
    Insert(u8),
    Truncate,
    Repeat(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = || {
        prop_oneof![
            3 => prop::sample::select(b"{}[]\",:\\u0123456789dDeE+-. \t\n\0tfna/".to_vec()),
            1 => any::<u8>(),
        ]
    };
    prop_oneof![
        Just(Mutation::Remove),
        byte().prop_map(Mutation::Replace),
        byte().prop_map(Mutation::Insert),
        Just(Mutation::Truncate),
        (1..20usize).prop_map(Mutation::Repeat),
    ]
}

fn mutate(text: &mut Vec<u8>, place: prop::sample::Index, mutation: Mutation) {
    if text.is_empty() {
        return;
    }
    let at = place.index(text.len());
    match mutation {
        Mutation::Remove => drop(text.remove(at)),
        Mutation::Replace(byte) => text[at] = byte,
        Mutation::Insert(byte) => text.insert(at, byte),
        Mutation::Truncate => text.truncate(at),
        Mutation::Repeat(length) => {
            let end = (at + length).min(text.len());
            let piece = text[at..end].to_vec();
            text.splice(at..at, piece);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn generated_documents_get_serde_jsons_verdict(text in value()) {
        // Only the range of a number can be wrong in what is generated.
        match verdict(text.as_bytes()) {
            Ok(()) | Err((P::NumberOutOfRange, _)) => {}
            Err(e) => prop_assert!(false, "{e:?}: {text}"),
        }
    }

    #[test]
    fn mutated_documents_get_serde_jsons_verdict(
        text in value(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), mutation()), 1..4),
    ) {
        let mut text = text.into_bytes();
        for (place, mutation) in mutations {
            mutate(&mut text, place, mutation);
        }
        let _ = verdict(&text);
    }

    #[test]
    fn numbers_near_the_largest_get_serde_jsons_verdict(text in huge_number(), minus: bool) {
        let _ = verdict(format!("{}{text}", if minus { "-" } else { "" }).as_bytes());
    }

    #[test]
    fn soup_gets_serde_jsons_verdict(text in prop::collection::vec(
        prop::sample::select(b"{}[]\",:\\u0123dDeE+-. \ntrue".to_vec()), 0..24,
    )) {
        let _ = verdict(&text);
    }

    #[test]
    fn any_bytes_get_a_verdict(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = verdict(&text);
    }
}
