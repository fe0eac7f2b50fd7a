//! An embedded database in a temporary place: `cargo run -p docdb-engine --example embedded`.

use docdb_engine::{Db, ScanRequest, WriteOp};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temp = tempfile::tempdir()?;
    let dir = temp.path().join("db");
    let db = Db::open(&dir)?;
    for name in ["Oslo", "Lima", "Pune"] {
        let document = format!(r#"{{"name":"{name}"}}"#);
        let written = db
            .submit(&[WriteOp::insert("_default", document.as_bytes())])
            .wait()?;
        println!(
            "document {} is durable in version {}",
            written.ids[0], written.version
        );
    }
    drop(db);

    let db = Db::open(&dir)?;
    println!("{}", db.recovery_report());
    let request = ScanRequest {
        collection: "_default".into(),
        reverse: true,
        ..Default::default()
    };
    for item in db.scan(&request)?.next_chunk(10, 1 << 20)? {
        println!("{}\t{}", item.id, String::from_utf8_lossy(&item.body));
    }
    db.close()?;
    Ok(())
}
