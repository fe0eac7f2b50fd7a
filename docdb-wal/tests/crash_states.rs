//! A large number of simulated crashes, in every durability mode: random lives of a log, interrupted
//! before every operation on the disk and inside the recoveries that follow, with every kind of
//! loss of what was not synced.
//!
//! A state counts once per distinct (mode, image on the medium, records promised), and only if it
//! went all the way: the log was recovered, what it shows was checked against the promise of its
//! mode, a record was written, and that record and everything shown survived another power loss.
//! States of a killed process, in which unsynced writes are still in flight, are checked the same
//! way, and not counted.
//!
//! Everything follows from one seed, `DOCDB_WAL_CRASH_SEED`. A failure names the state;
//! `DOCDB_WAL_CRASH_STATE` runs that one alone.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod common;

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::hook::HookVfs;
use common::{dir, payload};
use docdb_wal::vfs::Vfs;
use docdb_wal::vfs::sim::{CrashPolicy, SectorSize, SimVfs};
use docdb_wal::{Body, Durability, FlushDriver, Lsn, Record, Recovery, Wal, WalError, WalOptions};
use parking_lot::Mutex;

const SEED: u64 = 0x10c5_7a7e;
const INTERVAL: Duration = Duration::from_millis(10);
const MODES: [Durability; 5] = [
    Durability::Full,
    Durability::Always,
    Durability::Interval(INTERVAL),
    Durability::Os,
    Durability::Memory(INTERVAL),
];
const LIVES_PER_MODE: usize = 24;
const STEPS_PER_LIFE: usize = 26;
/// At every so many operations of a life, the recovery is interrupted too.
const INNER_EVERY: usize = 9;
/// Of these, at every so many operations of the recovery, the recovery from that is interrupted.
const INNERMOST_EVERY: usize = 29;
/// What one run reaches with [`SEED`], rounded down.
const DISTINCT_STATES_LEAST: usize = 106_000;

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Which state: everything about it follows from this.
#[derive(Clone)]
struct Place {
    seed: u64,
    mode: usize,
    life: usize,
    /// At which operation of the life, of the first recovery and so on there was which crash.
    crashes: Vec<(usize, CrashPolicy)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:#x}/{}/{}",
            self.seed,
            MODES[self.mode].name(),
            self.life
        )?;
        for (operation, policy) in &self.crashes {
            write!(f, "/{operation}:")?;
            match policy {
                CrashPolicy::Random { seed, sector } => {
                    write!(f, "Random({seed},{})", sector.bytes())?
                }
                CrashPolicy::Torn { seed, sector } => write!(f, "Torn({seed},{})", sector.bytes())?,
                policy => write!(f, "{policy:?}")?,
            }
        }
        Ok(())
    }
}

impl Place {
    fn then(&self, operation: usize, policy: CrashPolicy) -> Place {
        let mut place = self.clone();
        place.crashes.push((operation, policy));
        place
    }
}

/// An appended record: its bytes follow from `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    lsn: u64,
    n: u64,
    bytes: usize,
}

/// What a log has promised.
#[derive(Debug, Clone, Default)]
struct Promise {
    appended: Vec<Entry>,
    /// So many of these are there after the process has ended, and after a power loss.
    killed: usize,
    power_lost: usize,
    /// So many of these may be gone because they were retired.
    retired: usize,
    created: bool,
}

impl Promise {
    fn kept_by(&self, killed_only: bool) -> usize {
        if killed_only {
            self.killed
        } else {
            self.power_lost
        }
    }

    /// How many of the appended records are there or retired, if `found` is a prefix.
    fn prefix(&self, found: &[Entry]) -> Result<usize, String> {
        let start = match found.first() {
            None => self.retired,
            Some(first) => self
                .appended
                .iter()
                .position(|entry| entry.lsn == first.lsn)
                .ok_or_else(|| format!("record {} was never appended", first.lsn))?,
        };
        if start > self.retired {
            return Err(format!(
                "the first {start} are gone, {} were retired",
                self.retired
            ));
        }
        if self.appended.get(start..start + found.len()) != Some(found) {
            return Err(format!("{found:?} is no prefix of {:?}", self.appended));
        }
        Ok(start + found.len())
    }
}

/// A driver that notes that it was asked; the life of the log comes back to it.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl FlushDriver for Asked {
    fn request(&self, _wal: &Wal) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn options(mode: Durability) -> WalOptions {
    let mut options = WalOptions::default();
    options.durability = mode;
    options.segment_bytes_min = 16 << 10;
    options.segment_bytes_max = 32 << 10;
    options.keep_segments = 0;
    options
}

fn append(wal: &Wal, n: u64, bytes: usize, as_mode: Durability) -> Result<Ack, WalError> {
    let payload = payload(n, bytes);
    let ticket = wal.append_record_as(
        &Record {
            stamp: n,
            kind: bytes as u16,
            head: &[],
            body: Body::Slice(&payload),
            payload_crc: crc32fast::hash(&payload),
        },
        as_mode,
    )?;
    let lsn = ticket.lsn().0;
    Ok((ticket, Entry { lsn, n, bytes }))
}

type Ack = (docdb_wal::CommitTicket, Entry);

type Opened = (Wal, Arc<Asked>, Vec<Entry>);

fn open(vfs: Arc<dyn Vfs>, mode: Durability) -> Result<Opened, WalError> {
    let mut found = Vec::new();
    let verdict = Recovery::judge(vfs, dir(), options(mode), &mut |record| {
        let bytes = record.payload.len();
        if record.kind != bytes as u16 || record.payload != payload(record.stamp, bytes) {
            return Err(format!("record {} is not as it was appended", record.lsn));
        }
        found.push(Entry {
            lsn: record.lsn.0,
            n: record.stamp,
            bytes,
        });
        Ok(())
    })?;
    let driver = Arc::new(Asked::default());
    let (wal, _) = verdict.act(driver.clone())?;
    Ok((wal, driver, found))
}

/// The disks right before each operation and after the last, and what was promised by then.
type Moments = Vec<(SimVfs, Promise)>;

/// A log that lives, on a disk that notes every moment.
struct Life {
    mode: Durability,
    rng: Rng,
    sim: SimVfs,
    vfs: Arc<dyn Vfs>,
    wal: Wal,
    driver: Arc<Asked>,
    /// When the driver was told to come back.
    due: Option<Duration>,
    /// Whether the driver comes at once, or only when time passes.
    prompt: bool,
    promise: Arc<Mutex<Promise>>,
    next_n: u64,
}

/// Runs one life to its end. Nothing fails in it but the process now and then.
fn live(seed: u64, mode: usize, life: usize) -> Moments {
    let mut hasher = DefaultHasher::new();
    (seed, mode, life).hash(&mut hasher);
    let mut rng = Rng(hasher.finish());
    let mode = MODES[mode];
    let sim = SimVfs::new(rng.next());
    sim.create_dir(dir()).unwrap();
    sim.sync_dir(Path::new("/")).unwrap();
    let promise = Arc::new(Mutex::new(Promise::default()));
    let moments = Arc::new(Mutex::new(Moments::new()));
    let vfs: Arc<dyn Vfs> = {
        let (sim, promise, moments) = (sim.clone(), promise.clone(), moments.clone());
        Arc::new(HookVfs::new(sim.clone(), move |_, _| {
            let disk = sim.fork_crash(&CrashPolicy::Kill);
            moments.lock().push((disk, promise.lock().clone()));
        }))
    };
    let driver = Arc::new(Asked::default());
    let wal = Wal::create(vfs.clone(), dir(), options(mode), driver.clone()).unwrap();
    promise.lock().created = true;
    let prompt = !rng.one_in(3);
    let mut log = Life {
        mode,
        next_n: rng.next() >> 16,
        rng,
        sim,
        vfs,
        wal,
        driver,
        due: None,
        prompt,
        promise,
    };
    for _ in 0..STEPS_PER_LIFE {
        log.step();
    }
    let end = (
        log.sim.fork_crash(&CrashPolicy::Kill),
        log.promise.lock().clone(),
    );
    drop(log);
    let mut moments = std::mem::take(&mut *moments.lock());
    moments.push(end);
    moments
}

impl Life {
    fn step(&mut self) {
        match self.rng.below(24) {
            0..12 => self.batch(),
            12..15 => self.elapse(INTERVAL),
            15 => self.elapse(Duration::from_millis(200)),
            16..18 => drop(self.wal.prepare_step().unwrap()),
            18 => self.sync(),
            19 => self.wal.run_steps(),
            20..22 => self.retire(),
            22 => self.reopen(true),
            _ => self.reopen(false),
        }
        if self.prompt {
            self.drive();
        }
    }

    /// Some records, waited for or not, now and then one that asks for more than the log's mode.
    fn batch(&mut self) {
        let mut acks = Vec::new();
        for _ in 0..=self.rng.below(4) {
            let bytes = match self.rng.below(8) {
                0 => 0,
                1 => 4_000 + self.rng.below(200),
                2 => self.rng.below(9_000),
                3 if self.rng.one_in(8) => 20_000 + self.rng.below(20_000),
                _ => self.rng.below(400),
            };
            let as_mode = match self.rng.below(8) {
                0 => Durability::Full,
                1 => Durability::Os,
                _ => self.mode,
            };
            self.next_n += 1;
            let (ticket, entry) = append(&self.wal, self.next_n, bytes as usize, as_mode).unwrap();
            self.promise.lock().appended.push(entry);
            acks.push((ticket, as_mode, self.promise.lock().appended.len()));
        }
        if self.rng.one_in(3) {
            acks.reverse();
        }
        let forget = self.rng.one_in(5);
        for (ticket, as_mode, count) in acks {
            if forget {
                continue;
            }
            ticket.wait().unwrap();
            let asks_for = |mode: Durability| match mode {
                Durability::Full | Durability::Always => 2,
                Durability::Memory(_) => 0,
                _ => 1,
            };
            let level = asks_for(as_mode).max(asks_for(self.mode));
            let mut promise = self.promise.lock();
            if level >= 1 {
                promise.killed = promise.killed.max(count);
            }
            if level >= 2 {
                promise.power_lost = promise.power_lost.max(count);
            }
        }
    }

    /// The driver does what it was asked to and what is due.
    fn drive(&mut self) {
        while self.driver.0.swap(false, Ordering::SeqCst)
            || self.due.is_some_and(|due| due <= self.sim.now())
        {
            self.wal.run_steps();
            self.due = self.wal.timed_step().unwrap();
        }
    }

    /// Time passes, and the driver comes exactly when it was told to.
    fn elapse(&mut self, span: Duration) {
        let (appended, killed) = {
            let promise = self.promise.lock();
            (promise.appended.len(), promise.killed)
        };
        let until = self.sim.now() + span;
        self.drive();
        while self.sim.now() < until {
            let next = self.due.map_or(until, |due| due.min(until));
            self.sim.advance(next - self.sim.now());
            self.drive();
        }
        let mut promise = self.promise.lock();
        match self.mode {
            Durability::Interval(_) => promise.power_lost = promise.power_lost.max(killed),
            Durability::Memory(_) => promise.killed = promise.killed.max(appended),
            _ => {}
        }
    }

    fn sync(&mut self) {
        self.wal.sync().unwrap();
        self.promised_all();
    }

    fn promised_all(&self) {
        let mut promise = self.promise.lock();
        promise.killed = promise.appended.len();
        promise.power_lost = promise.appended.len();
    }

    fn retire(&mut self) {
        let below = {
            let mut promise = self.promise.lock();
            if promise.power_lost == 0 {
                return;
            }
            let count = self.rng.below(promise.power_lost as u64) as usize;
            promise.retired = promise.retired.max(count);
            promise.appended[count].lsn
        };
        self.wal.retire_below(Lsn(below)).unwrap();
    }

    /// The process ends, orderly or not, and another one opens the log.
    fn reopen(&mut self, close: bool) {
        if close {
            self.wal.close().unwrap();
            self.promised_all();
        }
        let (wal, driver, found) = open(self.vfs.clone(), self.mode).unwrap();
        let count = {
            let promise = self.promise.lock();
            let count = promise.prefix(&found).unwrap();
            assert!(count >= promise.killed, "{count} of {}", promise.killed);
            count
        };
        self.promise.lock().appended.truncate(count);
        self.promised_all();
        (self.wal, self.driver, self.due) = (wal, driver, None);
    }
}

/// Every way to crash at this moment.
fn policies(vfs: &SimVfs, seed: u64, depth: usize) -> Vec<CrashPolicy> {
    let units = vfs.unsynced_units();
    let mut policies = vec![CrashPolicy::KeepNone];
    if depth < 2 {
        policies.push(CrashPolicy::Kill);
    }
    let thorough = depth == 0;
    if units == 0 {
        return policies;
    }
    policies.push(CrashPolicy::KeepAll);
    let singles = if thorough { units } else { units.min(4) };
    for unit in 0..singles {
        policies.extend([CrashPolicy::DropOne(unit), CrashPolicy::KeepOne(unit)]);
    }
    for i in 0..if thorough { 4 } else { 1 } {
        let seed = seed.wrapping_mul(31) + i;
        for sector in [SectorSize::Bytes512, SectorSize::Bytes4096] {
            policies.push(CrashPolicy::Random { seed, sector });
            policies.push(CrashPolicy::Torn { seed, sector });
        }
    }
    policies
}

/// Tells images in flight apart: by what is on the medium and by what programs see.
fn visible_hash(vfs: &SimVfs) -> u64 {
    vfs.fork_crash(&CrashPolicy::KeepAll).image_hash()
}

/// What all threads share.
struct Explorer {
    /// Only this state, if it is given.
    only: Option<String>,
    counted: [Mutex<HashSet<(u64, usize, bool)>>; MODES.len()],
    killed: [Mutex<HashSet<(u64, u64, usize)>>; MODES.len()],
    by_depth: [AtomicUsize; 4],
}

impl Explorer {
    /// Explores every crash of one life.
    fn life(&self, seed: u64, mode: usize, life: usize) -> Result<(), String> {
        let place = Place {
            seed,
            mode,
            life,
            crashes: Vec::new(),
        };
        let moments = std::panic::catch_unwind(|| live(seed, mode, life))
            .map_err(|panic| format!("{place}: {}", panic_text(&panic)))?;
        for (operation, (vfs, promise)) in moments.iter().enumerate() {
            self.moment(&place, operation, vfs, promise, false)?;
        }
        Ok(())
    }

    /// Explores every crash at this moment of a life, or of a recovery.
    fn moment(
        &self,
        place: &Place,
        operation: usize,
        vfs: &SimVfs,
        promise: &Promise,
        power_was_lost: bool,
    ) -> Result<(), String> {
        let depth = place.crashes.len();
        let seed = (operation as u64) << 8 | depth as u64;
        for policy in policies(vfs, seed, depth) {
            let deeper = match depth {
                0 => operation.is_multiple_of(INNER_EVERY),
                1 => (operation + place.crashes[0].0).is_multiple_of(INNERMOST_EVERY),
                _ => false,
            } && !matches!(policy, CrashPolicy::DropOne(_) | CrashPolicy::KeepOne(_));
            let here = || place.then(operation, policy);
            if let Some(only) = &self.only
                && !only.starts_with(&here().to_string())
            {
                continue;
            }
            let power_lost = power_was_lost || policy != CrashPolicy::Kill;
            let image = vfs.fork_crash(&policy);
            self.state(&here, &image, promise, !power_lost, policy)?;
            if !deeper {
                continue;
            }
            let mode = MODES[place.mode];
            for (inner, disk) in recovery_moments(&image, mode).iter().enumerate() {
                self.moment(&here(), inner, disk, promise, power_lost)?;
            }
        }
        Ok(())
    }

    /// Checks one state, unless an equal one was.
    fn state(
        &self,
        place: &dyn Fn() -> Place,
        image: &SimVfs,
        promise: &Promise,
        killed_only: bool,
        policy: CrashPolicy,
    ) -> Result<(), String> {
        let at = place();
        let hash = image.image_hash();
        let kept = promise.kept_by(killed_only);
        let in_flight = policy == CrashPolicy::Kill;
        let new = if in_flight {
            let visible = visible_hash(image);
            self.killed[at.mode].lock().insert((hash, visible, kept))
        } else {
            !self.counted[at.mode]
                .lock()
                .contains(&(hash, kept, promise.created))
        };
        if !new && self.only.is_none() {
            return Ok(());
        }
        let checked = std::panic::catch_unwind(AssertUnwindSafe(|| {
            check(image, MODES[at.mode], promise, kept)
        }))
        .unwrap_or_else(|panic| Err(panic_text(&panic)));
        let whole = checked.map_err(|what| format!("{at}: {what}"))?;
        if !in_flight
            && whole
            && self.counted[at.mode]
                .lock()
                .insert((hash, kept, promise.created))
        {
            self.by_depth[at.crashes.len()].fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The disk right before each operation of a recovery.
fn recovery_moments(image: &SimVfs, mode: Durability) -> Vec<SimVfs> {
    let sim = image.fork_crash(&CrashPolicy::Kill);
    let moments = Arc::new(Mutex::new(Vec::new()));
    let vfs = {
        let (sim, moments) = (sim.clone(), moments.clone());
        HookVfs::new(sim.clone(), move |_, _| {
            moments.lock().push(sim.fork_crash(&CrashPolicy::Kill));
        })
    };
    // Whether it may fail is judged where the state itself is checked.
    drop(open(Arc::new(vfs), mode));
    std::mem::take(&mut moments.lock())
}

/// Recovers, checks, writes, loses power and looks again. `false` if there is rightly no log.
fn check(image: &SimVfs, mode: Durability, promise: &Promise, kept: usize) -> Result<bool, String> {
    let disk = image.fork_crash(&CrashPolicy::Kill);
    let (wal, _, shown) = match open(Arc::new(disk.clone()), mode) {
        Err(WalError::NotFound(_)) if !promise.created => return Ok(false),
        opened => opened.map_err(|error| error.to_string())?,
    };
    let count = promise.prefix(&shown)?;
    if count < kept {
        return Err(format!("{kept} were promised, {count} are left"));
    }
    let (ticket, next) = append(&wal, 77, 900, Durability::Full).map_err(|e| e.to_string())?;
    if promise.appended.iter().any(|entry| entry.lsn >= next.lsn) {
        return Err(format!("number {} was given out before", next.lsn));
    }
    ticket.wait().map_err(|error| error.to_string())?;
    drop(wal);
    let disk = disk.fork_crash(&CrashPolicy::KeepNone);
    let (_, _, found) = open(Arc::new(disk), mode).map_err(|e| format!("the second time: {e}"))?;
    let mut expected = shown;
    expected.push(next);
    if found != expected {
        return Err(format!("{expected:?} was shown, then {found:?}"));
    }
    Ok(true)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("(no text)"))
}

#[test]
fn every_crash_state_keeps_the_promises() {
    let only = std::env::var("DOCDB_WAL_CRASH_STATE").ok();
    let seed = match (&only, std::env::var("DOCDB_WAL_CRASH_SEED")) {
        (Some(only), _) => only.split('/').next().unwrap().to_owned(),
        (None, Ok(seed)) => seed,
        (None, Err(_)) => format!("{SEED:#x}"),
    };
    let seed = u64::from_str_radix(seed.trim_start_matches("0x"), 16).unwrap();
    let explorer = Explorer {
        only,
        counted: Default::default(),
        killed: Default::default(),
        by_depth: Default::default(),
    };
    let lives: Vec<(usize, usize)> = (0..LIVES_PER_MODE)
        .flat_map(|life| (0..MODES.len()).map(move |mode| (mode, life)))
        .filter(|&(mode, life)| {
            let crashes = Vec::new();
            let place = Place {
                seed,
                mode,
                life,
                crashes,
            };
            let only = explorer.only.as_ref();
            only.is_none_or(|only| only.starts_with(&format!("{place}/")))
        })
        .collect();
    assert!(!lives.is_empty(), "there is no such state");
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failure.lock().is_none()
                    && let Some(&(mode, life)) = lives.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    if let Err(what) = explorer.life(seed, mode, life) {
                        *failure.lock() = Some(what);
                    }
                }
            });
        }
    });
    if let Some(what) = failure.into_inner() {
        let state = what.split(": ").next().unwrap_or_default();
        panic!("{what}\nto run this state alone, set DOCDB_WAL_CRASH_STATE='{state}'");
    }
    let by_mode: Vec<(&str, usize)> = MODES
        .iter()
        .zip(&explorer.counted)
        .map(|(mode, states)| (mode.name(), states.lock().len()))
        .collect();
    let distinct: usize = by_mode.iter().map(|(_, states)| states).sum();
    let killed: usize = explorer
        .killed
        .iter()
        .map(|states| states.lock().len())
        .sum();
    println!(
        "seed {seed:#x}: {distinct} distinct crash states {by_mode:?}, by crashes in a row {:?}; \
         and {killed} of killed processes",
        explorer.by_depth
    );
    if explorer.only.is_none() && seed == SEED {
        assert!(distinct >= DISTINCT_STATES_LEAST, "only {distinct} states");
    }
}
