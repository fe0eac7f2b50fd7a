//! Round after round: load, an end, a start, a check.

use std::collections::HashSet;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use docdb_client::Client;
use docdb_crashtest::Job;

use super::databases;
use super::figures::Found;
use super::journal::Journal;
use super::lane::{Lane, Round};
use super::moments::{Calls, End, pause, wait_for_rotation};
use super::{plant, second, space, vanish, verify};
use crate::rng::Rng;
use crate::server::{Server, ServerSetup};

/// Requests in flight on each connection.
const LANES_PER_CLIENT: u64 = 4;

/// The longest load before an end, without what it takes to meet a chosen moment.
const LOAD_MILLIS_MAX: u64 = 220;

/// A request that takes so long has no answer. Also what a start may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);

/// Short, so that a client whose server was killed gives up looking for it. While there is one,
/// connecting is tried again and again.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(50);

/// After so many rounds one database is dropped and made anew, so that nothing grows for ever.
const RECREATE_EVERY: u64 = 40;

/// How the rounds are to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) clients: u64,
    /// Zeroes ends of logs after the first kill.
    pub(super) plant_loss: bool,
    /// Not more than so many, whatever the job allows.
    pub(super) rounds_max: Option<u64>,
}

pub(super) struct Rounds<'a> {
    job: &'a Job<'a>,
    setup: &'a ServerSetup,
    dir: &'a Path,
    shape: Shape,
    lanes: Vec<Lane>,
}

impl<'a> Rounds<'a> {
    pub(super) fn new(
        job: &'a Job<'a>,
        setup: &'a ServerSetup,
        dir: &'a Path,
        shape: Shape,
    ) -> Self {
        let lanes = 0..shape.clients * LANES_PER_CLIENT;
        Rounds {
            job,
            setup,
            dir,
            shape,
            lanes: lanes.map(|index| Lane::new(index, job.seed)).collect(),
        }
    }

    /// All rounds. Whatever the server fails to do is a violation of the round.
    pub(super) async fn all(mut self, found: &mut Found) {
        let mut server = match self.first_start().await {
            Ok(server) => server,
            Err(e) => return found.violation("round-1".to_owned(), e.to_string()),
        };
        let rounds = self.shape.rounds_max.unwrap_or(u64::MAX);
        for round in 1..=rounds {
            server = match self.round(round, server, found).await {
                Ok(server) => server,
                Err(e) => return found.violation(format!("round-{round}"), e.to_string()),
            };
            let what = format!("{} commits acknowledged", found.counts.commits());
            self.job
                .progress
                .at(found.killed(), self.job.budget.cases, &what);
            if !found.violations.is_empty() {
                // What was found is to be looked at, not to be checkpointed away.
                let _ = server.kill();
                return;
            }
            if self.job.is_over(found.killed()) {
                break;
            }
        }
        if let Err(e) = server.stop().await {
            found.violation("round-1".to_owned(), e.to_string());
        }
    }

    async fn first_start(&self) -> Result<Server, Box<dyn Error>> {
        let (server, _) = self.setup.start().await?;
        let client = self.connect().await?;
        for kind in databases::ALL {
            databases::make(&client, kind).await?;
        }
        Ok(server)
    }

    async fn connect(&self) -> Result<Client, docdb_client::Error> {
        let began = Instant::now();
        loop {
            let client = Client::builder(&self.setup.socket)
                .name("crashtest")
                .connect_timeout(CONNECT_TIMEOUT)
                .request_timeout(ANSWER_TIMEOUT);
            match client.connect().await {
                Err(error) if began.elapsed() > ANSWER_TIMEOUT => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                Ok(client) => return Ok(client),
            }
        }
    }

    async fn round(
        &mut self,
        round: u64,
        server: Server,
        found: &mut Found,
    ) -> Result<Server, Box<dyn Error>> {
        let mut rng = Rng::fork(self.job.seed, 1 << 32 | round);
        // A clean end leaves nothing in the log to lose.
        let end = match self.shape.plant_loss {
            true => End::Any,
            false => End::choose(&mut rng),
        };
        if round.is_multiple_of(RECREATE_EVERY) {
            self.recreate(&mut rng, found).await?;
        }
        let journal = Journal::create(&self.dir.join("journal.ndjson"))?;
        let ended = self
            .load_and_end(end, server, &journal, &mut rng, found)
            .await?;
        journal.flush()?;
        if self.shape.plant_loss {
            found.logs_damaged += plant::lose_log_tails(&self.setup.data_dir)?;
        }
        if end == End::InRecovery {
            for _ in 0..1 + rng.below(3) {
                self.kill_in_recovery(&mut rng).await?;
                found.kill(end);
            }
        }
        let mut server = self.start_and_check(round, end, ended, found).await?;
        // What recovery has shown once stays.
        if found.violations.is_empty() && rng.chance(12) {
            let ended = Instant::now();
            server.kill()?;
            found.kill(End::AtRest);
            server = self.start_and_check(round, end, ended, found).await?;
            found.reopened_twice += 1;
        }
        found.rounds += 1;
        Ok(server)
    }

    /// Starts the server, opens all databases and checks everything.
    async fn start_and_check(
        &mut self,
        round: u64,
        end: End,
        ended: Instant,
        found: &mut Found,
    ) -> Result<Server, Box<dyn Error>> {
        let (server, _) = self.setup.start().await?;
        let client = self.connect().await?;
        open_all(&client).await?;
        found.starts.push(server.age());
        let verdict = verify::verify(&client, &mut self.lanes, ended).await;
        let verdict = verdict.map_err(|e| format!("reading everything back: {e}"))?;
        found.documents_checked += verdict.documents;
        found.unknown_done += verdict.unknown_done;
        found.lost_commits += verdict.lost.commits;
        found.lost_age = found.lost_age.max(verdict.lost.age);
        let mut violations = verdict.violations;
        self.check_versions(&mut violations);
        if round % 10 == 1 {
            let (bytes, complaint) = space::check(&client, &self.setup.data_dir).await?;
            found.bytes_max = found.bytes_max.max(bytes);
            violations.extend(complaint);
        }
        for what in violations {
            let what = format!("{what} (round {round}, ended {})", end.name());
            found.violation(format!("round-{round}"), what);
        }
        for lane in &mut self.lanes {
            found.counts.add(&std::mem::take(&mut lane.counts));
        }
        Ok(server)
    }

    /// Loads the server until the moment of its end. Says when that was.
    async fn load_and_end(
        &mut self,
        end: End,
        server: Server,
        journal: &Journal,
        rng: &mut Rng,
        found: &mut Found,
    ) -> Result<Instant, Box<dyn Error>> {
        let round = Round {
            stop: Arc::default(),
            ending: Arc::default(),
            journal: journal.clone(),
        };
        let mut clients = Vec::new();
        for _ in 0..self.shape.clients {
            clients.push(self.connect().await?);
        }
        let mut tasks = tokio::task::JoinSet::new();
        for lane in self.lanes.drain(..) {
            let client = clients[(lane.index / LANES_PER_CLIENT) as usize].clone();
            tasks.spawn(lane.work(client, round.clone()));
        }
        let calls = Arc::new(Calls::default());
        let mut others = tokio::task::JoinSet::new();
        if matches!(end, End::InCheckpoint | End::InCompaction) {
            let stop = Arc::clone(&round.stop);
            others.spawn(Arc::clone(&calls).keep_calling(self.connect().await?, end, stop));
        }
        let vanishing = rng.chance(30).then(|| rng.next());
        let vanishing = vanishing.map(|seed| tokio::spawn(vanish::some(self.setup.clone(), seed)));
        let refused = match rng.chance(8) {
            true => Some(second::is_refused(self.setup, self.dir, rng).await),
            false => None,
        };
        tokio::time::sleep(Duration::from_millis(5 + rng.below(LOAD_MILLIS_MAX))).await;
        if end == End::AtRest {
            // A request that has no answer by its time-out is a violation of its lane.
            round.stop.store(true, Ordering::Relaxed);
            while let Some(lane) = tasks.join_next().await {
                self.lanes.push(lane?);
            }
        }
        let ended = kill_at(end, server, &calls, &self.setup.data_dir, &round, rng).await;
        round.stop.store(true, Ordering::Relaxed);
        while let Some(lane) = tasks.join_next().await {
            self.lanes.push(lane?);
        }
        self.lanes.sort_by_key(|lane| lane.index);
        others.join_all().await;
        if let Some(vanishing) = vanishing {
            found.vanished += vanishing.await?;
        }
        if let Some(refused) = refused {
            refused?;
            found.second_servers += 1;
        }
        let (at, hit) = ended?;
        match (end, hit) {
            (End::Terminate, _) => found.terminated += 1,
            (End::InDrain, false) => found.terminated += 1,
            (_, true) => found.kill(end),
            (_, false) => {
                found.missed += 1;
                found.kill(End::Any);
            }
        }
        Ok(at)
    }

    /// Kills a server that has begun to recover its databases.
    async fn kill_in_recovery(&self, rng: &mut Rng) -> Result<(), Box<dyn Error>> {
        let server = self.setup.spawn()?;
        let socket = self.setup.socket.clone();
        let opening = tokio::spawn(async move {
            // A database is opened, and so recovered, when it is first used.
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(100) {
                if let Ok(client) = Client::builder(&socket).connect().await {
                    let _ = open_all(&client).await;
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        pause(rng.below(30_000));
        let killed = server.kill();
        opening.abort();
        let _ = opening.await;
        killed
    }

    /// Drops a database and makes it anew; everything of it is gone.
    async fn recreate(&mut self, rng: &mut Rng, found: &mut Found) -> Result<(), Box<dyn Error>> {
        let kind = databases::ALL[rng.below(databases::ALL.len() as u64) as usize];
        let client = self.connect().await?;
        client.drop_database(kind.name).await?;
        databases::make(&client, kind).await?;
        for lane in self.lanes.iter_mut().filter(|lane| lane.kind == kind) {
            lane.begin_anew();
        }
        found.recreated += 1;
        Ok(())
    }

    /// A version belongs to one commit of its database, and no later one may be below those that
    /// were given before the restart.
    fn check_versions(&mut self, violations: &mut Vec<String>) {
        for kind in databases::ALL {
            let own = self.lanes.iter_mut().filter(|lane| lane.kind == kind);
            let mut own: Vec<&mut Lane> = own.collect();
            let mut seen = HashSet::new();
            for lane in &own {
                let known = lane.oracle.known.values().map(|known| known.version);
                let versions: HashSet<u64> = known.filter(|version| *version > 0).collect();
                for version in versions {
                    if !seen.insert(version) {
                        let what = format!("{}: two commits have the version {version}", kind.name);
                        violations.push(what);
                    }
                }
            }
            let floors = own.iter().map(|lane| lane.oracle.version_floor);
            let floor = floors.max().unwrap_or(0);
            for lane in &mut own {
                lane.oracle.version_floor = floor;
            }
        }
    }
}

/// Uses every database, so that all are recovered.
async fn open_all(client: &Client) -> Result<(), String> {
    for kind in databases::ALL {
        let listed = client.database(kind.name).collections().await;
        listed.map_err(|e| format!("opening {}: {e}", kind.name))?;
    }
    Ok(())
}

/// Ends the server at its moment: when that was, and whether the moment was met.
async fn kill_at(
    end: End,
    server: Server,
    calls: &Calls,
    data_dir: &Path,
    round: &Round,
    rng: &mut Rng,
) -> Result<(Instant, bool), Box<dyn Error>> {
    let hit = match end {
        End::InCheckpoint | End::InCompaction => calls.wait_inside(rng),
        End::InRotation => wait_for_rotation(data_dir, rng),
        _ => true,
    };
    let at = Instant::now();
    round.ending.store(true, Ordering::SeqCst);
    // While a server drains there is something to be refused; a dead one is not to be looked for.
    let drains = matches!(end, End::Terminate | End::InDrain);
    round.stop.store(!drains, Ordering::Relaxed);
    match end {
        End::Terminate => server.stop().await.map(|()| (at, true)),
        End::InDrain => {
            let after = Duration::from_micros(rng.below(8_000));
            let has_ended = server.kill_in_drain(after)?;
            Ok((at, !has_ended))
        }
        _ => server.kill().map(|()| (at, hit)),
    }
}
