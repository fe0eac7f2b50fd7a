//! The vectors in docs/protocol-vectors are what this crate writes and reads, byte by byte, so that
//! the bytes cannot change without the files. `DOCDB_BLESS=1 cargo test -p docdb-ipc --test
//! vectors` writes them anew; docs/protocol.md must say the same.

mod cases;
mod json;

use std::path::PathBuf;

use bytes::BytesMut;
use docdb_ipc::{
    ClientHandshake, DecodeError, Frame, FrameDecoder, HELLO_BYTES_MAX, HandshakeError, Limits,
    Opcode, ServerHandshake, Session, decode_request, decode_response,
};
use docdb_types::ErrorKind;
use docdb_types::limits::FRAME_BYTES_MAX;
use serde_json::{Value, json};

use json::{hex, unhex};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol-vectors")
}

/// Compares a file with what it should hold, or writes it.
fn check_file(name: &str, vectors: &[Value]) {
    let path = directory().join(name);
    let expected = json::render_list(vectors);
    if std::env::var_os("DOCDB_BLESS").is_some() {
        std::fs::write(&path, &expected).expect("the directory is writable");
    }
    let found = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(
        found == expected,
        "{name} does not hold what the code writes. If the protocol changed on purpose, change \
         docs/protocol.md, run DOCDB_BLESS=1 cargo test -p docdb-ipc --test vectors, and then the \
         tests again"
    );
}

fn load(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(directory().join(name)).expect("the file exists");
    serde_json::from_str(&text).expect("the file is JSON")
}

fn field<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} of {vector}"))
}

/// What a peer makes of the bytes of a vector, as the vectors say it.
fn read(vector: &Value) -> Value {
    let bytes = unhex(field(vector, "hex"));
    let (receiver, hello) = (field(vector, "receiver"), vector["hello"] == true);
    let mut decoder = FrameDecoder::new(if hello {
        HELLO_BYTES_MAX
    } else {
        FRAME_BYTES_MAX
    });
    decoder.feed(&bytes);
    let refused = |error: &DecodeError| {
        let closes = error.is_fatal();
        let kind = if hello {
            docdb_types::ErrorKind::Protocol
        } else {
            error.kind()
        };
        json!({"error": {
            "reason": error.reason.name(),
            "kind": kind.name(),
            "code": kind.code(),
            "closes": closes,
        }})
    };
    let frame = match decoder.next_frame() {
        Ok(Some(frame)) => frame,
        Ok(None) => return json!({"incomplete": true}),
        Err(error) => return refused(&error),
    };
    let header = json!({
        "opcode": frame.opcode,
        "present": frame.present,
        "request_id": frame.request_id.to_string(),
    });
    let name = Opcode::from_code(frame.opcode).map(Opcode::name);
    let fields = match (receiver, hello) {
        ("server", false) => decode_request(&frame).map(|(_, m)| json::request(&m)),
        ("client", false) => decode_response(&frame).map(|(_, m)| json::response(&m)),
        _ => match shake(receiver, &frame) {
            Ok(session) => Ok(json::session(receiver, &session)),
            Err(HandshakeError::Decode(error)) => Err(error),
            Err(error) => return self::refused("version", error.kind(), true),
        },
    };
    match fields {
        Ok(fields) => json!({"header": header, "message": name, "fields": fields}),
        Err(error) => refused(&error),
    }
}

fn refused(reason: &str, kind: ErrorKind, closes: bool) -> Value {
    json!({"error": {
        "reason": reason,
        "kind": kind.name(),
        "code": kind.code(),
        "closes": closes,
    }})
}

fn shake(receiver: &str, frame: &Frame) -> Result<Session, HandshakeError> {
    if receiver == "client" {
        return ClientHandshake::new("docs").finish(frame);
    }
    let server = ServerHandshake::new(Limits::default(), "docdb-server", "0.1.0").expect("valid");
    server.answer(frame, &mut BytesMut::new())
}

/// A vector whose meaning is what this crate reads in it.
fn vector(name: &str, receiver: &str, hello: bool, bytes: &[u8]) -> Value {
    let mut vector = json!({"name": name, "receiver": receiver, "hex": hex(bytes)});
    if hello {
        vector["hello"] = json!(true);
    }
    let Value::Object(meaning) = read(&vector) else {
        panic!("an object")
    };
    for (key, value) in meaning {
        vector[key.as_str()] = value;
    }
    vector
}

#[test]
fn hellos() {
    let vectors: Vec<Value> = cases::hellos()
        .iter()
        .map(|(name, receiver, bytes)| vector(name, receiver, true, bytes))
        .collect();
    assert!(vectors.iter().all(|vector| vector.get("fields").is_some()));
    check_file("hello.json", &vectors);
}

#[test]
fn requests() {
    let vectors: Vec<Value> = cases::requests()
        .iter()
        .map(|(name, bytes, fields)| {
            let vector = vector(name, "server", false, bytes);
            assert_eq!(&vector["fields"], fields, "{name}");
            vector
        })
        .collect();
    check_file("requests.json", &vectors);
}

#[test]
fn responses() {
    let vectors: Vec<Value> = cases::responses()
        .iter()
        .map(|(name, bytes, fields)| {
            let vector = vector(name, "client", false, bytes);
            assert_eq!(&vector["fields"], fields, "{name}");
            vector
        })
        .collect();
    check_file("responses.json", &vectors);
}

#[test]
fn invalid() {
    let vectors: Vec<Value> = cases::invalid()
        .iter()
        .map(|case| {
            let vector = vector(case.name, case.receiver, case.hello, &case.bytes);
            match case.reason {
                Some(reason) => assert_eq!(vector["error"]["reason"], reason, "{}", case.name),
                None => assert_eq!(vector["incomplete"], true, "{}", case.name),
            }
            vector
        })
        .collect();
    check_file("invalid.json", &vectors);
}

/// As a client in another language runs them: from the files alone.
#[test]
fn files_mean_what_they_say() {
    for name in [
        "hello.json",
        "requests.json",
        "responses.json",
        "invalid.json",
    ] {
        let vectors = load(name);
        assert!(vectors.len() > 1, "{name}");
        for vector in &vectors {
            let meaning = read(vector);
            for (key, value) in meaning.as_object().expect("an object") {
                assert_eq!(&vector[key], value, "{key} of {}", field(vector, "name"));
            }
        }
    }
}

#[test]
fn every_opcode_has_a_vector() {
    let vectors: Vec<Value> = ["hello.json", "requests.json", "responses.json"]
        .iter()
        .flat_map(|n| load(n))
        .collect();
    for opcode in Opcode::ALL {
        let found = vectors
            .iter()
            .any(|v| v["header"]["opcode"] == opcode.code());
        assert!(found, "{opcode} has no vector");
    }
}

/// The page names every opcode, error kind and reason with the number the code has.
#[test]
fn the_page_says_the_same() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md");
    let page = std::fs::read_to_string(path).expect("the page exists");
    for opcode in Opcode::ALL {
        let row = format!("| {:#04X} | `{opcode}` |", opcode.code()).replace("0X", "0x");
        assert!(page.contains(&row), "no row {row}");
    }
    for kind in ErrorKind::ALL {
        let cells = format!("| {} | {kind} |", kind.code());
        assert!(page.contains(&cells), "no cells {cells}");
    }
    for vector in load("invalid.json") {
        if let Some(reason) = vector["error"]["reason"].as_str() {
            assert!(page.contains(&format!("`{reason}`")), "{reason}");
        }
    }
    for (name, hex) in load("hello.json")
        .iter()
        .map(|vector| (field(vector, "name"), field(vector, "hex")))
    {
        if name == "hello" {
            assert!(page.contains(hex), "the hello of the example");
        }
    }
}
