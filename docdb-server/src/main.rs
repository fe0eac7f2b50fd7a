//! The `docdb-server` binary.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use docdb_server::{
    Cli, Command, Config, Server, ServerError, init_logging, offline, restore, runtime,
    stop_on_signals,
};

#[cfg(feature = "planted-bugs")]
mod plant;

fn main() -> ExitCode {
    let cli = Cli::parse();
    init_logging(cli.log);
    #[cfg(feature = "planted-bugs")]
    if let Err(message) = plant::from_environment() {
        let _ = writeln!(std::io::stderr(), "docdb-server: {message}");
        return ExitCode::from(plant::UNKNOWN);
    }
    let config = Config::from(cli.serve);
    let done = match cli.command {
        None | Some(Command::Serve) => serve(config).map(|()| 0),
        Some(Command::Restore(args)) => restore(&args).map(|()| 0),
        Some(command) => offline::run(&command, &config).map_err(ServerError::from),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // There is nobody to tell that stderr is gone.
            let _ = writeln!(std::io::stderr(), "docdb-server: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn serve(config: Config) -> Result<(), ServerError> {
    let io = |what: &str, error: std::io::Error| {
        let message = format!("cannot {what}: {error}");
        ServerError::from(docdb_engine::Error::new(
            docdb_engine::ErrorKind::Io,
            message,
        ))
    };
    let runtime = runtime().map_err(|error| io("start the runtime", error))?;
    let result = runtime.block_on(async {
        let server = Server::start(config)?;
        stop_on_signals(server.stopper()).map_err(|error| io("handle signals", error))?;
        server.run().await
    });
    // What still runs after a drain that took too long does not hold up the end.
    runtime.shutdown_background();
    result
}
