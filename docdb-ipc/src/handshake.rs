//! How two peers agree on a version and limits: one frame each way.

use std::fmt;

use bytes::BytesMut;
use docdb_types::ErrorKind;

use crate::hello::{
    ClientHello, FEATURE_VIEWS, FEATURES, ServerHello, decode_client, decode_server,
};
use crate::limits::HELLO_BYTES_MAX;
use crate::{
    Codec, DecodeError, EncodeError, Frame, Limits, Opcode, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN,
    RequestId, Response, Text, WireError, decode_response,
};

/// What both peers know once the hello is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The protocol version both speak.
    pub version: u16,
    /// The optional features both use.
    pub features: u64,
    /// What the client must keep to.
    pub limits: Limits,
    /// What the other side calls itself; may be empty.
    pub peer_name: Text,
    /// The version of the server's software; empty on the server's side.
    pub peer_software_version: Text,
}

impl Session {
    /// The codec for what is sent from here on.
    pub fn codec(&self) -> Codec {
        Codec::new(self.limits.frame_bytes_max as usize)
    }
}

/// Why there is no session. The connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The other side did not send what a hello looks like.
    Decode(DecodeError),
    /// The two have no protocol version in common.
    Version {
        /// The oldest version that the other side speaks.
        peer_min: u16,
        /// The newest version that the other side speaks.
        peer_max: u16,
    },
    /// The server answered with an error.
    Refused(WireError),
}

impl HandshakeError {
    /// The kind of error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            HandshakeError::Decode(_) => ErrorKind::Protocol,
            HandshakeError::Version { .. } => ErrorKind::UnsupportedVersion,
            HandshakeError::Refused(error) => error.kind(),
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::Decode(error) => error.fmt(f),
            HandshakeError::Version { peer_min, peer_max } => write!(
                f,
                "the peer speaks protocol versions {peer_min} to {peer_max}, this side \
                 {PROTOCOL_VERSION_MIN} to {PROTOCOL_VERSION}"
            ),
            HandshakeError::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            HandshakeError::Decode(error) => Some(error),
            HandshakeError::Version { .. } => None,
            HandshakeError::Refused(error) => Some(error),
        }
    }
}

impl From<DecodeError> for HandshakeError {
    fn from(error: DecodeError) -> HandshakeError {
        HandshakeError::Decode(error)
    }
}

/// The codec for frames that end a connection or come before its limits are known.
fn hello_codec() -> Codec {
    Codec::new(HELLO_BYTES_MAX)
}

/// The server's side. One value serves every connection.
#[derive(Debug, Clone)]
pub struct ServerHandshake {
    hello: ServerHello,
}

impl ServerHandshake {
    /// A server with those limits and names; fails if one of them cannot be sent.
    pub fn new(
        limits: Limits,
        name: impl Into<Text>,
        software_version: impl Into<Text>,
    ) -> Result<ServerHandshake, EncodeError> {
        let hello = ServerHello {
            version: PROTOCOL_VERSION,
            features: FEATURES,
            limits,
            name: name.into(),
            software_version: software_version.into(),
        };
        hello_codec().encode(&mut BytesMut::new(), RequestId::CONNECTION, &hello)?;
        Ok(ServerHandshake { hello })
    }

    /// Appends the answer to a client's first frame. After an error the answer says why, and the
    /// connection ends when it is sent.
    pub fn answer(&self, frame: &Frame, out: &mut BytesMut) -> Result<Session, HandshakeError> {
        let result = self.agree(frame);
        match &result {
            Ok((hello, _)) => hello_codec()
                .encode(out, RequestId::CONNECTION, hello)
                .expect("checked when the handshake was made"),
            Err(error) => refuse(error, out),
        }
        result.map(|(_, session)| session)
    }

    /// Appends the answer to bytes that are not even a frame; the connection ends when it is sent.
    pub fn refuse(&self, error: &DecodeError, out: &mut BytesMut) {
        refuse(&HandshakeError::Decode(error.clone()), out);
    }

    fn agree(&self, frame: &Frame) -> Result<(ServerHello, Session), HandshakeError> {
        let client = decode_client(frame)?;
        let version = client.version_max.min(PROTOCOL_VERSION);
        if version < client.version_min.max(PROTOCOL_VERSION_MIN) {
            return Err(HandshakeError::Version {
                peer_min: client.version_min,
                peer_max: client.version_max,
            });
        }
        let mut hello = self.hello.clone();
        hello.version = version;
        hello.features &= client.features;
        if hello.features & FEATURE_VIEWS == 0 {
            (hello.limits.transactions_max, hello.limits.snapshots_max) = (0, 0);
        }
        let session = Session {
            version,
            features: hello.features,
            limits: hello.limits,
            peer_name: client.name,
            peer_software_version: Text::default(),
        };
        Ok((hello, session))
    }
}

fn refuse(error: &HandshakeError, out: &mut BytesMut) {
    // Short enough that the frame keeps to the limit of a hello, whatever the message.
    let mut message = error.to_string();
    message.truncate(message.floor_char_boundary(HELLO_BYTES_MAX / 2));
    let response = Response::Error(WireError::new(error.kind(), message));
    hello_codec()
        .encode_response(out, RequestId::CONNECTION, &response)
        .expect("fits into a hello's frame");
}

/// The client's side.
#[derive(Debug, Clone)]
pub struct ClientHandshake {
    hello: ClientHello,
}

impl ClientHandshake {
    /// A client of that name.
    pub fn new(name: impl Into<Text>) -> ClientHandshake {
        ClientHandshake {
            hello: ClientHello::new(name),
        }
    }

    /// Appends the first frame. Fails only if the name is too long.
    pub fn start(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        hello_codec().encode(out, RequestId::CONNECTION, &self.hello)
    }

    /// Takes the server's answer.
    pub fn finish(&self, frame: &Frame) -> Result<Session, HandshakeError> {
        if frame.opcode == Opcode::Error.code() {
            return match decode_response(frame)? {
                (_, Response::Error(error)) => Err(HandshakeError::Refused(error)),
                _ => Err(frame.unexpected().into()),
            };
        }
        let server = decode_server(frame)?;
        if !(self.hello.version_min..=self.hello.version_max).contains(&server.version) {
            return Err(HandshakeError::Version {
                peer_min: server.version,
                peer_max: server.version,
            });
        }
        Ok(Session {
            version: server.version,
            features: server.features & self.hello.features,
            limits: server.limits,
            peer_name: server.name,
            peer_software_version: server.software_version,
        })
    }
}
