//! A document that all lanes of a database edit: each has a field of its own in it, so that an edit
//! which undoes another's is seen.

use std::collections::HashMap;

use docdb_client::{Database, Error};
use serde_json::{Value, json};

use super::databases::Kind;
use super::lane::{Lane, Next, Outcome};

/// The collection of that document.
pub(super) const SHARED_NAME: &str = "shared";

/// Its id.
const ID: u64 = 1;

/// Makes an edit take long enough for others to come between.
const FILL_BYTES: usize = 12_000;

/// What a lane knows of its field, which counts its edits.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    acknowledged: u64,
    /// Of the last edit that was sent.
    tried: u64,
}

/// The document before the first edit.
pub(super) fn document() -> Value {
    json!({ "fill": "x".repeat(FILL_BYTES) })
}

fn name(lane: u64) -> String {
    format!("lane-{lane}")
}

impl Lane {
    /// Counts up in the lane's field, by a merge or by a patch.
    pub(super) async fn edit_shared(&mut self, database: &Database) -> Next {
        let number = self.field.tried + 1;
        self.field.tried = number;
        let collection = database.collection::<Value>(SHARED_NAME);
        let edited = match self.rng.chance(50) {
            true => {
                collection
                    .merge(ID, &json!({ name(self.index): number }))
                    .await
            }
            false => {
                let path = format!("/{}", name(self.index));
                let patch = json!([{ "op": "set", "path": path, "value": number }]);
                collection.patch(ID, &patch).await
            }
        };
        match self.outcome(edited.map(|written| written.version)) {
            Outcome::Done(_) => {
                self.field.acknowledged = number;
                self.counts.edits += 1;
                Next::GoOn
            }
            Outcome::Refused(_, next) => {
                // Nothing was written, and the number stays free.
                self.field.tried = number - 1;
                next
            }
            Outcome::Unknown => Next::Stop,
        }
    }
}

/// Every lane's field must hold its last edit.
pub(super) async fn check(
    database: &Database,
    kind: Kind,
    lanes: &mut [&mut Lane],
    violations: &mut Vec<String>,
) -> Result<(), Error> {
    let document = database.collection::<HashMap<String, Value>>(SHARED_NAME);
    let document = document.get(ID).await?.value;
    for lane in lanes {
        let found = document.get(&name(lane.index)).and_then(Value::as_u64);
        let found = found.unwrap_or(0);
        // Behind a tail that was taken back any earlier edit may be the last one.
        let least = if kind.tail.is_some() {
            0
        } else {
            lane.field.acknowledged
        };
        if found < least || found > lane.field.tried {
            violations.push(format!(
                "{}: {SHARED_NAME}/{ID} has edit {found} of lane {}, which was told of {} and sent {}",
                kind.name, lane.index, lane.field.acknowledged, lane.field.tried
            ));
        }
        lane.field = Field {
            acknowledged: found,
            tried: found,
        };
    }
    Ok(())
}
