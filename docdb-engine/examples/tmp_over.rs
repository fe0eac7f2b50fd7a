use docdb_engine::{Db, DbOptions, Durability, WriteOp};
fn main() {
    let n: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let writes: u64 = std::env::args().nth(2).unwrap().parse().unwrap();
    let temp = tempfile::tempdir_in("data").unwrap();
    let mut options = DbOptions::default();
    options.durability = Durability::Os;
    let db = Db::open_with(temp.path().join("db"), options).unwrap();
    let filling = "x".repeat(260);
    let mut body = Vec::new();
    let mut write = |id: u64, r: u64, body: &mut Vec<u8>| {
        use std::io::Write;
        body.clear();
        write!(body, "{{\"n\":{id},\"r\":{r},\"text\":\"{filling}\"}}").unwrap();
    };
    for first in (0..n).step_by(1000) {
        let bodies: Vec<Vec<u8>> = (first..first + 1000)
            .map(|id| {
                let mut b = Vec::new();
                write(id, 0, &mut b);
                b
            })
            .collect();
        let ops: Vec<_> = bodies
            .iter()
            .enumerate()
            .map(|(i, b)| WriteOp::upsert("_default", first + i as u64, b))
            .collect();
        db.submit(&ops).wait().unwrap();
    }
    db.checkpoint().unwrap();
    let started = std::time::Instant::now();
    let mut x = 1u64;
    for r in 0..writes {
        x = x
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        write((x >> 33) % n, r, &mut body);
        db.submit(&[WriteOp::upsert("_default", (x >> 33) % n, &body)])
            .wait()
            .unwrap();
    }
    println!("{:.0}/s", writes as f64 / started.elapsed().as_secs_f64());
}
