//! Writes a few records to a data file, reads one back, and lists them all.

use docdb_datafile::{DataFile, DataFileWriter, FileIdentity, FrameId, data_file_name};
use docdb_vfs::{RealVfs, Vfs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let vfs = RealVfs::new();
    let dir = std::env::temp_dir().join(format!("docdb-datafile-example-{}", std::process::id()));
    vfs.create_dir(&dir)?;
    let path = dir.join(data_file_name(1));
    let mut salt = [0; 16];
    vfs.fill_random(&mut salt);
    let identity = FileIdentity {
        number: 1,
        salt: u128::from_le_bytes(salt),
    };

    let mut writer = DataFileWriter::create(&vfs, &path, identity)?;
    let mut pointers = Vec::new();
    for id in 1..=3 {
        let frame = FrameId {
            collection: 1,
            id,
            version: id,
        };
        pointers.push((
            writer.append(&frame, format!("{{\"n\":{id}}}").as_bytes())?,
            frame,
        ));
    }
    writer.append_tombstone(&FrameId {
        collection: 1,
        id: 2,
        version: 4,
    })?;
    let durable_len = writer.sync()?;
    vfs.sync_dir(&dir)?;

    let file = DataFile::open(&vfs, &path, identity, durable_len)?;
    let (ptr, frame) = pointers[2];
    println!(
        "document {}: {}",
        frame.id,
        String::from_utf8_lossy(&file.read(ptr, &frame)?)
    );
    for frame in file.frames() {
        let frame = frame?;
        let what = if frame.tombstone {
            "deleted"
        } else {
            "written"
        };
        println!(
            "{:>6}: document {} {what} by {}",
            frame.ptr.offset, frame.id.id, frame.id.version
        );
    }

    vfs.remove_file(&path)?;
    vfs.remove_dir(&dir)?;
    Ok(())
}
