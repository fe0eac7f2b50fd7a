//! `json::patch` and `json::merge`: every rule, and arbitrary edits held against a model.

#![allow(clippy::unwrap_used, reason = "a test")]

mod fuzzing;

use std::fs;
use std::path::Path;

use docdb_engine::json::{merge, patch};
use docdb_engine::{ErrorKind, limits};
use proptest::prelude::*;

fn patched(document: &str, change: &str) -> String {
    String::from_utf8(patch(document.as_bytes(), change.as_bytes()).unwrap()).unwrap()
}

fn refused(document: &str, change: &str) -> (ErrorKind, Option<usize>) {
    let error = patch(document.as_bytes(), change.as_bytes()).expect_err(change);
    (error.kind(), error.op())
}

fn merged(document: &str, change: &str) -> String {
    String::from_utf8(merge(document.as_bytes(), change.as_bytes()).unwrap()).unwrap()
}

#[test]
fn what_each_operation_does() {
    for (document, change, wanted) in [
        (
            r#"{"a":1}"#,
            r#"[{"op":"set","path":"/a","value":2}]"#,
            r#"{"a":2}"#,
        ),
        (
            r#"{"a":1}"#,
            r#"[{"op":"set","path":"/b","value":null}]"#,
            r#"{"a":1,"b":null}"#,
        ),
        (
            r#"{}"#,
            r#"[{"op":"set","path":"/a/b/c","value":[1]}]"#,
            r#"{"a":{"b":{"c":[1]}}}"#,
        ),
        (
            r#"{}"#,
            r#"[{"op":"set","path":"/a/0","value":1}]"#,
            r#"{"a":{"0":1}}"#,
        ),
        (
            r#"{}"#,
            r#"[{"op":"set","path":"/","value":1}]"#,
            r#"{"":1}"#,
        ),
        (
            r#"{"a":[1,2,3]}"#,
            r#"[{"op":"set","path":"/a/1","value":{}}]"#,
            r#"{"a":[1,{},3]}"#,
        ),
        (
            r#"{"a":[{"b":1}]}"#,
            r#"[{"op":"set","path":"/a/0/c/d","value":2}]"#,
            r#"{"a":[{"b":1,"c":{"d":2}}]}"#,
        ),
        (r#"{"a":null}"#, r#"[{"op":"delete","path":"/a"}]"#, "{}"),
        (
            r#"{"a":[1,2,3]}"#,
            r#"[{"op":"delete","path":"/a/0"}]"#,
            r#"{"a":[2,3]}"#,
        ),
        (
            r#"{"a":[1]}"#,
            r#"[{"op":"delete","path":"/a/0","value":7}]"#,
            r#"{"a":[]}"#,
        ),
        (
            r#"{"a":[]}"#,
            r#"[{"op":"insert","path":"/a/0","value":1}]"#,
            r#"{"a":[1]}"#,
        ),
        (
            r#"{"a":[1,2]}"#,
            r#"[{"op":"insert","path":"/a/1","value":9}]"#,
            r#"{"a":[1,9,2]}"#,
        ),
        (
            r#"{"a":[1,2]}"#,
            r#"[{"op":"insert","path":"/a/2","value":9}]"#,
            r#"{"a":[1,2,9]}"#,
        ),
        (
            r#"{"a":[1,2]}"#,
            r#"[{"op":"insert","path":"/a/-","value":9}]"#,
            r#"{"a":[1,2,9]}"#,
        ),
        // Keys are what they mean, and numbers are keys of objects.
        (
            r#"{"\u0061\/":1}"#,
            r#"[{"op":"set","path":"/a~1","value":2}]"#,
            r#"{"\u0061\/":2}"#,
        ),
        (
            r#"{"~1":1,"é":2}"#,
            r#"[{"op":"delete","path":"/~01"}]"#,
            r#"{"é":2}"#,
        ),
        (
            r#"{"é":1}"#,
            r#"[{"op":"set","path":"/\u00e9","value":2}]"#,
            r#"{"é":2}"#,
        ),
        (
            r#"{"0":{"-":1}}"#,
            r#"[{"op":"delete","path":"/0/-"}]"#,
            r#"{"0":{}}"#,
        ),
        // Later ones see earlier ones.
        (
            r#"{"a":1}"#,
            r#"[{"op":"set","path":"/l","value":[]},{"op":"insert","path":"/l/-","value":[1]},
                {"op":"insert","path":"/l/0/0","value":0},{"op":"delete","path":"/a"},
                {"op":"set","path":"/a/b","value":2},{"op":"set","path":"/a/c","value":3}]"#,
            r#"{"l":[[0,1]],"a":{"b":2,"c":3}}"#,
        ),
        // What is not known is ignored.
        (
            r#"{}"#,
            r#"[{"op":"set","path":"/a","value":1,"why":{"op":"x"}}]"#,
            r#"{"a":1}"#,
        ),
    ] {
        assert_eq!(patched(document, change), wanted, "{document} {change}");
    }
}

#[test]
fn what_is_not_touched_keeps_its_bytes() {
    let document = "{\n  \"big\": 9007199254740993,\n  \"price\": 1.10 ,\n  \"e\": 1e2,\n  \"\\u0041\": \
                    \"\\/\\u00e9\",\n  \"list\": [ 1.0, {\"x\" : -0} , 3 ],\n  \"twice\": {\"a\":1,\"a\":2}\n}\n";
    let change = r#"[{"op":"set","path":"/list/2","value":4.50},{"op":"delete","path":"/e"}]"#;
    let wanted = document
        .replace("3 ]", "4.50 ]")
        .replace("\n  \"e\": 1e2,", "");
    assert_eq!(patched(document, change), wanted);
    assert_eq!(
        merged(document, r#"{"e":null}"#),
        document.replace("\n  \"e\": 1e2,", "")
    );
    assert_eq!(merged(document, "{}"), document);
}

#[test]
fn what_a_patch_must_be() {
    use ErrorKind::{InvalidJson, InvalidPatch, InvalidPath, NotAnObject};
    for (change, wanted) in [
        ("[", (InvalidJson, None)),
        ("[]", (InvalidPatch, None)),
        (" [ ] ", (InvalidPatch, None)),
        ("{}", (InvalidPatch, None)),
        ("1", (InvalidPatch, None)),
        ("[1]", (InvalidPatch, Some(0))),
        ("[{}]", (InvalidPatch, Some(0))),
        (r#"[{"op":"set","path":"/b"}]"#, (InvalidPatch, Some(0))),
        (
            r#"[{"op":"insert","path":"/l/0"}]"#,
            (InvalidPatch, Some(0)),
        ),
        (
            r#"[{"op":"add","path":"/b","value":1}]"#,
            (InvalidPatch, Some(0)),
        ),
        (
            r#"[{"op":1,"path":"/b","value":1}]"#,
            (InvalidPatch, Some(0)),
        ),
        (r#"[{"op":"delete","path":1}]"#, (InvalidPatch, Some(0))),
        (
            r#"[{"op":"delete","op":"set","path":"/a","value":1}]"#,
            (InvalidPatch, Some(0)),
        ),
        (
            r#"[{"op":"delete","path":"/a"},{"op":"x","path":"/a"}]"#,
            (InvalidPatch, Some(1)),
        ),
        (
            r#"[{"op":"set","path":"/d","value":1}]"#,
            (InvalidPatch, Some(0)),
        ),
        (
            r#"[{"op":"set","path":"/d/x","value":1}]"#,
            (InvalidPatch, Some(0)),
        ),
        (r#"[{"op":"delete","path":"/d"}]"#, (InvalidPatch, Some(0))),
        (
            r#"[{"op":"set","path":"","value":{}}]"#,
            (InvalidPath, Some(0)),
        ),
        (r#"[{"op":"delete","path":""}]"#, (InvalidPath, Some(0))),
        (
            r#"[{"op":"set","path":"a","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        (
            r#"[{"op":"set","path":"/~2","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        (
            r#"[{"op":"set","path":"/b/~","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        (r#"[{"op":"delete","path":"/b"}]"#, (InvalidPath, Some(0))),
        (r#"[{"op":"delete","path":"/b/c"}]"#, (InvalidPath, Some(0))),
        (
            r#"[{"op":"set","path":"/a/b","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        (
            r#"[{"op":"set","path":"/s/0","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        (
            r#"[{"op":"set","path":"/l/2","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        (
            r#"[{"op":"set","path":"/l/-","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        (
            r#"[{"op":"set","path":"/l/01","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        (
            r#"[{"op":"set","path":"/l/x","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        (
            r#"[{"op":"set","path":"/l/2/a","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        (r#"[{"op":"delete","path":"/l/2"}]"#, (InvalidPath, Some(0))),
        (r#"[{"op":"delete","path":"/l/-"}]"#, (InvalidPath, Some(0))),
        (
            r#"[{"op":"insert","path":"/l/3","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        (
            r#"[{"op":"insert","path":"/l/-/0","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        (
            r#"[{"op":"insert","path":"/o/0","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        (
            r#"[{"op":"insert","path":"/b/0","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        (
            r#"[{"op":"insert","path":"/b","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        // An insertion into an object touches no member, but one below a member touches that.
        (
            r#"[{"op":"insert","path":"/d","value":1}]"#,
            (InvalidPath, Some(0)),
        ),
        (
            r#"[{"op":"insert","path":"/d/0","value":1}]"#,
            (InvalidPatch, Some(0)),
        ),
        (
            r#"[{"op":"delete","path":"/a"},{"op":"set","path":"/c","value":1},{"op":"delete","path":"/a"}]"#,
            (InvalidPath, Some(2)),
        ),
    ] {
        let document = r#"{"a":1,"s":"x","l":[1,2],"o":{"p":1},"d":1,"\u0064":2}"#;
        assert_eq!(refused(document, change), wanted, "{change}");
        fuzzing::edit::edit_texts(document.as_bytes(), change.as_bytes());
    }
    for document in ["[]", "1", "\"a\"", "null"] {
        let change = r#"[{"op":"set","path":"/a","value":1}]"#;
        assert_eq!(refused(document, change), (NotAnObject, None));
        assert_eq!(refused(document, "[]"), (InvalidPatch, None));
    }
    let error = patch(
        b"{\"a\":1}",
        br#"[{"op":"delete","path":"/a"},{"op":"delete","path":"/a/b"}]"#,
    );
    let text = "operation 1 of the patch: path \"/a/b\": what it leads through does not exist";
    assert_eq!(error.unwrap_err().to_string(), text);
}

#[test]
fn a_large_object_is_searched_by_an_index_that_stays_true() {
    let members: Vec<_> = (0..500).map(|n| format!("\"k{n}\":{n}")).collect();
    let document = format!("{{{},\"twice\":1,\"twice\":2}}", members.join(","));
    let mut ops = Vec::new();
    for n in 0..500 {
        ops.push(format!(r#"{{"op":"set","path":"/k{n}","value":"new"}}"#));
        ops.push(format!(r#"{{"op":"delete","path":"/k{n}"}}"#));
        ops.push(format!(r#"{{"op":"set","path":"/k{n}","value":[{n}]}}"#));
    }
    let wanted: Vec<_> = (0..500).map(|n| format!("\"k{n}\":[{n}]")).collect();
    let wanted = format!("{{\"twice\":1,\"twice\":2,{}}}", wanted.join(","));
    assert_eq!(patched(&document, &format!("[{}]", ops.join(","))), wanted);
    ops.push(r#"{"op":"delete","path":"/twice"}"#.into());
    let change = format!("[{}]", ops.join(","));
    assert_eq!(
        refused(&document, &change),
        (ErrorKind::InvalidPatch, Some(1_500))
    );
    ops[1_500] = r#"{"op":"delete","path":"/k500"}"#.into();
    let change = format!("[{}]", ops.join(","));
    assert_eq!(
        refused(&document, &change),
        (ErrorKind::InvalidPath, Some(1_500))
    );
}

#[test]
fn the_result_has_the_limits_of_a_document() {
    let string = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let document = format!("{{\"a\":{}}}", string(limits::DOCUMENT_BYTES_MAX - 20));
    let value = |bytes| format!(r#"[{{"op":"set","path":"/b","value":{}}}]"#, string(bytes));
    assert_eq!(
        patched(&document, &value(9)).len(),
        limits::DOCUMENT_BYTES_MAX
    );
    assert_eq!(refused(&document, &value(10)).0, ErrorKind::TooLarge);
    let member = format!("{{\"b\":{}}}", string(10));
    let large = merge(document.as_bytes(), member.as_bytes()).unwrap_err();
    assert_eq!(large.kind(), ErrorKind::TooLarge);

    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let at = |levels, path: &str| {
        format!(
            r#"[{{"op":"set","path":"{path}","value":{}}}]"#,
            nested(levels)
        )
    };
    let deepest = patched("{}", &at(limits::JSON_DEPTH_MAX - 3, "/a/b/c"));
    assert!(docdb_engine::json::check(deepest.as_bytes()).is_ok());
    for (levels, path) in [
        (limits::JSON_DEPTH_MAX - 2, "/a/b/c".to_owned()),
        (0, "/a".repeat(limits::JSON_DEPTH_MAX + 1)),
    ] {
        let change = at(levels.max(1), &path);
        assert_eq!(refused("{}", &change), (ErrorKind::InvalidPatch, Some(0)));
    }
    let longest = format!(
        r#"[{{"op":"set","path":"{}","value":1}}]"#,
        "/a".repeat(limits::JSON_DEPTH_MAX)
    );
    let deepest = patched("{}", &longest);
    assert!(docdb_engine::json::check(deepest.as_bytes()).is_ok());
}

#[test]
fn what_would_take_minutes_is_refused() {
    let zeros = "0,".repeat(1 << 20);
    let document = format!("{{\"a\":[{zeros}0]}}");
    let ops = vec![r#"{"op":"insert","path":"/a/0","value":1}"#; 2_000];
    let change = format!("[{}]", ops.join(","));
    let (kind, op) = refused(&document, &change);
    assert_eq!(kind, ErrorKind::LimitExceeded);
    assert!(op > Some(900), "{op:?}");
}

/// RFC 7396, appendix A.
/// Hours, if each change looked at all of the keys.
#[test]
fn keys_of_megabytes_are_not_looked_at_whole_for_every_change() {
    let long = "x".repeat(500 << 10);
    let members: Vec<_> = (0..30).map(|n| format!("\"\\u0061{n}{long}\":1")).collect();
    let document = format!("{{{}}}", members.join(","));
    let change = r#"{"op":"set","path":"/a1","value":1}"#;
    let changes = format!("[{}]", vec![change; 400_000].join(","));
    assert_eq!(
        patched(&document, &changes).len(),
        document.len() + r#","a1":1"#.len()
    );
}

/// Whatever is below the deepest that a document can be does not matter.
#[test]
fn paths_deeper_than_any_document() {
    let deep = limits::JSON_DEPTH_MAX;
    let document = format!("{}1{}", "{\"a\":".repeat(deep), "}".repeat(deep));
    let path = |levels| "/a".repeat(levels);
    let op = |op: &str, levels| format!(r#"[{{"op":"{op}","path":"{}","value":0}}]"#, path(levels));
    assert_eq!(
        patched(&document, &op("set", deep)),
        document.replace('1', "0")
    );
    for levels in [deep + 1, deep + 2, 1_000_000] {
        let invalid = |kind| (kind, Some(0));
        for what in ["set", "insert"] {
            let found = refused(&document, &op(what, levels));
            assert_eq!(found, invalid(ErrorKind::InvalidPatch), "{what} {levels}");
        }
        let found = refused(&document, &op("delete", levels));
        assert_eq!(found, invalid(ErrorKind::InvalidPath), "{levels}");
    }
}

#[test]
fn the_examples_of_the_merge_rfc() {
    for (document, change, wanted) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (
            r#"{"a":{"b":"c"}}"#,
            r#"{"a":{"b":"d","c":null}}"#,
            r#"{"a":{"b":"d"}}"#,
        ),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        (r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ] {
        assert_eq!(merged(document, change), wanted, "{document} {change}");
    }
}

#[test]
fn what_a_merge_refuses() {
    for (document, change) in [
        ("{}", r#"{"a":1,"a":2}"#),
        ("{}", r#"{"a":{"b":1,"\u0062":2}}"#),
        (r#"{"a":1,"a":2}"#, r#"{"a":3}"#),
        (r#"{"a":1,"a":2}"#, r#"{"a":null}"#),
        (r#"{"x":{"a":1,"a":2}}"#, r#"{"x":{"a":null}}"#),
    ] {
        let error = merge(document.as_bytes(), change.as_bytes()).expect_err(change);
        assert_eq!(error.kind(), ErrorKind::InvalidPatch);
    }
    assert_eq!(
        merge(b"{}", b"{").unwrap_err().kind(),
        ErrorKind::InvalidJson
    );
    // What is not touched may be as it likes.
    assert_eq!(
        merged(r#"{"a":1,"a":2}"#, r#"{"b":[{"c":1,"c":2}]}"#),
        r#"{"a":1,"a":2,"b":[{"c":1,"c":2}]}"#
    );
}

fn run_seeds(target: &str, run: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut count = 0;
    for entry in fs::read_dir(dir.join(target)).unwrap() {
        let path = entry.unwrap().path();
        // Shown if it fails.
        println!("{}", path.display());
        run(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn seeds_of_check() {
    run_seeds("check", fuzzing::check);
}

#[test]
fn seeds_of_edit() {
    run_seeds("edit", fuzzing::edit);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

    #[test]
    fn edits_do_what_the_model_does(data in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzzing::edit(&data);
    }
}
