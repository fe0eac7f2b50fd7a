//! The `docdb` command-line tool.

mod address;
mod apply;
mod args;
mod export;
mod failure;
mod import;
mod input;
mod json_text;
mod output;
mod shell;
mod verbs;

use std::process::ExitCode;

use clap::Parser;
use docdb_client::Client;

use crate::args::{Cli, Verb};
use crate::failure::Outcome;

/// What every verb works with.
struct Context {
    client: Client,
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(cli: Cli) -> Outcome {
    let socket = address::socket(cli.url.as_deref(), cli.socket)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // The tool waits as long as the work takes; whoever uses it can interrupt it.
    let builder = Client::builder(socket)
        .name(concat!("docdb ", env!("CARGO_PKG_VERSION")))
        .request_timeout(None);
    let client = runtime.block_on(builder.connect())?;
    let context = Context {
        client,
        json: cli.json,
    };
    match cli.verb {
        Verb::Shell { db } => shell::run(&runtime, context, db.as_deref()),
        verb => runtime.block_on(verbs::run(&context, verb)),
    }
}
