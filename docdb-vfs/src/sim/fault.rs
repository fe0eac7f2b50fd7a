//! Planned failures, and the count of operations that places them.

use std::io;
use std::path::Path;

use super::disk::Disk;
use crate::IoOp;

/// A failure planned for one operation, or from one operation on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The index of the operation, as [`SimVfs::op_count`](super::SimVfs::op_count) counts them:
    /// the operation that begins when the count is `at_op`.
    pub at_op: u64,
    /// What happens.
    pub kind: FaultKind,
    /// Whether it goes on happening to every operation after that.
    pub sticky: bool,
}

/// What a [`Fault`] does. A kind that has no meaning for the operation it meets does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The operation fails with this kind and has no effect. A failed sync marks what it should
    /// have written as clean, so that no later sync writes it: at a crash it may be gone.
    /// `Interrupted` does nothing: no caller of a [`Vfs`](crate::Vfs) ever sees it.
    Error(io::ErrorKind),
    /// As `Error`, with an error number of the operating system.
    Os(i32),
    /// A write does a part of its work, then fails with kind `WriteZero`. A read ends early, as if
    /// the file did.
    Short,
    /// The power goes off during the operation: it and all later ones fail. Whether its effect is
    /// on the medium is as open as for any unsynced operation.
    PowerOff,
    /// A sync of a file or directory succeeds and does nothing.
    SyncLies,
    /// A write succeeds and lands at this offset of its file instead.
    Misdirected {
        /// Where it lands, in bytes.
        offset: u64,
    },
}

/// What is to become of an operation that begins.
#[derive(Debug)]
pub(super) enum Verdict {
    Go,
    Fail(io::Error),
    Short,
    PowerOff,
    Lie,
    Misdirect(u64),
}

/// The counter of operations and the failures planned on it.
#[derive(Debug, Clone, Default)]
pub(super) struct FaultPlan {
    pub(super) faults: Vec<Fault>,
    pub(super) op_count: u64,
    pub(super) reads_count: bool,
    pub(super) power_is_off: bool,
}

impl Disk {
    /// Counts a changing operation, adds it to the trace and says what becomes of it. Fails if the
    /// power is off.
    pub(super) fn begin(
        &mut self,
        op: IoOp,
        path: &Path,
        offset: u64,
        data: &[u8],
    ) -> io::Result<Verdict> {
        if self.plan.power_is_off {
            return Err(power_is_off());
        }
        self.trace.number(op as u64);
        self.trace.bytes(path.as_os_str().as_encoded_bytes());
        self.trace.number(offset);
        self.trace.bytes(data);
        let index = self.plan.op_count;
        self.plan.op_count += 1;
        let planned = self.plan.faults.iter().find(|fault| {
            let due = fault.at_op == index || fault.sticky && fault.at_op < index;
            due && has_meaning(fault.kind, op)
        });
        Ok(match planned.map(|fault| fault.kind) {
            None => Verdict::Go,
            Some(FaultKind::Error(kind)) => Verdict::Fail(kind.into()),
            Some(FaultKind::Os(code)) => Verdict::Fail(io::Error::from_raw_os_error(code)),
            Some(FaultKind::Short) => Verdict::Short,
            Some(FaultKind::PowerOff) => {
                self.plan.power_is_off = true;
                Verdict::PowerOff
            }
            Some(FaultKind::SyncLies) => Verdict::Lie,
            Some(FaultKind::Misdirected { offset }) => Verdict::Misdirect(offset),
        })
    }

    /// As [`Disk::begin`] for an operation that changes nothing; counted only on request.
    pub(super) fn begin_read(&mut self, op: IoOp, path: &Path, offset: u64) -> io::Result<Verdict> {
        if self.plan.power_is_off {
            return Err(power_is_off());
        }
        if self.plan.reads_count {
            return self.begin(op, path, offset, &[]);
        }
        Ok(Verdict::Go)
    }

    /// Ends an operation whose effect has been recorded.
    pub(super) fn end(&self, verdict: Verdict) -> io::Result<()> {
        match verdict {
            Verdict::Fail(error) => Err(error),
            Verdict::PowerOff => Err(power_is_off()),
            Verdict::Short => Err(io::ErrorKind::WriteZero.into()),
            Verdict::Go | Verdict::Lie | Verdict::Misdirect(_) => Ok(()),
        }
    }
}

fn has_meaning(kind: FaultKind, op: IoOp) -> bool {
    match kind {
        FaultKind::Error(kind) => kind != io::ErrorKind::Interrupted,
        FaultKind::Os(code) => {
            io::Error::from_raw_os_error(code).kind() != io::ErrorKind::Interrupted
        }
        FaultKind::PowerOff => true,
        FaultKind::Short => matches!(op, IoOp::Read | IoOp::Write),
        FaultKind::SyncLies => matches!(op, IoOp::Sync | IoOp::SyncDir),
        FaultKind::Misdirected { .. } => op == IoOp::Write,
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("the simulated machine has no power")
}
