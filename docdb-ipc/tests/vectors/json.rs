//! Messages as JSON, and JSON as text with a fixed layout. 64-bit numbers are strings, because not
//! every language reads them exactly; bytes that need not be text are hexadecimal.

use docdb_ipc::{
    BackedUp, BatchMode, NotBackedUp, OpResult, Precondition, Request, Response, Session,
    ViewRequest, WireError, WriteOp,
};
use serde_json::{Map, Value, json};

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .map(|c| c.to_digit(16).expect("a digit"))
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("a byte"))
        .collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("documents of the vectors are text")
}

fn number(n: u64) -> String {
    n.to_string()
}

fn set<T: Into<Value>>(object: &mut Value, key: &str, value: Option<T>) {
    if let Some(value) = value {
        object[key] = value.into();
    }
}

/// What the receiver of a hello or welcome knows: the limits are in the welcome alone.
pub(crate) fn session(receiver: &str, session: &Session) -> Value {
    let mut fields = json!({
        "agreed_version": session.version,
        "agreed_features": number(session.features),
        "name": session.peer_name.as_str(),
    });
    if receiver == "client" {
        let limits = session.limits;
        fields["software_version"] = json!(session.peer_software_version.as_str());
        fields["frame_bytes_max"] = json!(limits.frame_bytes_max);
        fields["document_bytes_max"] = json!(limits.document_bytes_max);
        fields["in_flight_requests_max"] = json!(limits.in_flight_requests_max);
        fields["scan_credit_bytes_max"] = json!(limits.scan_credit_bytes_max);
        fields["transactions_max"] = json!(limits.transactions_max);
        fields["snapshots_max"] = json!(limits.snapshots_max);
    }
    fields
}

pub(crate) fn request(request: &Request) -> Value {
    match request {
        Request::Ping | Request::Cancel | Request::ListDatabases => json!({}),
        Request::ScanCredit { bytes } => json!({"bytes": bytes}),
        Request::CreateDatabase { name, durability } => {
            let mut fields = json!({"name": name.as_str()});
            set(&mut fields, "durability", durability.as_deref());
            fields
        }
        Request::DropDatabase { name } => json!({"name": name.as_str()}),
        Request::ListCollections { db }
        | Request::Checkpoint { db }
        | Request::Compact { db }
        | Request::HealAll { db }
        | Request::HealStats { db } => {
            json!({"db": db.as_str()})
        }
        Request::Backup(backup) => {
            let names: Vec<&str> = backup.databases.iter().map(|name| name.as_str()).collect();
            let mut fields = json!({"dir": backup.dir.as_str(), "databases": names});
            set(
                &mut fields,
                "bytes_per_second",
                backup.bytes_per_second.map(number),
            );
            fields
        }
        Request::CreateCollection { db, name } => json!({"db": db.as_str(), "name": name.as_str()}),
        Request::DropCollection { db, name, force } => {
            json!({"db": db.as_str(), "name": name.as_str(), "force": force})
        }
        Request::Read { db, collection, id }
        | Request::Exists { db, collection, id }
        | Request::Heal { db, collection, id } => {
            json!({"db": db.as_str(), "collection": collection.as_str(), "id": number(*id)})
        }
        Request::Count { db, collection } => {
            json!({"db": db.as_str(), "collection": collection.as_str()})
        }
        Request::Scan(scan) => {
            let mut fields = json!({
                "db": scan.db.as_str(),
                "collection": scan.collection.as_str(),
                "credit_bytes": scan.credit_bytes,
                "reverse": scan.reverse,
                "at_latest": scan.at_latest,
            });
            set(&mut fields, "from", scan.from.map(number));
            set(&mut fields, "to", scan.to.map(number));
            set(&mut fields, "limit", scan.limit.map(number));
            set(&mut fields, "cursor_hex", scan.cursor.as_deref().map(hex));
            fields
        }
        Request::Write { db, durability, op } => {
            let mut fields = json!({"db": db.as_str(), "op": write_op(op)});
            set(&mut fields, "durability", durability.as_deref());
            fields
        }
        Request::Batch {
            db,
            mode,
            durability,
            ops,
        } => {
            let mode = match mode {
                BatchMode::Atomic => "atomic",
                BatchMode::Independent => "independent",
                other => panic!("{other:?}"),
            };
            let ops: Vec<Value> = ops.iter().map(write_op).collect();
            let mut fields = json!({"db": db.as_str(), "mode": mode, "ops": ops});
            set(&mut fields, "durability", durability.as_deref());
            fields
        }
        Request::DeleteRange {
            db,
            collection,
            from,
            to,
            limit,
            durability,
        } => {
            let mut fields = json!({"db": db.as_str(), "collection": collection.as_str()});
            set(&mut fields, "from", from.map(number));
            set(&mut fields, "to", to.map(number));
            set(&mut fields, "limit", limit.map(number));
            set(&mut fields, "durability", durability.as_deref());
            fields
        }
        Request::Stats { db } => {
            let mut fields = json!({});
            set(&mut fields, "db", db.as_deref());
            fields
        }
        Request::View(request) => view_request(request),
        other => panic!("{other:?}"),
    }
}

fn view_request(request: &ViewRequest) -> Value {
    let mut fields = match request {
        ViewRequest::Begin {
            db,
            serializable,
            timeout_ms,
        } => {
            let mut fields = json!({"db": db.as_str(), "serializable": serializable});
            set(&mut fields, "timeout_ms", *timeout_ms);
            fields
        }
        ViewRequest::OpenSnapshot { db } => json!({"db": db.as_str()}),
        ViewRequest::Commit { durability, .. } => {
            let mut fields = json!({});
            set(&mut fields, "durability", durability.as_deref());
            fields
        }
        ViewRequest::Rollback { .. }
        | ViewRequest::CloseSnapshot { .. }
        | ViewRequest::ListCollections { .. } => json!({}),
        ViewRequest::Read { collection, id, .. } | ViewRequest::Exists { collection, id, .. } => {
            json!({"collection": collection.as_str(), "id": number(*id)})
        }
        ViewRequest::Count { collection, .. } => json!({"collection": collection.as_str()}),
        ViewRequest::Scan { scan, .. } => {
            let mut fields = json!({
                "collection": scan.collection.as_str(),
                "credit_bytes": scan.credit_bytes,
                "reverse": scan.reverse,
            });
            set(&mut fields, "from", scan.from.map(number));
            set(&mut fields, "to", scan.to.map(number));
            set(&mut fields, "limit", scan.limit.map(number));
            set(&mut fields, "cursor_hex", scan.cursor.as_deref().map(hex));
            fields
        }
        ViewRequest::Write { op, .. } => json!({"op": write_op(op)}),
        other => panic!("{other:?}"),
    };
    set(
        &mut fields,
        "view",
        request.view().map(|view| number(view.0)),
    );
    fields
}

fn write_op(op: &WriteOp) -> Value {
    let mut fields = json!({"kind": op.kind.name(), "collection": op.collection.as_str()});
    set(&mut fields, "id", op.id.map(number));
    match op.precondition {
        Precondition::None => {}
        Precondition::VersionIs(version) => fields["if_version"] = json!(number(version)),
        Precondition::Absent => fields["if_absent"] = json!(true),
        other => panic!("{other:?}"),
    }
    if op.kind.name() != "delete" {
        fields["body"] = json!(text(&op.body));
    }
    fields
}

pub(crate) fn response(response: &Response) -> Value {
    match response {
        Response::Error(error) => wire_error(error),
        Response::Pong | Response::Ok => json!({}),
        Response::Databases(databases) => {
            let list: Vec<Value> = databases
                .iter()
                .map(|database| {
                    json!({
                        "name": database.name.as_str(),
                        "id": number(database.id),
                        "durability": database.durability.as_str(),
                        "open": database.open,
                    })
                })
                .collect();
            json!({"databases": list})
        }
        Response::Collections(collections) => {
            let list: Vec<Value> = collections
                .iter()
                .map(|collection| {
                    json!({
                        "name": collection.name.as_str(),
                        "id": number(collection.id),
                        "documents": number(collection.documents),
                    })
                })
                .collect();
            json!({"collections": list})
        }
        Response::Document { version, body } => {
            json!({"version": number(*version), "body": text(body)})
        }
        Response::Exists(exists) => json!({"exists": exists}),
        Response::Count(count) => json!({"count": number(*count)}),
        Response::ScanItems(items) => {
            let list: Vec<Value> = items
                .iter()
                .map(|item| {
                    json!({
                        "id": number(item.id),
                        "version": number(item.version),
                        "body": text(&item.body),
                    })
                })
                .collect();
            json!({"items": list})
        }
        Response::ScanEnd { cursor, items } => {
            let mut fields = json!({"items": number(*items)});
            set(&mut fields, "cursor_hex", cursor.as_deref().map(hex));
            fields
        }
        Response::Written { version, id } => {
            json!({"version": number(*version), "id": number(*id)})
        }
        Response::Opened { version } | Response::Committed { version } => {
            json!({"version": number(*version)})
        }
        Response::BatchDone { results } => {
            let list: Vec<Value> = results
                .iter()
                .map(|result| match result {
                    OpResult::Ok { version, id } => {
                        json!({"ok": {"version": number(*version), "id": number(*id)}})
                    }
                    OpResult::Err(error) => json!({"error": wire_error(error)}),
                })
                .collect();
            json!({"results": list})
        }
        Response::RangeDeleted {
            deleted,
            version,
            next,
        } => {
            let mut fields = json!({"deleted": number(*deleted)});
            set(&mut fields, "version", version.map(number));
            set(&mut fields, "next", next.map(number));
            fields
        }
        Response::Compacted(done) => json!({
            "files": number(done.files),
            "bytes_before": number(done.bytes_before),
            "bytes_after": number(done.bytes_after),
            "documents_moved": number(done.documents_moved),
        }),
        Response::Healed { outcome, what } => {
            let mut fields = json!({"outcome": outcome.code()});
            set(&mut fields, "what", what.as_deref());
            fields
        }
        Response::HealedAll(report) => json!({
            "files": number(report.files),
            "bytes": number(report.bytes),
            "found": number(report.found),
            "healed": number(report.healed),
            "unhealable": number(report.unhealable),
            "index_pages_damaged": number(report.index_pages_damaged),
            "unhealable_documents": report
                .unhealable_documents
                .iter()
                .map(|document| {
                    json!({
                        "collection": document.collection.as_str(),
                        "id": number(document.id),
                        "version": number(document.version),
                        "what": document.what.as_str(),
                    })
                })
                .collect::<Vec<_>>(),
            "places": report.places.iter().map(|place| place.as_str()).collect::<Vec<_>>(),
        }),
        Response::HealStats(body) => json!({"body": text(body)}),
        Response::BackedUp(report) => {
            let database = |done: &BackedUp| {
                json!({
                    "name": done.name.as_str(),
                    "id": number(done.id),
                    "version": number(done.version),
                    "documents": number(done.documents),
                    "files_copied": number(done.files_copied),
                    "files_extended": number(done.files_extended),
                    "files_reused": number(done.files_reused),
                    "files_renewed": number(done.files_renewed),
                    "bytes_copied": number(done.bytes_copied),
                    "bytes": number(done.bytes),
                })
            };
            let failed = |failed: &NotBackedUp| {
                json!({
                    "name": failed.name.as_str(),
                    "id": number(failed.id),
                    "kept_version": failed.kept_version.map(number),
                    "error": wire_error(&failed.error),
                })
            };
            json!({
                "databases": report.databases.iter().map(database).collect::<Vec<_>>(),
                "failed": report.failed.iter().map(failed).collect::<Vec<_>>(),
            })
        }
        Response::Stats(body) => json!({"body": text(body)}),
        other => panic!("{other:?}"),
    }
}

fn wire_error(error: &WireError) -> Value {
    let mut fields = json!({
        "code": error.code.raw(),
        "kind": error.kind().name(),
        "message": error.message,
    });
    set(&mut fields, "version", error.version.map(number));
    set(&mut fields, "op_index", error.op_index);
    fields
}

/// One vector a paragraph, one key a line, the name first, then the keys in their order.
pub(crate) fn render_list(vectors: &[Value]) -> String {
    let objects: Vec<String> = vectors
        .iter()
        .map(|vector| {
            let mut keys: Vec<&String> = vector.as_object().expect("an object").keys().collect();
            keys.sort_by_key(|key| (*key != "name", *key));
            let lines: Vec<String> = keys
                .iter()
                .map(|key| format!("    {}: {}", json!(key), sorted(&vector[key.as_str()])))
                .collect();
            format!("  {{\n{}\n  }}", lines.join(",\n"))
        })
        .collect();
    format!("[\n{}\n]\n", objects.join(",\n"))
}

/// The value with its keys in order, whatever serde_json's features make of them.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<(&String, &Value)> = object.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries = entries
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
