//! Prints every error kind: `cargo run -p docdb-types --example errors`.

use docdb_types::ErrorKind;

fn main() {
    for kind in ErrorKind::ALL {
        let retry = if kind.is_retryable() { "retryable" } else { "" };
        println!(
            "{:>3}  {:<20} {:<10} {retry}",
            kind.code(),
            kind.name(),
            kind.class().name()
        );
    }
}
