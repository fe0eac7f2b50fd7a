//! The part `kill`: a real server is ended again and again while clients write, and after each start
//! everything is read back and held against what they were told.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use docdb_crashtest::{Job, Outcome, Part, Violation};
use tokio::runtime::Runtime;

use super::parts::Setting;
use crate::server::ServerSetup;

mod databases;
mod document;
mod figures;
mod full_disk;
mod journal;
mod lane;
mod moments;
mod oracle;
mod plant;
mod rounds;
mod second;
mod shared;
mod space;
mod tail;
mod transactions;
mod vanish;
mod verify;

/// See the module's documentation.
pub(super) struct Kill<'a> {
    runtime: &'a Runtime,
    server: PathBuf,
    dir: PathBuf,
    clients: u64,
    plant: Option<String>,
    plant_loss: bool,
}

impl<'a> Kill<'a> {
    /// Builds the server, unless one was given.
    pub(super) fn new(setting: &'a Setting<'a>) -> Result<Kill<'a>, Box<dyn Error>> {
        Ok(Kill {
            runtime: setting.runtime,
            server: crate::binaries::server(setting.options.server.clone())?,
            dir: setting.dir.join("kill"),
            clients: setting.options.clients,
            plant: setting.options.plant.clone(),
            plant_loss: setting.options.plant_loss,
        })
    }

    fn setup(&self, dir: &Path) -> Result<ServerSetup, String> {
        let setup = ServerSetup::in_dir(self.server.clone(), dir);
        let mut setup = setup.map_err(|e| e.to_string())?;
        setup.own_group = true;
        setup.arguments = vec![format!("--wal-bytes-max={}", space::WAL_BYTES_MAX)];
        let plant = self.plant.iter();
        setup.variables = plant.map(|bug| ("DOCDB_PLANT_BUG", bug.clone())).collect();
        Ok(setup)
    }

    fn run_rounds(&self, job: &Job<'_>, rounds_max: Option<u64>) -> Result<Outcome, String> {
        let setup = self.setup(&self.dir)?;
        let shape = rounds::Shape {
            clients: self.clients,
            plant_loss: self.plant_loss,
            rounds_max,
        };
        let mut found = figures::Found::default();
        self.runtime.block_on(async {
            rounds::Rounds::new(job, &setup, &self.dir, shape)
                .all(&mut found)
                .await;
            let is_whole = found.violations.is_empty() && !self.plant_loss && !job.is_over(0);
            if is_whole && rounds_max.is_none() {
                let dir = self.dir.join("full-disk");
                match full_disk::run(&setup, &dir).await {
                    Ok(report) => found.note(report),
                    Err(what) => found.violation("full-disk".to_owned(), what),
                }
            }
        });
        setup.remove_socket();
        if found.violations.is_empty() || self.plant_loss {
            let _ = fs::remove_dir_all(&self.dir);
        } else {
            let kept = self.dir.display();
            found.note(format!(
                "the data, the server's log and the clients' journal of the last round are kept in {kept}"
            ));
        }
        Ok(found.outcome())
    }
}

impl Part for Kill<'_> {
    fn name(&self) -> &'static str {
        "kill"
    }

    fn summary(&self) -> &'static str {
        "a real server under load from several clients is killed at random and chosen moments, on this disk"
    }

    fn run(&self, job: &Job<'_>) -> Result<Outcome, String> {
        self.run_rounds(job, None)
    }

    fn replay(&self, job: &Job<'_>, place: &str) -> Result<Outcome, String> {
        if place == "full-disk" {
            let setup = self.setup(&self.dir)?;
            let mut outcome = Outcome::of(1, "full disks");
            match self.runtime.block_on(full_disk::run(&setup, &self.dir)) {
                Ok(report) => outcome.notes.push(report),
                Err(what) => outcome.violations.push(Violation {
                    what,
                    place: place.to_owned(),
                    operations: Vec::new(),
                }),
            }
            return Ok(outcome);
        }
        let round = place.strip_prefix("round-").and_then(|n| n.parse().ok());
        let round = round.ok_or_else(|| format!("{place} is no place: round-N or full-disk"))?;
        self.run_rounds(job, Some(round))
    }
}
