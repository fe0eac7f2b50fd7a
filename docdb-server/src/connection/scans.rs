//! The scans of a connection, sent as far as the client has given credit.

use std::collections::VecDeque;

use docdb_engine::ScanItem;
use docdb_ipc::{CreditWindow, RequestId, Response, WireError};
use docdb_types::ErrorKind;

use super::Answers;
use crate::limits::SCANS_MAX;
use crate::open_scan::OpenScan;

#[derive(Default)]
pub(super) struct Scans(Vec<ScanState>);

struct ScanState {
    id: RequestId,
    credit: CreditWindow,
    stage: Stage,
    /// Fetched and not yet sent: one chunk at most.
    items: VecDeque<ScanItem>,
    sent: u64,
}

enum Stage {
    /// A worker thread has it.
    Away,
    /// It can be asked for more.
    Here(Box<OpenScan>),
    /// It has nothing more.
    Ended(Option<Vec<u8>>),
    /// It was answered while a worker thread had it.
    Answered,
}

impl Scans {
    /// Scans that have not been answered, or that a worker thread still has.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Makes room for a scan, whose first step is on its way.
    pub(super) fn begin(
        &mut self,
        id: RequestId,
        credit_bytes: u32,
        credit_bytes_max: u32,
    ) -> Result<(), WireError> {
        if self.0.iter().any(|scan| scan.id == id) {
            let message = "a scan with this request id is in flight";
            return Err(WireError::new(ErrorKind::Protocol, message));
        }
        if self.0.len() >= SCANS_MAX {
            let message = format!("{SCANS_MAX} scans are open on this connection");
            return Err(WireError::new(ErrorKind::Busy, message));
        }
        let credit = CreditWindow::new(credit_bytes, credit_bytes_max)
            .map_err(|error| WireError::new(ErrorKind::InvalidArgument, error.to_string()))?;
        let items = VecDeque::new();
        self.0.push(ScanState {
            id,
            credit,
            stage: Stage::Away,
            items,
            sent: 0,
        });
        Ok(())
    }

    /// Adds credit. A scan that has ended needs none.
    pub(super) fn grant(&mut self, id: RequestId, bytes: u32) -> Result<(), WireError> {
        match self
            .0
            .iter_mut()
            .find(|scan| scan.id == id && !scan.is_answered())
        {
            None => Ok(()),
            Some(scan) => scan
                .credit
                .grant(bytes)
                .map_err(|error| WireError::new(ErrorKind::InvalidArgument, error.to_string())),
        }
    }

    /// Ends a scan that the caller answers; false if there is none to answer.
    pub(super) fn end(&mut self, id: RequestId) -> bool {
        let Some(at) = self
            .0
            .iter()
            .position(|scan| scan.id == id && !scan.is_answered())
        else {
            return false;
        };
        self.end_at(at);
        true
    }

    /// Ends all scans; gives those that have not been answered.
    pub(super) fn end_all(&mut self) -> Vec<RequestId> {
        let open: Vec<_> = self
            .0
            .iter()
            .filter(|scan| !scan.is_answered())
            .map(|scan| scan.id)
            .collect();
        for &id in &open {
            self.end(id);
        }
        open
    }

    fn end_at(&mut self, at: usize) {
        let scan = &mut self.0[at];
        if matches!(scan.stage, Stage::Away) {
            scan.stage = Stage::Answered;
            scan.items = VecDeque::new();
        } else {
            self.0.swap_remove(at);
        }
    }

    /// A step came back with an error. True if it is a scan that was answered before.
    pub(super) fn failed(&mut self, id: RequestId) -> bool {
        match self.0.iter().position(|scan| scan.id == id) {
            None => false,
            Some(at) => self.0.swap_remove(at).is_answered(),
        }
    }

    /// A step came back with documents; none says that the scan is at its end.
    pub(super) fn arrived(&mut self, id: RequestId, scan: Box<OpenScan>, items: Vec<ScanItem>) {
        let Some(at) = self.0.iter().position(|scan| scan.id == id) else {
            return;
        };
        let state = &mut self.0[at];
        if state.is_answered() {
            self.0.swap_remove(at);
        } else if items.is_empty() {
            state.stage = Stage::Ended(scan.cursor());
        } else {
            state.items = items.into();
            state.stage = Stage::Here(scan);
        }
    }

    /// Writes the documents that may be sent, and the ends of scans.
    pub(super) fn send(&mut self, answers: &mut Answers<'_>) -> bool {
        let mut progress = false;
        let mut at = 0;
        while at < self.0.len() {
            let scan = &mut self.0[at];
            match scan.send_items(answers) {
                Ok(sent) => progress |= sent,
                Err(error) => {
                    answers.respond(scan.id, &Response::Error(error));
                    self.0.swap_remove(at);
                    progress = true;
                    continue;
                }
            }
            match &mut scan.stage {
                Stage::Ended(cursor) if scan.items.is_empty() => {
                    let cursor = cursor.take().map(Into::into);
                    answers.respond(
                        scan.id,
                        &Response::ScanEnd {
                            cursor,
                            items: scan.sent,
                        },
                    );
                    self.0.swap_remove(at);
                    progress = true;
                }
                _ => at += 1,
            }
        }
        progress
    }

    /// Ends the scans of transactions that are gone; gives those to be answered, and with what.
    pub(super) fn end_bound(
        &mut self,
        gone: impl Fn(RequestId) -> Option<WireError>,
    ) -> Vec<(RequestId, WireError)> {
        let of_gone = |scan: &ScanState| match &scan.stage {
            Stage::Here(open) => open.transaction().and_then(&gone),
            _ => None,
        };
        let ended: Vec<_> = self
            .0
            .iter()
            .filter_map(|scan| of_gone(scan).map(|error| (scan.id, error)))
            .collect();
        for (id, _) in &ended {
            self.end(*id);
        }
        ended
    }

    /// A scan that has sent all it had and may send more.
    pub(super) fn take_hungry(
        &mut self,
        may_go_on: impl Fn(&OpenScan) -> bool,
    ) -> Option<(RequestId, Box<OpenScan>)> {
        let scan = self
            .0
            .iter_mut()
            .find(|scan| scan.hungry().is_some_and(&may_go_on))?;
        match std::mem::replace(&mut scan.stage, Stage::Away) {
            Stage::Here(open) => Some((scan.id, open)),
            other => {
                scan.stage = other;
                None
            }
        }
    }
}

impl ScanState {
    /// The scan, if it has sent all it had and may send more.
    fn hungry(&self) -> Option<&OpenScan> {
        match &self.stage {
            Stage::Here(open) if self.items.is_empty() && self.credit.is_open() => Some(open),
            _ => None,
        }
    }

    fn is_answered(&self) -> bool {
        matches!(self.stage, Stage::Answered)
    }

    fn send_items(&mut self, answers: &mut Answers<'_>) -> Result<bool, WireError> {
        let mut progress = false;
        while !self.items.is_empty() && self.credit.is_open() && answers.have_room() {
            let mut frame = answers.codec.scan_items(answers.output, self.id);
            while self.credit.is_open()
                && let Some(item) = self.items.front()
            {
                match frame.push(item.id, item.version, &item.body) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => return Err(WireError::new(error.kind(), error.to_string())),
                }
                self.credit.charge(item.body.len());
                self.items.pop_front();
            }
            self.sent += frame.finish() as u64;
            progress = true;
        }
        Ok(progress)
    }
}
