//! Checks a history that was kept as text, one transaction a line, from standard input:
//!
//! ```sh
//! cargo run --release -p docdb-history --example recheck < failed.ndjson
//! ```

use std::process::ExitCode;

use docdb_history::{
    DocumentRules, History, ListHistory, ListRules, Txn, check_documents, check_lists, read_ndjson,
};

fn main() -> ExitCode {
    let history: Vec<Txn> = match read_ndjson(std::io::stdin().lock()) {
        Ok(history) => history,
        Err(error) => {
            eprintln!("{error}: {:?}", std::error::Error::source(&error));
            return ExitCode::FAILURE;
        }
    };
    let documents = check_documents(&history, DocumentRules::default());
    let mut lists = ListHistory::new();
    history.into_iter().for_each(|txn| lists.push(txn));
    let lists = check_lists(&lists, ListRules::default());
    println!("lists: {lists}\n\ndocuments: {documents}");
    if lists.is_ok() && documents.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
