//! Healing of damaged documents.

use docdb_ipc::{HealReport, Request, Response};

use crate::client::{stats_of, unexpected_to_write};
use crate::{Database, Result};

/// What became of a document that was to be healed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealOutcome {
    /// It is as it was written.
    Intact,
    /// It was damaged, and is restored durably.
    Healed,
    /// It is damaged, and there is no intact copy of its version.
    Unhealable {
        /// The file, and where in it, for people.
        what: String,
    },
}

impl Database {
    /// Verifies a document as it is on the server's disk, and restores it if it is damaged and an
    /// intact copy of its current version is found. `NotFound` if there is no such document.
    pub async fn heal(&self, collection: &str, id: u64) -> Result<HealOutcome> {
        let request = Request::Heal {
            db: self.name.clone(),
            collection: collection.into(),
            id,
        };
        match self.client.call(request).await? {
            Response::Healed { outcome, what } => Ok(match outcome {
                docdb_ipc::HealOutcome::Intact => HealOutcome::Intact,
                docdb_ipc::HealOutcome::Healed => HealOutcome::Healed,
                // Of a newer server's outcomes all that is known is that it is not well.
                _ => HealOutcome::Unhealable {
                    what: what.map(|what| what.to_string()).unwrap_or_default(),
                },
            }),
            other => Err(unexpected_to_write(&other)),
        }
    }

    /// Verifies all of the database, and restores what is damaged. It takes as long as reading the
    /// database does: give the client no [request timeout](crate::ClientBuilder::request_timeout), or
    /// one that is long enough. Dropping the future ends it; [`Database::heal_stats`] tells how far it
    /// has come.
    pub async fn heal_all(&self) -> Result<HealReport> {
        let request = Request::HealAll {
            db: self.name.clone(),
        };
        match self.client.call(request).await? {
            Response::HealedAll(report) => Ok(report),
            other => Err(unexpected_to_write(&other)),
        }
    }

    /// What healing has found and done since the server opened the database, and how far the scan
    /// under way has come: a JSON object.
    pub async fn heal_stats(&self) -> Result<serde_json::Value> {
        let request = Request::HealStats {
            db: self.name.clone(),
        };
        stats_of(self.client.call(request).await?)
    }
}
