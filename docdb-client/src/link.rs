//! Makes connections, and makes them again.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use docdb_ipc::{ClientHandshake, FrameDecoder, HELLO_BYTES_MAX, HandshakeError, Session};
use docdb_types::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout_at};

use crate::connection::Connection;
use crate::error::Stage;
use crate::{ClientBuilder, Error, Result};

const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The connection of a client, replaced when it breaks.
#[derive(Debug)]
pub(crate) struct Link {
    config: ClientBuilder,
    current: Mutex<Option<Arc<Connection>>>,
    /// Held while connecting, so that many callers make one connection. Says when the last attempt
    /// failed, and how.
    connecting: tokio::sync::Mutex<Option<(Instant, Error)>>,
}

impl Link {
    pub(crate) fn new(config: ClientBuilder) -> Self {
        let connecting = tokio::sync::Mutex::new(None);
        Link {
            config,
            current: Mutex::new(None),
            connecting,
        }
    }

    pub(crate) fn config(&self) -> &ClientBuilder {
        &self.config
    }

    /// Makes the first connection, in one attempt.
    pub(crate) async fn connect_once(&self) -> Result<()> {
        let deadline = Instant::now() + self.config.connect_timeout;
        let connection = self.attempt(deadline).await.map_err(|(error, _)| error)?;
        self.replace(Arc::new(connection));
        Ok(())
    }

    /// The live connection. If it broke, a new one: attempts follow one another with growing,
    /// jittered pauses until the connect timeout.
    pub(crate) async fn connection(&self) -> Result<Arc<Connection>> {
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        let asked_at = Instant::now();
        let mut last_failure = self.connecting.lock().await;
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        if let Some((failed_at, error)) = &*last_failure
            && *failed_at >= asked_at
        {
            // The attempts that this call waited for were made in its name too.
            return Err(error.clone());
        }
        match self
            .attempts(asked_at.max(Instant::now()) + self.config.connect_timeout)
            .await
        {
            Ok(connection) => {
                let connection = Arc::new(connection);
                self.replace(Arc::clone(&connection));
                Ok(connection)
            }
            Err(error) => {
                *last_failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn live(&self) -> Option<Arc<Connection>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current
            .as_ref()
            .filter(|connection| !connection.is_lost())
            .cloned()
    }

    fn replace(&self, connection: Arc<Connection>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(connection);
    }

    async fn attempts(&self, deadline: Instant) -> Result<Connection> {
        let mut pause = BACKOFF_MIN;
        loop {
            let (error, may_pass) = match self.attempt(deadline).await {
                Ok(connection) => return Ok(connection),
                Err(failure) => failure,
            };
            let wait = jittered(pause);
            if !may_pass || Instant::now() + wait >= deadline {
                return Err(error);
            }
            sleep(wait).await;
            pause = (pause * 2).min(BACKOFF_MAX);
        }
    }

    /// One attempt; on failure also whether another one may succeed.
    async fn attempt(&self, deadline: Instant) -> Result<Connection, (Error, bool)> {
        match timeout_at(deadline, self.handshake()).await {
            Ok(result) => result,
            Err(_) => {
                let error = self.failed(ErrorKind::Timeout, "no answer in time".to_owned());
                Err((error, false))
            }
        }
    }

    async fn handshake(&self) -> Result<Connection, (Error, bool)> {
        let no_io = |error: io::Error| {
            let may_pass = error.kind() != io::ErrorKind::PermissionDenied;
            (
                self.failed(ErrorKind::Closed, error.to_string())
                    .with_source(error),
                may_pass,
            )
        };
        let mut stream = UnixStream::connect(&self.config.path)
            .await
            .map_err(no_io)?;

        let handshake = ClientHandshake::new(self.config.name.as_str());
        let mut hello = BytesMut::new();
        handshake.start(&mut hello).map_err(|error| {
            (
                self.failed(error.kind(), error.to_string())
                    .with_source(error),
                false,
            )
        })?;
        stream.write_all(&hello).await.map_err(no_io)?;

        let mut decoder = FrameDecoder::new(HELLO_BYTES_MAX);
        let session = loop {
            let frame = decoder
                .next_frame()
                .map_err(|error| self.refused(error.into()))?;
            if let Some(frame) = frame {
                break handshake
                    .finish(&frame)
                    .map_err(|error| self.refused(error))?;
            }
            if stream
                .read_buf(decoder.read_buffer())
                .await
                .map_err(no_io)?
                == 0
            {
                let message = "the server closed the connection".to_owned();
                return Err((self.failed(ErrorKind::Closed, message), true));
            }
        };
        let Session {
            limits, features, ..
        } = session;
        decoder.set_frame_bytes_max(limits.frame_bytes_max as usize);
        Ok(Connection::start(stream, decoder, limits, features))
    }

    fn refused(&self, error: HandshakeError) -> (Error, bool) {
        // A server that has no room now, or is just ending, may have one soon.
        let may_pass = error.kind().is_retryable() || error.kind() == ErrorKind::Closed;
        (
            self.failed(error.kind(), error.to_string())
                .with_source(error),
            may_pass,
        )
    }

    fn failed(&self, kind: ErrorKind, message: String) -> Error {
        let message = format!(
            "cannot connect to {}: {message}",
            self.config.path.display()
        );
        Error::new(kind, message).at(Stage::Connect)
    }
}

/// The pause, up to a quarter shorter or longer, so that many clients do not come back at once.
pub(crate) fn jittered(pause: Duration) -> Duration {
    // A new RandomState has new keys, so its hash of nothing is a random number.
    let random = RandomState::new().hash_one(()) % 1_000;
    pause.mul_f64(0.75 + random as f64 / 2_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_a_quarter() {
        for _ in 0..1_000 {
            let pause = jittered(Duration::from_millis(100));
            assert!((75..=125).contains(&pause.as_millis()), "{pause:?}");
        }
    }
}
