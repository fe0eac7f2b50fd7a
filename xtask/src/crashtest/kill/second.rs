//! A second server on a directory that has one.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::rng::Rng;
use crate::server::ServerSetup;

/// By then it must have refused. Generous: the machine is busy with everything else.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

/// Exit code of a server whose directory or socket is in use.
const IN_USE: i32 = 3;

/// Starts a second server, by the directory's name or through a link. It must refuse and do no harm.
pub(super) async fn is_refused(
    setup: &ServerSetup,
    dir: &Path,
    rng: &mut Rng,
) -> Result<(), String> {
    let io = |e: std::io::Error| format!("a second server: {e}");
    let mut second = setup.clone();
    second.socket = setup.socket.with_extension("second.sock");
    if rng.chance(50) {
        let link = dir.join("link");
        if !link.is_symlink() {
            symlink(&setup.data_dir, &link).map_err(io)?;
        }
        second.data_dir = link;
    }
    let log = dir.join("second.log");
    let mut command = second.command(File::create(&log).map_err(io)?);
    let mut child = command.stdout(Stdio::null()).spawn().map_err(io)?;
    let began = Instant::now();
    let status = loop {
        match child.try_wait().map_err(io)? {
            Some(status) => break status,
            None if began.elapsed() > REFUSED_WITHIN => {
                let _ = child.kill();
                let _ = child.wait();
                let within = REFUSED_WITHIN.as_secs();
                return Err(format!("a second server was not refused within {within} s"));
            }
            None => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    };
    if status.code() != Some(IN_USE) {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        return Err(format!(
            "a second server ended with {status} instead of exit code {IN_USE}: {said}"
        ));
    }
    Ok(())
}
