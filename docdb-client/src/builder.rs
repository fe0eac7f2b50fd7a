//! How a client is made.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Client, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The settings of a [`Client`].
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Option<Duration>,
}

impl ClientBuilder {
    pub(crate) fn new(path: PathBuf) -> Self {
        ClientBuilder {
            path,
            name: concat!("docdb-client ", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: Some(REQUEST_TIMEOUT),
        }
    }

    /// What the client calls itself in the server's log, at most 256 bytes.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How long making a connection may take, the hello included; 5 s unless set. A client that
    /// has lost its connection tries again and again within this time.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a request may take once there is a connection, 30 s unless set; `None` waits
    /// without end. For a scan it bounds the wait for each document. A write that was sent and not
    /// answered in time is [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown); everything else is
    /// [`Timeout`](crate::ErrorKind::Timeout), and nothing was written.
    pub fn request_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.request_timeout = timeout.into();
        self
    }

    /// Connects once. On failure [`Error::is_connect`](crate::Error::is_connect) is true.
    ///
    /// Must be called inside a tokio runtime with I/O and time enabled.
    pub async fn connect(self) -> Result<Client> {
        Client::connect_with(self).await
    }
}
