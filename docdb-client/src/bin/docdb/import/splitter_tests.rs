use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Feeds `input` in chunks of the given sizes (the last one repeats) and collects every piece.
fn split(input: &[u8], sizes: &[usize]) -> Result<Vec<(u64, String)>, SplitError> {
    let mut splitter = Splitter::new();
    let mut pieces = Vec::new();
    let mut rest = input;
    let mut sizes = sizes.iter().copied();
    let mut size = 1;
    while !rest.is_empty() {
        size = sizes.next().unwrap_or(size).clamp(1, rest.len());
        let (chunk, tail) = rest.split_at(size);
        rest = tail;
        splitter.feed(chunk);
        while let Some(piece) = splitter.next()? {
            pieces.push(piece);
        }
    }
    pieces.extend(splitter.finish()?);
    assert_eq!(
        splitter.finish()?,
        None,
        "nothing follows the last document"
    );
    Ok(pieces
        .into_iter()
        .map(|p| (p.line, String::from_utf8(p.text.to_vec()).unwrap()))
        .collect())
}

fn whole(input: &str) -> Result<Vec<(u64, String)>, SplitError> {
    split(input.as_bytes(), &[usize::MAX])
}

fn lines(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected
        .iter()
        .map(|(line, text)| (*line, (*text).to_owned()))
        .collect()
}

#[test]
fn ndjson_with_blank_lines_carriage_returns_and_no_last_newline() {
    let got = whole("\u{feff}{\"a\":1}\r\n\n  [1, 2]  \n\"x\\\"\\n}\"\n7").unwrap();
    let mut expected = lines(&[(1, "{\"a\":1}")]);
    // A stream that starts with an object is NDJSON, and may hold arrays after that.
    expected.extend(lines(&[(3, "[1, 2]"), (4, "\"x\\\"\\n}\""), (5, "7")]));
    assert_eq!(got, expected);
    assert_eq!(whole("").unwrap(), []);
    assert_eq!(whole(" \n\t\r\n").unwrap(), []);
}

#[test]
fn a_document_may_span_lines() {
    let got = whole("{\n  \"a\": [1,\n 2]\n}\n{}\n").unwrap();
    assert_eq!(got, lines(&[(1, "{\n  \"a\": [1,\n 2]\n}"), (5, "{}")]));
}

#[test]
fn array() {
    let got = whole(" [ {\"a\":\"],{\"} ,\n[1,2], 3 ,\"\\\\\"\n]\n\n").unwrap();
    assert_eq!(
        got,
        lines(&[
            (1, "{\"a\":\"],{\"}"),
            (2, "[1,2]"),
            (2, "3"),
            (2, "\"\\\\\"")
        ])
    );
    assert_eq!(whole("[]").unwrap(), []);
    assert_eq!(whole("[\n]\n").unwrap(), []);
}

#[test]
fn malformed_streams_name_the_line() {
    for (input, line) in [
        ("[1,\n,2]", 2),
        ("[,1]", 1),
        ("[1,\n2,\n]", 3),
        ("[1,\n2", 2),
        ("[1,\n", 2),
        ("[1]\n[2]", 2),
        ("{}\n{\"a\":\n\n", 2),
        ("{}\n\"abc\n\"", 2),
    ] {
        let error = whole(input).unwrap_err();
        assert_eq!(
            (error.kind, error.line),
            (ErrorKind::InvalidJson, line),
            "{input:?}"
        );
    }
}

#[test]
fn what_is_not_json_is_left_for_the_server_to_refuse() {
    assert_eq!(whole("{} {}\n").unwrap(), lines(&[(1, "{} {}")]));
    assert_eq!(whole("[1 2}]").unwrap(), lines(&[(1, "1 2}")]));
    assert_eq!(whole("{]\n{}\n").unwrap(), lines(&[(1, "{]"), (2, "{}")]));
}

#[test]
fn an_endless_document_is_refused() {
    let mut splitter = Splitter::new();
    splitter.feed(b"1\n[");
    assert_eq!(splitter.next().unwrap().unwrap().line, 1);
    let chunk = vec![b'['; 1 << 20];
    let error = loop {
        splitter.feed(&chunk);
        match splitter.next() {
            Ok(piece) => assert_eq!(piece, None),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind, error.line), (ErrorKind::TooLarge, 2));
}

/// A JSON text whose insides hold everything that could mislead a splitter.
fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        "[\\[\\]{},:\"\\\\ a\n]{0,8}".prop_map(|s| serde_json::to_string(&s).unwrap()),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|v| format!("[{}]", v.join(" ,\n"))),
            vec(inner, 0..4).prop_map(|v| {
                let members: Vec<String> = v
                    .iter()
                    .enumerate()
                    .map(|(i, v)| format!("\"}}{i}\" :\r\n{v}"))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_split_gives_the_documents_exactly(
        documents in vec(document(), 0..8),
        sizes in vec(1usize..40, 1..40),
        array: bool,
    ) {
        let input = if array {
            format!("[{}]", documents.join("\n,"))
        } else {
            // An array in first place would make the stream an array.
            format!("0\n{}", documents.join("\n"))
        };
        let mut expected = Vec::new();
        let mut line = 1;
        if !array {
            expected.push((1, "0".to_owned()));
            line = 2;
        }
        for document in &documents {
            expected.push((line, document.clone()));
            line += 1 + document.matches('\n').count() as u64;
        }
        prop_assert_eq!(split(input.as_bytes(), &sizes), Ok(expected));
    }

    #[test]
    fn any_bytes_split_the_same_however_they_arrive(
        input in "[\\[\\]{},:\"\\\\ 1\n\r\t]{0,60}",
        sizes in vec(1usize..10, 1..20),
    ) {
        prop_assert_eq!(split(input.as_bytes(), &sizes), whole(&input));
    }
}
