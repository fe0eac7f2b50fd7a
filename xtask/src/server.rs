//! A real `docdb-server` as a child process, to be used, killed and started again.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use docdb_client::Client;

/// A server that has not answered after this long has failed to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A server that was asked to end and has not after this long has hung.
const STOP_TIMEOUT: Duration = Duration::from_secs(35);

/// How often a starting or ending server is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// How a server is to be run.
#[derive(Debug, Clone)]
pub(crate) struct ServerSetup {
    pub(crate) binary: PathBuf,
    pub(crate) data_dir: PathBuf,
    pub(crate) socket: PathBuf,
    /// The server's log, appended to at each start.
    pub(crate) log: PathBuf,
    /// A command that runs the server's, and becomes it.
    pub(crate) prefix: Vec<String>,
    /// Further options of the server.
    pub(crate) arguments: Vec<String>,
    /// Further variables of its environment.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// Out of reach of a Ctrl-C in the terminal, for who ends it by other means.
    pub(crate) own_group: bool,
}

impl ServerSetup {
    /// A server whose files are in `dir`, which is made if it is missing. The socket is elsewhere,
    /// because its path must be short.
    pub(crate) fn in_dir(binary: PathBuf, dir: &Path) -> Result<ServerSetup, Box<dyn Error>> {
        fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let socket = format!("docdb-xtask-{}.sock", std::process::id());
        Ok(ServerSetup {
            binary,
            data_dir: dir.join("data"),
            socket: std::env::temp_dir().join(socket),
            log: dir.join("server.log"),
            prefix: Vec::new(),
            arguments: Vec::new(),
            variables: Vec::new(),
            own_group: false,
        })
    }

    /// Starts the server and returns at once.
    pub(crate) fn spawn(&self) -> Result<Server, Box<dyn Error>> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(|e| format!("{}: {e}", self.log.display()))?;
        let child = self.command(log).spawn();
        let child = child.map_err(|e| format!("{}: {e}", self.binary.display()))?;
        Ok(Server {
            child,
            setup: self.clone(),
            started: Instant::now(),
        })
    }

    /// Its command line, with its log going to `log`.
    pub(crate) fn command(&self, log: File) -> Command {
        let mut command = match self.prefix.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        command
            .arg("--data-dir")
            .arg(&self.data_dir)
            .arg("--socket")
            .arg(&self.socket)
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if self.own_group {
            command.process_group(0);
        }
        command
    }

    /// Starts the server and waits until it answers.
    pub(crate) async fn start(&self) -> Result<(Server, Duration), Box<dyn Error>> {
        let mut server = self.spawn()?;
        let took = server.ready().await?;
        Ok((server, took))
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Result<Client, docdb_client::Error> {
        Client::builder(&self.socket).name("xtask").connect().await
    }

    /// Removes the socket of a server that was killed. Between kills it stays: the next server must
    /// cope with it.
    pub(crate) fn remove_socket(&self) {
        let _ = fs::remove_file(&self.socket);
    }

    /// The last lines of the server's log.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    setup: ServerSetup,
    started: Instant,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The time since the process was started.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until the server answers a ping; how long that took since it was started.
    pub(crate) async fn ready(&mut self) -> Result<Duration, Box<dyn Error>> {
        loop {
            if let Ok(client) = self.setup.connect().await
                && client.ping().await.is_ok()
            {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                let log = self.setup.log_tail();
                return Err(format!("the server ended with {status} at its start:\n{log}").into());
            }
            if self.started.elapsed() > START_TIMEOUT {
                let log = self.setup.log_tail();
                return Err(
                    format!("no answer from the server in {START_TIMEOUT:?}:\n{log}").into(),
                );
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// SIGKILL, then waits for the end.
    pub(crate) fn kill(mut self) -> Result<(), Box<dyn Error>> {
        if let Some(status) = self.child.try_wait()? {
            let log = self.setup.log_tail();
            return Err(format!("the server had ended by itself with {status}:\n{log}").into());
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and SIGKILL a moment later; says whether it had ended by then, which must have been a
    /// clean end.
    pub(crate) fn kill_in_drain(mut self, after: Duration) -> Result<bool, Box<dyn Error>> {
        self.terminate()?;
        std::thread::sleep(after);
        if let Some(status) = self.child.try_wait()? {
            return self.clean_end(status).map(|()| true);
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(false)
    }

    fn terminate(&self) -> Result<(), Box<dyn Error>> {
        let pid = rustix::process::Pid::from_child(&self.child);
        Ok(rustix::process::kill_process(
            pid,
            rustix::process::Signal::TERM,
        )?)
    }

    /// SIGTERM, then waits for the end, which must be a clean one.
    pub(crate) async fn stop(mut self) -> Result<(), Box<dyn Error>> {
        self.terminate()?;
        let asked = Instant::now();
        while asked.elapsed() < STOP_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                return self.clean_end(status);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Err(format!("the server did not end within {STOP_TIMEOUT:?} of SIGTERM").into())
    }

    fn clean_end(&self, status: ExitStatus) -> Result<(), Box<dyn Error>> {
        if status.success() {
            return Ok(());
        }
        let log = self.setup.log_tail();
        Err(format!("the server ended with {status} after SIGTERM:\n{log}").into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
