//! The part of a check that reads the log.

use std::collections::BTreeSet;
use std::path::Path;

use docdb_index::{Key, Pointer};
use docdb_vfs::Vfs;
use docdb_wal::{LogFinding, Lsn, Surveyed, Surveyor, WalOptions, survey};

use super::finding::{Finding, Findings};
use super::references::{Names, Reference};
use crate::bulk_files::BulkFiles;
use crate::error::Result;
use crate::json;
use crate::manifest::Manifest;
use crate::open::WAL_DIR;
use crate::pointer::DocPtr;
use crate::record::{self, KIND_COMMIT, LoggedOp, OpKind};

/// What a check learns of the log.
#[derive(Default)]
pub(super) struct CheckedLog {
    pub(super) bulk_files: BulkFiles,
    /// Where bodies of large commits since the checkpoint are.
    pub(super) references: Vec<Reference>,
    pub(super) names: Names,
    pub(super) records: u64,
}

struct LogCheck<'a> {
    log: CheckedLog,
    /// Collections that exist after what was read, if the manifest says which there were.
    exist: Option<BTreeSet<u32>>,
    findings: &'a Findings<'a>,
}

pub(super) fn check_log(
    vfs: &dyn Vfs,
    dir: &Path,
    manifest: Option<&Manifest>,
    findings: &Findings<'_>,
) -> Result<CheckedLog> {
    let mut check = LogCheck {
        log: CheckedLog::default(),
        exist: manifest.map(|m| m.collections.iter().map(|c| c.id).collect()),
        findings,
    };
    let wal_dir = dir.join(WAL_DIR);
    if !vfs.exists(&wal_dir)? {
        findings.tell(Finding::damage(&wal_dir, None, "the log is missing"));
        return Ok(check.log);
    }
    let mut options = WalOptions::default();
    if let Some(manifest) = manifest {
        for collection in &manifest.collections {
            let name = collection.name.clone();
            check.log.names.insert(collection.id, name);
        }
        options.wal_id = Some(manifest.wal_id);
        options.start_lsn = Some(Lsn(manifest.checkpoint_ts + 1));
        options.proven_lsn = Lsn(manifest.proven_lsn);
    }
    let report = survey(vfs, &wal_dir, &options, &mut check)?;
    check.log.records = report.records;
    Ok(check.log)
}

impl Surveyor for LogCheck<'_> {
    fn record(&mut self, surveyed: Surveyed<'_>) {
        if let Err(what) = self.check(&surveyed) {
            let finding = Finding::damage(surveyed.path, surveyed.offset, what);
            self.findings.tell(finding);
        }
    }

    fn found(&mut self, finding: LogFinding) {
        self.findings.tell(finding.into());
    }
}

impl LogCheck<'_> {
    fn check(&mut self, surveyed: &Surveyed<'_>) -> std::result::Result<(), String> {
        let version = surveyed.record.lsn.0;
        if surveyed.record.kind != KIND_COMMIT {
            let kind = surveyed.record.kind;
            return Err(format!("record {version} is of the unknown kind {kind}"));
        }
        for op in record::decode(surveyed.record.payload)? {
            self.check_op(version, &op, surveyed.in_order)
                .map_err(|what| format!("record {version}: {what}"))?;
        }
        Ok(())
    }

    /// `applies`: a recovery would replay it.
    fn check_op(
        &mut self,
        version: u64,
        op: &LoggedOp<'_>,
        applies: bool,
    ) -> std::result::Result<(), String> {
        match op.kind {
            OpKind::Put => {
                json::check(op.body).map_err(|e| format!("a document is no JSON: {e}"))?;
            }
            OpKind::CreateCollection => {
                let name = std::str::from_utf8(op.body).map_err(|_| "a name is no UTF-8")?;
                self.log.names.insert(op.collection, name.to_owned());
            }
            OpKind::BulkFile => {
                let file = BulkFiles::decode(op)?;
                if applies {
                    self.log.bulk_files.note(file);
                }
            }
            OpKind::Delete | OpKind::DropCollection | OpKind::PutStored => {}
        }
        if !applies {
            return Ok(());
        }
        let Some(exist) = &mut self.exist else {
            return Ok(());
        };
        match op.kind {
            OpKind::CreateCollection => {
                exist.insert(op.collection);
            }
            OpKind::DropCollection | OpKind::BulkFile => {}
            OpKind::Put | OpKind::Delete | OpKind::PutStored => {
                if !exist.contains(&op.collection) {
                    return Err(format!(
                        "it writes to the unknown collection {}",
                        op.collection
                    ));
                }
            }
        }
        if op.kind == OpKind::PutStored {
            let pointer = DocPtr::decode(op.body).ok_or("it has a pointer that is none")?;
            if !self.log.bulk_files.holds(pointer.0) {
                return Err("it points to nowhere".to_owned());
            }
            self.log.references.push(Reference {
                pointer: pointer.0,
                key: Key::new(op.collection, op.id),
                version,
            });
        }
        Ok(())
    }
}
