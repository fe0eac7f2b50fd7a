//! Edits of documents, held against the model.

use docdb_engine::ErrorKind;
use docdb_engine::json::{self, EditError};
use serde_json::Value;

use super::choices::Choices;
use super::model::{self, Json, Refused};
use super::text;

/// A document and a patch, as texts that a zero byte divides, or made from the bytes.
pub(crate) fn edit(data: &[u8]) {
    let mut choices = Choices::new(data);
    let made = choices.byte();
    if made & 3 == 0 {
        let mut texts = choices.rest().splitn(2, |b| *b == 0);
        let (document, patch) = (texts.next(), texts.next());
        edit_texts(document.unwrap_or_default(), patch.unwrap_or_default());
        return;
    }
    let (mut document, mut patch) = (String::new(), String::new());
    let doubles = made & 0x30 == 0x30;
    text::value(&mut choices, &mut document, doubles, 0);
    if made & 4 == 0 {
        text::patch(&mut choices, &mut patch);
    } else {
        text::value(&mut choices, &mut patch, doubles, 0);
    }
    edit_texts(document.as_bytes(), patch.as_bytes());
}

/// Patches and merges, and looks at what comes of it.
pub(crate) fn edit_texts(document: &[u8], patch: &[u8]) {
    let (patched, merged) = (json::patch(document, patch), json::merge(document, patch));
    let (Ok(()), Ok(())) = (json::check(document), json::check(patch)) else {
        for outcome in [patched, merged] {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::InvalidJson);
        }
        return;
    };
    let (before, change) = (taken_apart(document), taken_apart(patch));
    same(&patched, model::patch(&before, &change));
    let refused = |kind| (kind, None);
    same(&merged, model::merge(&before, &change).map_err(refused));

    // And once more, without a model of our own.
    if let Ok(merged) = merged
        && !before.has_doubles()
        && !change.has_doubles()
    {
        let value = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
        let mut wanted = value(document);
        merge_values(&mut wanted, &value(patch));
        assert_eq!(value(&merged), wanted);
    }
}

fn taken_apart(text: &[u8]) -> Json {
    model::parse(std::str::from_utf8(text).unwrap())
}

fn same(found: &Result<Vec<u8>, EditError>, wanted: Result<Json, Refused>) {
    match found {
        Ok(text) => {
            super::check(text);
            json::check(text).unwrap();
            assert_eq!(Ok(taken_apart(text)), wanted);
        }
        Err(error) => assert_eq!(Err((error.kind(), error.op())), wanted, "{error}"),
    }
}

/// The function of RFC 7396.
fn merge_values(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(members) = target.as_object_mut() else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            members.remove(key);
        } else {
            merge_values(members.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
