//! SIGTERM and SIGINT.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::server::Stopper;

/// Stops the server at the first SIGTERM or SIGINT, and ends the process with code 1 at the second.
/// Must be called on a runtime.
pub fn stop_on_signals(stopper: Stopper) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let first = next().await;
        info!("{first}: finishing what is in flight; a second signal ends the process at once");
        stopper.stop();
        let second = next().await;
        warn!("{second}: ending at once");
        std::process::exit(1);
    });
    Ok(())
}
