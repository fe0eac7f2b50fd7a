//! Looks for crashes that a way of replacing a file does not survive.
//!
//! Run with `cargo run -p docdb-vfs --example power_loss`.

use std::path::Path;

use docdb_vfs::sim::{CrashPolicy, Fault, FaultKind, SectorSize, SimVfs};
use docdb_vfs::{OpenMode, Result, Vfs};

const OLD: &[u8] = b"the old settings";
const NEW: &[u8] = b"the new settings";
const SEEDS_PER_OPERATION: u64 = 50;

/// Replaces `/settings` by way of a temporary file, with or without its sync before the rename.
fn replace(vfs: &dyn Vfs, careful: bool) -> Result<()> {
    let (settings, temporary) = (Path::new("/settings"), Path::new("/settings.tmp"));
    let file = vfs.open(temporary, OpenMode::CreateNew)?;
    file.write_all_at(NEW, 0)?;
    if careful {
        file.sync_data()?;
    }
    vfs.rename(temporary, settings)?;
    vfs.sync_dir(Path::new("/"))
}

fn disk() -> Result<SimVfs> {
    let vfs = SimVfs::new(7);
    vfs.write_file(Path::new("/settings"), OLD)?;
    Ok(vfs)
}

fn search(careful: bool) -> Result<()> {
    let whole = disk()?;
    replace(&whole, careful)?;
    let (mut states, mut broken) = (0, Vec::new());
    for at_op in 0..=whole.op_count() {
        let vfs = disk()?;
        vfs.set_fault(Fault {
            at_op,
            kind: FaultKind::PowerOff,
            sticky: false,
        });
        let finished = replace(&vfs, careful).is_ok();
        for seed in 0..SEEDS_PER_OPERATION {
            let policy = CrashPolicy::Random {
                seed,
                sector: SectorSize::Bytes4096,
            };
            let found = vfs.fork_crash(&policy).read_file(Path::new("/settings"))?;
            let sound = found == NEW || found == OLD && !finished;
            states += 1;
            if !sound {
                broken.push((at_op, seed, String::from_utf8_lossy(&found).into_owned()));
            }
        }
    }
    let way = if careful { "with" } else { "without" };
    println!(
        "{way} a sync before the rename: {} of {states} crashes lose data",
        broken.len()
    );
    if let Some((at_op, seed, found)) = broken.first() {
        println!("  the first: power off at operation {at_op}, seed {seed}: {found:?} was found");
    }
    Ok(())
}

fn main() -> Result<()> {
    search(true)?;
    search(false)
}
