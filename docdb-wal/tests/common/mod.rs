//! A log on a simulated disk, a workload for it, and the judgement of what a crash left.

#![allow(dead_code, reason = "every test file uses its own part of this")]
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

pub(crate) mod explore;
pub(crate) mod forge;
pub(crate) mod hook;
pub(crate) mod tasks;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use docdb_wal::vfs::Vfs;
use docdb_wal::vfs::sim::{CrashPolicy, SectorSize, SimVfs};
use docdb_wal::{
    Body, CommitTicket, Lsn, ManualDriver, Record, Recovery, RecoveryReport, Result, Verdict, Wal,
    WalError, WalOptions,
};

pub(crate) const DIR: &str = "/wal";
pub(crate) const WAL_ID: u128 = 0x5eed_0000_0000_0000_0000_0000_0000_0001;

pub(crate) fn dir() -> &'static Path {
    Path::new(DIR)
}

/// A disk with an empty, durable directory for the log.
pub(crate) fn disk() -> SimVfs {
    let vfs = SimVfs::new(7);
    vfs.create_dir(dir()).unwrap();
    vfs.sync_dir(Path::new("/")).unwrap();
    vfs
}

pub(crate) fn options() -> WalOptions {
    let mut options = WalOptions::default();
    options.segment_bytes_min = 16 << 10;
    options.segment_bytes_max = 64 << 10;
    options.keep_segments = 0;
    options.wal_id = Some(WAL_ID);
    options
}

pub(crate) fn create(vfs: &SimVfs) -> Result<Wal> {
    Wal::create(
        Arc::new(vfs.clone()),
        dir(),
        options(),
        Arc::new(ManualDriver),
    )
}

/// A record as its writer knows it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) lsn: u64,
    pub(crate) stamp: u64,
    pub(crate) kind: u16,
    pub(crate) payload: Vec<u8>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.payload.len();
        write!(f, "{} ({} bytes as {})", self.lsn, bytes, self.stamp)
    }
}

/// The payload of the record that a test calls `n`: every byte depends on `n`.
pub(crate) fn payload(n: u64, bytes: usize) -> Vec<u8> {
    (0..bytes as u64)
        .map(|at| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (at % 8 * 8)) as u8 ^ at as u8)
        .collect()
}

/// Appends the record that a test calls `n`. Large bodies are shared, as the engine's are.
pub(crate) fn append(wal: &Wal, n: u64, bytes: usize) -> Result<(CommitTicket, Entry)> {
    let payload = payload(n, bytes);
    let (head, body) = payload.split_at(bytes.min(5));
    let record = Record {
        stamp: n,
        kind: n as u16,
        head,
        body: match body.len() {
            0..=8_191 => Body::Slice(body),
            _ => Body::Shared(bytes::Bytes::copy_from_slice(body)),
        },
        payload_crc: crc32fast::hash(&payload),
    };
    let ticket = wal.append_record(&record)?;
    let entry = Entry {
        lsn: ticket.lsn().0,
        stamp: n,
        kind: n as u16,
        payload,
    };
    Ok((ticket, entry))
}

pub(crate) fn append_and_wait(wal: &Wal, n: u64, bytes: usize) -> Result<Entry> {
    let (ticket, entry) = append(wal, n, bytes)?;
    ticket.wait()?;
    Ok(entry)
}

/// A log that was opened, what it showed, and what its recovery reported.
pub(crate) struct Opened {
    pub(crate) wal: Wal,
    pub(crate) entries: Vec<Entry>,
    pub(crate) report: RecoveryReport,
}

/// What a log shows, and the verdict that it is to be opened. Nothing is changed.
pub(crate) fn judge(vfs: &SimVfs, options: WalOptions) -> Result<(Vec<Entry>, Verdict)> {
    let mut entries = Vec::new();
    let verdict = Recovery::judge(Arc::new(vfs.clone()), dir(), options, &mut |record| {
        entries.push(Entry {
            lsn: record.lsn.0,
            stamp: record.stamp,
            kind: record.kind,
            payload: record.payload.to_vec(),
        });
        Ok(())
    })?;
    Ok((entries, verdict))
}

pub(crate) fn open_with(vfs: &SimVfs, options: WalOptions) -> Result<Opened> {
    let (entries, verdict) = judge(vfs, options)?;
    let (wal, report) = verdict.act(Arc::new(ManualDriver))?;
    Ok(Opened {
        wal,
        entries,
        report,
    })
}

pub(crate) fn open(vfs: &SimVfs) -> Result<Opened> {
    open_with(vfs, options())
}

/// What a test knows that the log has promised.
#[derive(Debug, Clone, Default)]
pub(crate) struct Promise {
    /// Everything appended, in order.
    pub(crate) appended: Vec<Entry>,
    /// How many of these were acknowledged.
    pub(crate) acknowledged: usize,
    /// How many of the first of these the log may have forgotten, because it was told to.
    pub(crate) retired: usize,
    /// Whether [`Wal::create`] has returned.
    pub(crate) created: bool,
}

impl Promise {
    /// What is wrong with `found`, if it is not a prefix of what was appended that holds all that
    /// was acknowledged.
    pub(crate) fn violation(&self, found: &[Entry]) -> Option<String> {
        let skipped = match found.first() {
            None => self.retired.min(self.appended.len()),
            Some(first) => match self.appended.iter().position(|e| e.lsn == first.lsn) {
                None => return Some(format!("record {} was never appended", first.lsn)),
                Some(at) => at,
            },
        };
        if skipped > self.retired {
            return Some(format!(
                "the first {skipped} records are gone, only {} were retired",
                self.retired
            ));
        }
        let expected = &self.appended[skipped..];
        if let Some(at) = (0..found.len()).find(|&at| expected.get(at) != Some(&found[at])) {
            return Some(format!("record {} is not what was appended", found[at].lsn));
        }
        if skipped + found.len() < self.acknowledged {
            return Some(format!(
                "{} records were acknowledged, {} are left",
                self.acknowledged,
                skipped + found.len()
            ));
        }
        None
    }
}

/// Does everything that a log does, and notes what is promised as it goes. Ends at the first error.
pub(crate) fn workload(vfs: &SimVfs, promise: &mut Promise) -> Result<()> {
    let wal = create(vfs)?;
    promise.created = true;
    let mut n = 0;
    let mut batch = |wal: &Wal, promise: &mut Promise, sizes: &[usize]| -> Result<()> {
        let mut tickets = Vec::new();
        for &bytes in sizes {
            n += 1;
            let (ticket, entry) = append(wal, n, bytes)?;
            promise.appended.push(entry);
            tickets.push(ticket);
        }
        for ticket in tickets {
            ticket.wait()?;
        }
        promise.acknowledged = promise.appended.len();
        Ok(())
    };
    batch(&wal, promise, &[1])?;
    batch(&wal, promise, &[0, 100, 300])?;
    // Does not fit into the first segment any more.
    batch(&wal, promise, &[6_000])?;
    while wal.prepare_step()? {}
    batch(&wal, promise, &[200, 17_000, 50])?;
    batch(&wal, promise, &[300])?;
    wal.run_steps();
    batch(&wal, promise, &[3_000])?;
    // Larger than the largest segment.
    batch(&wal, promise, &[70_000, 10])?;
    wal.close()?;
    drop(wal);

    let opened = open(vfs)?;
    assert_eq!(promise.violation(&opened.entries), None);
    assert!(opened.report.clean);
    assert_eq!(opened.entries.len(), promise.appended.len());
    let wal = opened.wal;
    batch(&wal, promise, &[20, 20])?;
    let keep_from = promise.appended[5].lsn;
    promise.retired = 5;
    wal.retire_below(Lsn(keep_from))?;
    batch(&wal, promise, &[9_000])?;
    drop(wal); // killed

    let opened = open(vfs)?;
    assert_eq!(promise.violation(&opened.entries), None);
    assert!(!opened.report.clean);
    let wal = opened.wal;
    batch(&wal, promise, &[64, 18_000])?;
    batch(&wal, promise, &[64])?;
    wal.close()
}

/// All the ways to crash that are worth a look, given how much is unsynced.
pub(crate) fn policies(vfs: &SimVfs, seed: u64, singles_max: usize) -> Vec<CrashPolicy> {
    let mut policies = vec![
        CrashPolicy::KeepNone,
        CrashPolicy::KeepAll,
        CrashPolicy::Kill,
    ];
    let units = vfs.unsynced_units();
    let step = units.div_ceil(singles_max.max(1)).max(1);
    for unit in (0..units).step_by(step) {
        policies.extend([CrashPolicy::DropOne(unit), CrashPolicy::KeepOne(unit)]);
    }
    if units > 0 {
        for round in 0..6 {
            let seed = seed * 16 + round;
            policies.push(CrashPolicy::Random {
                seed,
                sector: SectorSize::Bytes4096,
            });
            policies.push(CrashPolicy::Torn {
                seed,
                sector: SectorSize::Bytes512,
            });
        }
    }
    policies
}

/// Whether `outcome` says that there is no log, which is right only before it was created.
pub(crate) fn is_absent<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(WalError::NotFound(_)))
}

/// The log's files, oldest first.
pub(crate) fn segments(vfs: &SimVfs) -> Vec<PathBuf> {
    vfs.files()
        .into_iter()
        .filter(|path| path.extension() == Some("wal".as_ref()))
        .collect()
}
