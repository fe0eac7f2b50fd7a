//! A real server in this process, on a real socket.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use docdb_server::{Config, Server, ServerError, Stopper, runtime};
use tempfile::TempDir;

pub struct RealServer {
    _temp: TempDir,
    socket: PathBuf,
    stopper: Stopper,
    thread: Option<JoinHandle<Result<(), ServerError>>>,
}

impl RealServer {
    pub fn start() -> RealServer {
        let temp = tempfile::tempdir().unwrap();
        let socket = temp.path().join("s");
        let config = Config::new(temp.path().join("data"), &socket);
        let (started, starting) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            runtime().unwrap().block_on(async {
                let server = Server::start(config)?;
                started.send(server.stopper()).unwrap();
                server.run().await
            })
        });
        let stopper = starting.recv().expect("the server starts");
        RealServer {
            _temp: temp,
            socket,
            stopper,
            thread: Some(thread),
        }
    }

    /// Where the server keeps its data.
    pub fn data_dir(&self) -> PathBuf {
        self._temp.path().join("data")
    }

    pub fn path(&self) -> &Path {
        &self.socket
    }

    /// Begins to stop.
    pub fn stop(&self) {
        self.stopper.stop();
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}
