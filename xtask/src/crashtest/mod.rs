//! `cargo xtask crashtest`: kills a real server again and again while clients write, and checks after
//! each restart that it kept every promise.

use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use docdb_client::{Client, ErrorKind};
use indicatif::{ProgressBar, ProgressStyle};

use crate::rng::{Rng, seed_of_now};
use crate::server::{Server, ServerSetup};

mod document;
mod journal;
mod lane;
mod oracle;
mod plant;
mod report;
mod verify;

use journal::Journal;
use lane::Lane;
use oracle::Collection;
use report::Report;

/// Requests in flight on each connection.
const LANES_PER_CLIENT: u64 = 4;

const DATABASES: [&str; 2] = ["crashtest-a", "crashtest-b"];

/// Where there is no terminal for a progress bar, one line is printed this often.
const LINE_EVERY_ROUNDS: u64 = 10;

/// The longest time that clients write before the kill.
const WRITING_MILLIS_MAX: u64 = 700;

/// Options of `cargo xtask crashtest`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many times the server is ended and started again
    #[arg(long, default_value_t = 50)]
    rounds: u64,
    /// Stop after this many seconds, whatever the rounds
    #[arg(long)]
    seconds: Option<u64>,
    /// Chooses the operations and the moments of the kills
    #[arg(long)]
    seed: Option<u64>,
    /// Where to put the data: on the disk that you want to know about
    /// [default: data/crashtest in the workspace]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Connections that write at once, each with 4 requests in flight
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=256))]
    clients: u64,
    /// Run this server rather than building the one of this workspace
    #[arg(long)]
    server: Option<PathBuf>,
    /// Write the figures to this file as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Damage the log after the first kill, and pass only if that is noticed: shows that this test
    /// can fail
    #[arg(long)]
    plant_loss: bool,
    /// A few rounds only, to see that it works
    #[arg(long)]
    smoke: bool,
}

/// How a round ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// SIGKILL while clients write.
    Kill,
    /// SIGKILL while clients write and checkpoints run.
    KillInCheckpoint,
    /// SIGKILL while clients write, and again during the start that follows.
    KillTwice,
    /// SIGTERM while clients write: everything must be there, without any tail to cut.
    Terminate,
}

impl End {
    fn choose(rng: &mut Rng) -> End {
        match rng.below(100) {
            0..10 => End::Terminate,
            10..30 => End::KillTwice,
            30..55 => End::KillInCheckpoint,
            _ => End::Kill,
        }
    }
}

/// Runs the test; the exit code says whether every promise was kept.
pub(crate) fn run(options: Options) -> Result<ExitCode, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let seed = options.seed.unwrap_or_else(seed_of_now);
    let binary = crate::binaries::server(options.server.clone())?;
    let dir = options.dir.clone();
    let dir = dir.unwrap_or_else(|| crate::root::workspace_root().join("data/crashtest"));
    let dir = dir.join(format!("run-{seed}"));
    if dir.exists() {
        return Err(format!("{} is there from an earlier run: remove it", dir.display()).into());
    }
    let setup = ServerSetup::in_dir(binary, &dir)?;
    let rounds = if options.smoke { 6 } else { options.rounds };
    println!(
        "crashtest: seed {seed}, {rounds} rounds, {} clients, {}",
        options.clients,
        dir.display()
    );
    let mut report = Report::new(seed, &dir, options.clients);
    let outcome = runtime.block_on(Run::new(&options, &setup, &dir, seed, rounds).all(&mut report));
    if let Err(e) = outcome {
        report.violations.push(e.to_string());
    }
    setup.remove_socket();
    println!("{report}");
    if let Some(path) = &options.json {
        fs::write(path, report.json()).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if options.plant_loss {
        return Ok(planted_outcome(&report, &dir));
    }
    if report.violations.is_empty() {
        fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "The data, the server's log and the journal of the last round are kept in {}",
        dir.display()
    );
    println!(
        "The same operations again: cargo xtask crashtest --seed {seed} --clients {}",
        options.clients
    );
    Ok(ExitCode::FAILURE)
}

/// A planted loss must have been noticed.
fn planted_outcome(report: &Report, dir: &Path) -> ExitCode {
    if report.violations.is_empty() {
        println!(
            "The log was damaged after a kill, and nothing was noticed: see {}",
            dir.display()
        );
        return ExitCode::FAILURE;
    }
    println!("The log was damaged on purpose, and that was noticed: this test can fail.");
    let _ = fs::remove_dir_all(dir);
    ExitCode::SUCCESS
}

struct Run<'a> {
    setup: &'a ServerSetup,
    dir: &'a Path,
    rng: Rng,
    rounds: u64,
    deadline: Option<Instant>,
    clients: u64,
    plant_loss: bool,
    lanes: Vec<Lane>,
    bar: ProgressBar,
}

impl<'a> Run<'a> {
    fn new(
        options: &Options,
        setup: &'a ServerSetup,
        dir: &'a Path,
        seed: u64,
        rounds: u64,
    ) -> Run<'a> {
        let lanes = (0..options.clients * LANES_PER_CLIENT)
            .map(|index| Lane::new(index, DATABASES[index as usize % 2].to_owned(), seed))
            .collect();
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} rounds  {msg}");
        let bar = ProgressBar::new(rounds);
        Run {
            setup,
            dir,
            rng: Rng::new(seed),
            rounds,
            deadline: options
                .seconds
                .map(|s| Instant::now() + Duration::from_secs(s)),
            clients: options.clients,
            plant_loss: options.plant_loss,
            lanes,
            bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())),
        }
    }

    async fn all(mut self, report: &mut Report) -> Result<(), Box<dyn Error>> {
        let (mut server, first_start) = self.setup.start().await?;
        report.first_start = first_start;
        self.prepare().await?;
        for round in 1..=self.rounds {
            server = self.round(round, server, report).await?;
            self.bar.set_position(round);
            let due = round % LINE_EVERY_ROUNDS == 0 && report.violations.is_empty();
            if self.bar.is_hidden() && due {
                println!("round {round} ended, no promise broken so far");
            }
            self.bar
                .set_message(format!("{} commits acknowledged", report.counts.commits()));
            let late = self
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline);
            if late || !report.violations.is_empty() {
                break;
            }
        }
        self.bar.finish_and_clear();
        if report.violations.is_empty() {
            return server.stop().await;
        }
        // What was found is to be looked at, not to be checkpointed away.
        server.kill()
    }

    async fn prepare(&self) -> Result<(), Box<dyn Error>> {
        let client = self.setup.connect().await?;
        for name in DATABASES {
            client.create_database(name, None).await?;
            for collection in Collection::ALL {
                client
                    .database(name)
                    .create_collection(collection.name())
                    .await?;
            }
        }
        Ok(())
    }

    /// Writes, ends the server, starts it again, checks.
    async fn round(
        &mut self,
        round: u64,
        server: Server,
        report: &mut Report,
    ) -> Result<Server, Box<dyn Error>> {
        // A clean end leaves nothing in the log to lose.
        let end = if self.plant_loss {
            End::Kill
        } else {
            End::choose(&mut self.rng)
        };
        let journal = Journal::create(&self.dir.join("journal.ndjson"))?;
        self.write_and_end(end, server, &journal).await?;
        journal.flush()?;

        if self.plant_loss {
            report.logs_damaged += plant::lose_log_tails(&self.setup.data_dir)?;
        }
        if end == End::KillTwice {
            let again = self.setup.spawn()?;
            tokio::time::sleep(Duration::from_micros(self.rng.below(40_000))).await;
            // It may have been ready already; nothing was written since.
            again.kill()?;
        }
        let (server, _) = self.setup.start().await?;
        let client = self.setup.connect().await?;
        // A database is opened, and so recovered, when it is first used.
        for database in DATABASES {
            let listed = client.database(database).collections().await;
            listed.map_err(|e| format!("round {round}: opening {database}: {e}"))?;
        }
        let took = server.age();
        let opened = Instant::now();
        let verdict = verify::verify(&client, &mut self.lanes).await;
        let verdict =
            verdict.map_err(|e| format!("round {round}: reading everything back: {e}"))?;
        self.check_versions(report);

        report.rounds += 1;
        match end {
            End::Terminate => report.terminated += 1,
            End::KillTwice => report.killed += 2,
            End::Kill | End::KillInCheckpoint => report.killed += 1,
        }
        report.starts.push(took);
        report.checks.push(opened.elapsed());
        report.documents = verdict.documents;
        report.unknown_done += verdict.unknown_done;
        let violations = verdict.violations.into_iter();
        report
            .violations
            .extend(violations.map(|v| format!("round {round} ({end:?}): {v}")));
        for lane in &mut self.lanes {
            report.counts.add(&std::mem::take(&mut lane.counts));
        }
        Ok(server)
    }

    async fn write_and_end(
        &mut self,
        end: End,
        server: Server,
        journal: &Journal,
    ) -> Result<(), Box<dyn Error>> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for _ in 0..self.clients {
            clients.push(self.setup.connect().await?);
        }
        let mut tasks = tokio::task::JoinSet::new();
        for lane in self.lanes.drain(..) {
            let client = clients[(lane.index / LANES_PER_CLIENT) as usize].clone();
            tasks.spawn(lane.work(client, Arc::clone(&stop), journal.clone()));
        }
        if end == End::KillInCheckpoint {
            let client = self.setup.connect().await?;
            tokio::spawn(checkpoints(client, Arc::clone(&stop)));
        }
        let millis = 5 + self.rng.below(WRITING_MILLIS_MAX);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        let ended = match end {
            End::Terminate => server.stop().await,
            _ => server.kill(),
        };
        stop.store(true, Ordering::Relaxed);
        while let Some(lane) = tasks.join_next().await {
            self.lanes.push(lane?);
        }
        self.lanes.sort_by_key(|lane| lane.index);
        ended
    }

    /// A version belongs to one commit of its database, and no later one may be below those that
    /// were there before the restart.
    fn check_versions(&mut self, report: &mut Report) {
        for database in DATABASES {
            let mut seen = HashSet::new();
            for lane in self.lanes.iter().filter(|lane| lane.database == database) {
                let versions: HashSet<u64> = lane
                    .oracle
                    .known
                    .values()
                    .map(|k| k.version)
                    .filter(|v| *v > 0)
                    .collect();
                for version in versions {
                    if !seen.insert(version) {
                        let what = format!("{database}: two commits have the version {version}");
                        report.violations.push(what);
                    }
                }
            }
            let floor = seen.into_iter().max().unwrap_or(0);
            for lane in self
                .lanes
                .iter_mut()
                .filter(|lane| lane.database == database)
            {
                lane.oracle.version_floor = lane.oracle.version_floor.max(floor);
            }
        }
    }
}

/// One checkpoint after the other, so that a kill falls into one.
async fn checkpoints(client: Client, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        for database in DATABASES {
            match client.database(database).checkpoint().await {
                Err(e) if e.kind() == ErrorKind::Closed || e.is_connect() => return,
                _ => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
