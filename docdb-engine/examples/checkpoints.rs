//! Lists the checkpoints that a database keeps, or makes a database of one:
//! `cargo run -p docdb-engine --example checkpoints -- DIR [VERSION INTO]`.

use docdb_engine::checkpoints;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [dir] => {
            for kept in checkpoints::list(dir)? {
                println!(
                    "{} {} documents, {} bytes of data files{}",
                    kept.version,
                    kept.documents,
                    kept.data_bytes,
                    if kept.is_newest { ", the newest" } else { "" }
                );
            }
        }
        [dir, version, into] => {
            let copy = checkpoints::copy(dir, version.parse()?, into)?;
            println!(
                "{into}: {} documents up to version {}, {} bytes",
                copy.documents, copy.version, copy.bytes
            );
        }
        _ => return Err("usage: checkpoints DIR [VERSION INTO]".into()),
    }
    Ok(())
}
