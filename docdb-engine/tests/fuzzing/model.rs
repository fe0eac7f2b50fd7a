//! What a patch and a merge mean, on documents taken apart: slow, and written from the rules alone.

use docdb_engine::ErrorKind;
use docdb_engine::limits::JSON_DEPTH_MAX;

/// A document taken apart. Scalars and keys are kept as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    Scalar(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// The kind, and the position of the operation.
pub(crate) type Refused = (ErrorKind, Option<usize>);

/// What a key or string, as it was written, means.
pub(crate) fn meaning(written: &str) -> String {
    serde_json::from_str(written).unwrap()
}

/// A text that was found to be strict JSON, taken apart.
pub(crate) fn parse(text: &str) -> Json {
    let mut rest = text;
    let json = value(&mut rest);
    assert_eq!(rest.trim_start_matches(SPACE), "");
    json
}

const SPACE: [char; 4] = [' ', '\n', '\r', '\t'];

fn take<'t>(rest: &mut &'t str, bytes: usize) -> &'t str {
    let (taken, left) = rest.split_at(bytes);
    *rest = left;
    taken
}

fn accept(rest: &mut &str, byte: char) -> bool {
    *rest = rest.trim_start_matches(SPACE);
    let found = rest.starts_with(byte);
    if found {
        take(rest, byte.len_utf8());
    }
    found
}

fn string(rest: &mut &str) -> String {
    *rest = rest.trim_start_matches(SPACE);
    let mut escaped = false;
    let end = rest[1..].find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    take(rest, end.unwrap() + 2).to_owned()
}

fn value(rest: &mut &str) -> Json {
    if accept(rest, '[') {
        let mut items = Vec::new();
        while !accept(rest, ']') {
            items.push(value(rest));
            accept(rest, ',');
        }
        Json::Array(items)
    } else if accept(rest, '{') {
        let mut members = Vec::new();
        while !accept(rest, '}') {
            let key = string(rest);
            assert!(accept(rest, ':'));
            members.push((key, value(rest)));
            accept(rest, ',');
        }
        Json::Object(members)
    } else if rest.starts_with('"') {
        Json::Scalar(string(rest))
    } else {
        let end = rest.find(|c| SPACE.contains(&c) || ",]}".contains(c));
        Json::Scalar(take(rest, end.unwrap_or(rest.len())).to_owned())
    }
}

impl Json {
    fn depth(&self) -> usize {
        match self {
            Json::Scalar(_) => 0,
            Json::Array(items) => 1 + items.iter().map(Json::depth).max().unwrap_or(0),
            Json::Object(members) => 1 + members.iter().map(|(_, v)| v.depth()).max().unwrap_or(0),
        }
    }

    fn as_string(&self) -> Option<String> {
        match self {
            Json::Scalar(text) if text.starts_with('"') => Some(meaning(text)),
            _ => None,
        }
    }

    /// Whether an object somewhere has a key twice.
    pub(crate) fn has_doubles(&self) -> bool {
        match self {
            Json::Scalar(_) => false,
            Json::Array(items) => items.iter().any(Json::has_doubles),
            Json::Object(members) => {
                let mut keys: Vec<_> = members.iter().map(|(key, _)| meaning(key)).collect();
                keys.sort();
                keys.windows(2).any(|pair| pair[0] == pair[1])
                    || members.iter().any(|(_, value)| value.has_doubles())
            }
        }
    }
}

fn find(members: &[(String, Json)], key: &str) -> Result<Option<usize>, ErrorKind> {
    let mut places = (0..members.len()).filter(|at| meaning(&members[*at].0) == key);
    let first = places.next();
    match places.next() {
        None => Ok(first),
        Some(_) => Err(ErrorKind::InvalidPatch),
    }
}

enum Action {
    Set(Json),
    Insert(Json),
    Delete,
}

fn change(op: &Json) -> Result<(Action, Vec<String>), ErrorKind> {
    let Json::Object(members) = op else {
        return Err(ErrorKind::InvalidPatch);
    };
    let field = |name| Ok(find(members, name)?.map(|at| members[at].1.clone()));
    let (op, path, value) = (field("op")?, field("path")?, field("value")?);
    let string = |field: Option<Json>| field.and_then(|f| f.as_string());
    let value = value.ok_or(ErrorKind::InvalidPatch);
    let op = string(op).ok_or(ErrorKind::InvalidPatch)?;
    let path = string(path).ok_or(ErrorKind::InvalidPatch)?;
    let action = match &*op {
        "set" => Action::Set(value?),
        "insert" => Action::Insert(value?),
        "delete" => Action::Delete,
        _ => return Err(ErrorKind::InvalidPatch),
    };
    if !path.is_empty() && !path.starts_with('/') {
        return Err(ErrorKind::InvalidPath);
    }
    let mut tokens = Vec::new();
    for token in path.split('/').skip(1) {
        let left = token.replace("~0", "").replace("~1", "");
        // What is left of "~01" is "1": only the tildes matter.
        if left.contains('~') {
            return Err(ErrorKind::InvalidPath);
        }
        tokens.push(token.replace("~1", "/").replace("~0", "~"));
    }
    Ok((action, tokens))
}

fn index(token: &str, length: usize) -> Result<usize, ErrorKind> {
    let number: usize = token.parse().map_err(|_| ErrorKind::InvalidPath)?;
    if number.to_string() == token && number < length {
        Ok(number)
    } else {
        Err(ErrorKind::InvalidPath)
    }
}

fn make(document: &mut Json, action: &Action, tokens: &[String]) -> Result<(), ErrorKind> {
    let (token, rest) = tokens.split_first().ok_or(ErrorKind::InvalidPath)?;
    match document {
        Json::Scalar(_) => Err(ErrorKind::InvalidPath),
        // Whatever the key, and however often it is there: an insertion touches no member.
        Json::Object(_) if rest.is_empty() && matches!(action, Action::Insert(_)) => {
            Err(ErrorKind::InvalidPath)
        }
        Json::Object(members) => match (find(members, token)?, action) {
            (Some(at), _) if !rest.is_empty() => make(&mut members[at].1, action, rest),
            (_, Action::Insert(_)) => Err(ErrorKind::InvalidPath),
            (Some(at), Action::Set(value)) => {
                members[at].1 = value.clone();
                Ok(())
            }
            (Some(at), Action::Delete) => {
                members.remove(at);
                Ok(())
            }
            (None, Action::Set(value)) => {
                let new = rest.iter().rev().fold(value.clone(), |value, key| {
                    Json::Object(vec![(serde_json::to_string(key).unwrap(), value)])
                });
                members.push((serde_json::to_string(token).unwrap(), new));
                Ok(())
            }
            (None, Action::Delete) => Err(ErrorKind::InvalidPath),
        },
        Json::Array(items) if !rest.is_empty() => {
            let at = index(token, items.len())?;
            make(&mut items[at], action, rest)
        }
        Json::Array(items) => match action {
            Action::Insert(value) => {
                let at = match &**token {
                    "-" => items.len(),
                    token => index(token, items.len() + 1)?,
                };
                items.insert(at, value.clone());
                Ok(())
            }
            Action::Set(value) => {
                let at = index(token, items.len())?;
                items[at] = value.clone();
                Ok(())
            }
            Action::Delete => {
                let at = index(token, items.len())?;
                items.remove(at);
                Ok(())
            }
        },
    }
}

pub(crate) fn patch(document: &Json, patch: &Json) -> Result<Json, Refused> {
    let Json::Array(ops) = patch else {
        return Err((ErrorKind::InvalidPatch, None));
    };
    let mut changes = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        changes.push(change(op).map_err(|kind| (kind, Some(at)))?);
    }
    if changes.is_empty() {
        return Err((ErrorKind::InvalidPatch, None));
    }
    if !matches!(document, Json::Object(_)) {
        return Err((ErrorKind::NotAnObject, None));
    }
    let mut document = document.clone();
    for (at, (action, tokens)) in changes.iter().enumerate() {
        let refused = |kind| (kind, Some(at));
        if let Action::Set(value) | Action::Insert(value) = action
            && !tokens.is_empty()
            && tokens.len() + value.depth() > JSON_DEPTH_MAX
        {
            return Err(refused(ErrorKind::InvalidPatch));
        }
        make(&mut document, action, tokens).map_err(refused)?;
    }
    Ok(document)
}

/// RFC 7396, section 2.
pub(crate) fn merge(target: &Json, patch: &Json) -> Result<Json, ErrorKind> {
    let Json::Object(patch) = patch else {
        return Ok(patch.clone());
    };
    let mut members = match target {
        Json::Object(members) => members.clone(),
        _ => Vec::new(),
    };
    for (at, (key, value)) in patch.iter().enumerate() {
        let key_means = meaning(key);
        if patch[..at].iter().any(|(key, _)| meaning(key) == key_means) {
            return Err(ErrorKind::InvalidPatch);
        }
        let place = find(&members, &key_means)?;
        match (place, value) {
            (Some(place), Json::Scalar(null)) if null == "null" => drop(members.remove(place)),
            (None, Json::Scalar(null)) if null == "null" => {}
            (Some(place), value) => members[place].1 = merge(&members[place].1, value)?,
            (None, value) => members.push((key.clone(), merge(&Json::Array(vec![]), value)?)),
        }
    }
    Ok(Json::Object(members))
}
