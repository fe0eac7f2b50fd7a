//! Writes, reads and scans a few documents on a running server.
//!
//! ```sh
//! cargo run -p docdb-client --example quickstart -- /tmp/docdb.sock
//! ```

use docdb_client::{Client, DEFAULT_COLLECTION, ErrorKind, WriteOptions};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct City {
    name: String,
    inhabitants: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> docdb_client::Result<()> {
    let socket = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "/tmp/docdb.sock".to_owned());
    let client = Client::connect(socket).await?;
    match client.create_database("quickstart", None).await {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let db = client.database("quickstart");
    let cities = db.collection::<City>(DEFAULT_COLLECTION);

    // One commit for all of them.
    let city = |name: &str, inhabitants| City {
        name: name.to_owned(),
        inhabitants,
    };
    db.batch()
        .upsert(DEFAULT_COLLECTION, 1, &city("Lisbon", 545_000))
        .upsert(DEFAULT_COLLECTION, 2, &city("Porto", 231_000))
        .upsert(DEFAULT_COLLECTION, 3, &city("Braga", 193_000))
        .commit()
        .await?;

    // Read, change, write back: nobody else's change is lost.
    let written = loop {
        let found = cities.get(2).await?;
        let grown = City {
            inhabitants: found.value.inhabitants + 1,
            ..found.value
        };
        let unchanged = WriteOptions::new().if_version(found.version);
        match cities.with(unchanged).update(2, &grown).await {
            Err(error) if error.kind() == ErrorKind::VersionMismatch => continue,
            result => break result?,
        }
    };
    println!(
        "document {} is now of version {}",
        written.id, written.version
    );

    let mut scan = cities.scan(..).reverse();
    while let Some(city) = scan.next().await? {
        println!("{} (version {}): {:?}", city.id, city.version, city.value);
    }
    println!("{} cities", cities.count().await?);
    Ok(())
}
