//! Reads everything back, in three ways, and holds it against what the lanes know.

use std::collections::HashMap;
use std::time::Instant;

use docdb_client::{Client, Database, Error};

use super::databases::{self, ACCOUNTS, ACCOUNTS_NAME, Kind, MONEY, PROBES_NAME};
use super::document::Stamp;
use super::lane::Lane;
use super::oracle::{Collection, Oracle, Place, Seen};
use super::shared;
use super::tail::{self, Lost};
use super::vanish;

/// What a check found.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Documents that are there.
    pub(super) documents: u64,
    /// Unanswered commits that turned out to have happened.
    pub(super) unknown_done: u64,
    /// What a kill took back where it may.
    pub(super) lost: Lost,
    pub(super) violations: Vec<String>,
}

/// Judges all lanes against what the server holds now, after it was ended at that moment.
pub(super) async fn verify(
    client: &Client,
    lanes: &mut [Lane],
    ended: Instant,
) -> Result<Verdict, Error> {
    let mut verdict = Verdict::default();
    for kind in databases::ALL {
        let database = client.database(kind.name);
        let mut seen = HashMap::new();
        for collection in Collection::ALL {
            scan(&database, collection, &mut seen, &mut verdict).await?;
        }
        verdict.documents += seen.len() as u64;
        let own = lanes.iter_mut().filter(|lane| lane.kind == kind);
        let mut own: Vec<&mut Lane> = own.collect();
        shared::check(&database, kind, &mut own, &mut verdict.violations).await?;
        read_each(&database, &own, &seen, &mut verdict).await?;
        judge(own, seen, kind, ended, &mut verdict);
        count_money(&database, &mut verdict).await?;
        vanish::check(&database, &mut verdict.violations).await?;
        // The first write after a recovery works.
        let probe = database.raw_collection(PROBES_NAME).upsert(1, "1").await;
        if let Err(error) = probe {
            let what = format!("{}: the first write after the start: {error}", kind.name);
            verdict.violations.push(what);
        }
    }
    Ok(verdict)
}

/// Money is moved and never made.
async fn count_money(database: &Database, verdict: &mut Verdict) -> Result<(), Error> {
    let mut scan = database.collection::<i64>(ACCOUNTS_NAME).scan(..);
    let (mut accounts, mut sum) = (0, 0);
    while let Some(account) = scan.next().await? {
        accounts += 1;
        sum += account.value;
    }
    if accounts != ACCOUNTS || sum != MONEY * ACCOUNTS as i64 {
        verdict.violations.push(format!(
            "{}: {accounts} accounts with {sum} in all, where transactions moved parts of {}",
            database.name(),
            MONEY * ACCOUNTS as i64
        ));
    }
    Ok(())
}

/// One scan of a whole collection, which must be in order and as long as the counts say.
async fn scan(
    database: &Database,
    collection: Collection,
    seen: &mut HashMap<Place, Seen>,
    verdict: &mut Verdict,
) -> Result<(), Error> {
    let name = collection.name();
    let mut scan = database.raw_collection(name).scan(..);
    let mut scanned = 0;
    let mut last = None;
    while let Some(document) = scan.next().await? {
        if last.is_some_and(|last| last >= document.id) {
            let what = format!(
                "{}: a scan shows {name}/{} twice or out of order",
                database.name(),
                document.id
            );
            verdict.violations.push(what);
        }
        last = Some(document.id);
        scanned += 1;
        let stamp = Stamp::read(&document.value);
        seen.insert(
            Place {
                collection,
                id: document.id,
            },
            Seen {
                stamp,
                version: document.version,
            },
        );
    }
    let count = database.raw_collection(name).count().await?;
    let listed = database
        .collections()
        .await?
        .into_iter()
        .find(|info| info.name == name);
    let listed = listed.map_or(0, |info| info.documents);
    if count != scanned || listed != scanned {
        let what = format!(
            "{}: {name} holds {scanned} by scan, {count} by count, {listed} by list",
            database.name()
        );
        verdict.violations.push(what);
    }
    Ok(())
}

/// Point reads of everything that is known or was seen, each lane's in a task of its own.
async fn read_each(
    database: &Database,
    lanes: &[&mut Lane],
    seen: &HashMap<Place, Seen>,
    verdict: &mut Verdict,
) -> Result<(), Error> {
    let mut places: Vec<Vec<Place>> = lanes
        .iter()
        .map(|lane| lane.oracle.known.keys().copied().collect())
        .collect();
    places.push(seen.keys().copied().collect());
    let mut tasks = tokio::task::JoinSet::new();
    for places in places {
        let database = database.clone();
        tasks.spawn(async move {
            let mut found = Vec::with_capacity(places.len());
            for place in places {
                let collection = database.raw_collection(place.collection.name());
                let read = collection.get_if_exists(place.id).await?;
                let read = read.map(|r| Seen {
                    stamp: Stamp::read(&r.value),
                    version: r.version,
                });
                found.push((place, read));
            }
            Ok::<_, Error>(found)
        });
    }
    while let Some(found) = tasks.join_next().await {
        let Ok(found) = found else {
            verdict
                .violations
                .push("a reading task panicked".to_owned());
            continue;
        };
        for (place, read) in found? {
            if read.as_ref() != seen.get(&place) {
                let what = format!(
                    "{}: {place}: a read shows {read:?}, a scan {:?}",
                    database.name(),
                    seen.get(&place)
                );
                verdict.violations.push(what);
            }
        }
    }
    Ok(())
}

/// Gives each lane what is its own, and lets it judge.
fn judge(
    mut lanes: Vec<&mut Lane>,
    seen: HashMap<Place, Seen>,
    kind: Kind,
    ended: Instant,
    verdict: &mut Verdict,
) {
    let database = kind.name;
    for lane in &mut lanes {
        lane.resolve_insert(&seen);
    }
    if let Some(tail) = kind.tail {
        let mut oracles: Vec<&mut Oracle> = lanes.iter_mut().map(|l| &mut l.oracle).collect();
        let mut lost = tail::take_back(&mut oracles, &seen, ended, tail);
        let violations = lost.violations.drain(..);
        verdict
            .violations
            .extend(violations.map(|violation| format!("{database}: {violation}")));
        verdict.lost = lost;
    }
    let owners = owners(&lanes);
    let mut owned: HashMap<u64, HashMap<Place, Seen>> = HashMap::new();
    for (place, seen) in seen {
        let owner = match place.collection {
            Collection::Chosen => Some(Lane::of_chosen(place.id)),
            Collection::Assigned => {
                let known = owners.get(&place).copied();
                known.or(seen.stamp.map(|stamp| stamp.lane))
            }
        };
        match owner.filter(|owner| lanes.iter().any(|lane| lane.index == *owner)) {
            Some(owner) => drop(owned.entry(owner).or_default().insert(place, seen)),
            None => {
                let what = format!("{database}: {place}: nobody's document");
                verdict.violations.push(what);
            }
        }
    }
    for lane in &mut lanes {
        let seen = owned.remove(&lane.index).unwrap_or_default();
        let judgement = lane.oracle.judge(&seen);
        verdict.unknown_done += u64::from(judgement.pending_done);
        for violation in judgement.violations {
            let what = format!("{database}, lane {}: {violation}", lane.index);
            verdict.violations.push(what);
        }
        verdict.violations.append(&mut lane.violations);
    }
}

/// The lanes that know of documents under assigned ids.
fn owners(lanes: &[&mut Lane]) -> HashMap<Place, u64> {
    let places = lanes.iter().flat_map(|lane| {
        let known = lane.oracle.known.keys();
        known.map(|place| (*place, lane.index))
    });
    places.collect()
}
