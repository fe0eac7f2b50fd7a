//! The first frame of each side.

use bytes::Bytes;
use docdb_types::limits::{DOCUMENT_BYTES_MAX, FRAME_BYTES_MAX};

use crate::codec::{Encode, Head};
use crate::limits::{
    HELLO_BYTES_MAX, IN_FLIGHT_REQUESTS, PEER_NAME_BYTES_MAX, SCAN_CREDIT_BYTES, VIEWS_OPEN,
};
use crate::wire::{Present, Put, Reader};
use crate::{DecodeError, DecodeReason, EncodeError, Frame, Opcode, RequestId, Text};

/// The newest protocol version that this build speaks.
pub const PROTOCOL_VERSION: u16 = 1;
/// The oldest protocol version that this build speaks.
pub const PROTOCOL_VERSION_MIN: u16 = 1;

/// The feature bit of transactions and snapshots: their requests, and their limits in the welcome.
pub const FEATURE_VIEWS: u64 = 1;
/// The feature bit of healing: its requests and their answers.
pub const FEATURE_HEALING: u64 = 1 << 1;
/// The feature bit of backups.
pub const FEATURE_BACKUP: u64 = 1 << 2;
/// The features that this build speaks.
pub(crate) const FEATURES: u64 = FEATURE_VIEWS | FEATURE_HEALING | FEATURE_BACKUP;

const MAGIC: [u8; 8] = *b"DOCDBIPC";
const TAG_NAME: u8 = 1;
/// A server's alone; in a client's hello the number is reserved for a token.
const TAG_SOFTWARE_VERSION: u8 = 2;
/// A server's alone: most transactions u32, most snapshots u32.
const TAG_VIEWS: u8 = 3;

/// What a client says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientHello {
    /// The oldest protocol version it speaks.
    pub(crate) version_min: u16,
    /// The newest protocol version it speaks.
    pub(crate) version_max: u16,
    /// The optional features it knows, one bit each.
    pub(crate) features: u64,
    /// What it calls itself, for the server's log: at most
    /// [`PEER_NAME_BYTES_MAX`] bytes, may be empty.
    pub(crate) name: Text,
}

impl ClientHello {
    /// The hello of a client built from this crate.
    pub(crate) fn new(name: impl Into<Text>) -> ClientHello {
        ClientHello {
            version_min: PROTOCOL_VERSION_MIN,
            version_max: PROTOCOL_VERSION,
            features: FEATURES,
            name: name.into(),
        }
    }
}

/// What a server answers to a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerHello {
    /// The protocol version both speak from here on.
    pub(crate) version: u16,
    /// The client's features that are in use from here on.
    pub(crate) features: u64,
    /// What the client must keep to.
    pub(crate) limits: Limits,
    /// What the server calls itself, at most
    /// [`PEER_NAME_BYTES_MAX`] bytes.
    pub(crate) name: Text,
    /// The version of the server's software, at most
    /// [`PEER_NAME_BYTES_MAX`] bytes.
    pub(crate) software_version: Text,
}

/// Limits of a connection, set by the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest frame in either direction, in bytes, its length field not counted;
    /// [`HELLO_BYTES_MAX`](crate::HELLO_BYTES_MAX) to `FRAME_BYTES_MAX`.
    pub frame_bytes_max: u32,
    /// Largest document, in bytes.
    pub document_bytes_max: u32,
    /// Most requests in flight, at least 1; one more is answered with `Busy`.
    pub in_flight_requests_max: u32,
    /// Most credit that one scan may have, in bytes, at least 1.
    pub scan_credit_bytes_max: u32,
    /// Most transactions open on the connection; one more is answered with `LimitExceeded`. 0 on a
    /// connection without [`FEATURE_VIEWS`].
    pub transactions_max: u32,
    /// The same for snapshots.
    pub snapshots_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            frame_bytes_max: u32::try_from(FRAME_BYTES_MAX).expect("a constant below 2^32"),
            document_bytes_max: u32::try_from(DOCUMENT_BYTES_MAX).expect("a constant below 2^32"),
            in_flight_requests_max: IN_FLIGHT_REQUESTS,
            scan_credit_bytes_max: SCAN_CREDIT_BYTES,
            transactions_max: VIEWS_OPEN,
            snapshots_max: VIEWS_OPEN,
        }
    }
}

impl Limits {
    /// The first limit that is out of its range, by name, with its value.
    fn bad(&self) -> Option<(&'static str, u32)> {
        let frame = self.frame_bytes_max as usize;
        if !(HELLO_BYTES_MAX..=FRAME_BYTES_MAX).contains(&frame) {
            return Some(("frame_bytes_max", self.frame_bytes_max));
        }
        if self.document_bytes_max == 0 {
            return Some(("document_bytes_max", 0));
        }
        if self.in_flight_requests_max == 0 {
            return Some(("in_flight_requests_max", 0));
        }
        if self.scan_credit_bytes_max == 0 {
            return Some(("scan_credit_bytes_max", 0));
        }
        None
    }
}

/// A tagged field: tag u8, length u16, bytes. Unknown tags are skipped, so that a hello can grow
/// before the peers know each other's version.
fn put_tagged(p: &mut impl Put, tag: u8, text: &Text) -> Result<(), EncodeError> {
    let bytes = text.len();
    if bytes > PEER_NAME_BYTES_MAX {
        return Err(EncodeError::TextTooLong {
            bytes,
            max: PEER_NAME_BYTES_MAX,
        });
    }
    p.u8(tag);
    p.text(text)
}

impl Encode for ClientHello {
    fn encode<P: Put>(&self, p: &mut P) -> Result<Head, EncodeError> {
        p.slice(&MAGIC);
        p.u16(self.version_min);
        p.u16(self.version_max);
        p.u64(self.features);
        put_tagged(p, TAG_NAME, &self.name)?;
        Ok(Head {
            opcode: Opcode::Hello,
            present: 0,
        })
    }
}

impl Encode for ServerHello {
    fn encode<P: Put>(&self, p: &mut P) -> Result<Head, EncodeError> {
        if self.limits.bad().is_some() {
            return Err(EncodeError::Invalid(
                "a limit of the hello is out of its range",
            ));
        }
        p.slice(&MAGIC);
        p.u16(self.version);
        p.u64(self.features);
        p.u32(self.limits.frame_bytes_max);
        p.u32(self.limits.document_bytes_max);
        p.u32(self.limits.in_flight_requests_max);
        p.u32(self.limits.scan_credit_bytes_max);
        put_tagged(p, TAG_NAME, &self.name)?;
        put_tagged(p, TAG_SOFTWARE_VERSION, &self.software_version)?;
        if self.features & FEATURE_VIEWS != 0 {
            p.u8(TAG_VIEWS);
            p.u16(8);
            p.u32(self.limits.transactions_max);
            p.u32(self.limits.snapshots_max);
        }
        Ok(Head {
            opcode: Opcode::Welcome,
            present: 0,
        })
    }
}

/// Checks the header and the magic bytes.
fn begin(frame: &Frame, opcode: Opcode) -> Result<Reader<'_>, DecodeError> {
    if frame.opcode != opcode.code() {
        return Err(frame.unexpected());
    }
    if frame.request_id != RequestId::CONNECTION {
        return Err(frame.bad_request_id());
    }
    let mut r = Reader::new(frame);
    r.known_fields(&Present::new(frame.present))?;
    if r.slice(MAGIC.len())? != MAGIC[..] {
        return Err(r.fail(DecodeReason::Magic));
    }
    Ok(r)
}

/// Reads tagged fields to the end of the frame and returns those of `tags`.
fn tagged<const N: usize>(
    r: &mut Reader<'_>,
    tags: [u8; N],
) -> Result<[Option<Bytes>; N], DecodeError> {
    let mut found: [Option<Bytes>; N] = [const { None }; N];
    while r.remaining() > 0 {
        let tag = r.u8()?;
        let len = r.u16()?;
        let value: Bytes = r.slice(usize::from(len))?;
        let Some(index) = tags.iter().position(|&known| known == tag) else {
            continue;
        };
        if found[index].is_some() {
            return Err(r.bad_value("repeated tag", tag));
        }
        if value.len() > PEER_NAME_BYTES_MAX {
            return Err(r.bad_value("length of a tagged field", len));
        }
        found[index] = Some(value);
    }
    Ok(found)
}

fn tagged_text(r: &Reader<'_>, value: Option<Bytes>) -> Result<Text, DecodeError> {
    match value.map(Text::from_utf8) {
        None => Ok(Text::default()),
        Some(Ok(text)) => Ok(text),
        Some(Err(_)) => Err(r.fail(DecodeReason::Utf8)),
    }
}

/// The limits of transactions and of snapshots.
fn tagged_views(r: &Reader<'_>, value: Option<Bytes>) -> Result<(u32, u32), DecodeError> {
    let Some(value) = value else {
        return Ok((0, 0));
    };
    match value.as_chunks::<4>() {
        ([transactions, snapshots], []) => Ok((
            u32::from_le_bytes(*transactions),
            u32::from_le_bytes(*snapshots),
        )),
        _ => Err(r.bad_value("length of a tagged field", value.len() as u64)),
    }
}

pub(crate) fn decode_client(frame: &Frame) -> Result<ClientHello, DecodeError> {
    let mut r = begin(frame, Opcode::Hello)?;
    let (version_min, version_max) = (r.u16()?, r.u16()?);
    if version_min == 0 || version_min > version_max {
        return Err(r.bad_value("version_min", version_min));
    }
    let features = r.u64()?;
    let [name] = tagged(&mut r, [TAG_NAME])?;
    let name = tagged_text(&r, name)?;
    Ok(ClientHello {
        version_min,
        version_max,
        features,
        name,
    })
}

pub(crate) fn decode_server(frame: &Frame) -> Result<ServerHello, DecodeError> {
    let mut r = begin(frame, Opcode::Welcome)?;
    let version = r.u16()?;
    let features = r.u64()?;
    let mut limits = Limits {
        frame_bytes_max: r.u32()?,
        document_bytes_max: r.u32()?,
        in_flight_requests_max: r.u32()?,
        scan_credit_bytes_max: r.u32()?,
        transactions_max: 0,
        snapshots_max: 0,
    };
    if let Some((field, value)) = limits.bad() {
        return Err(r.bad_value(field, value));
    }
    let [name, software_version, views] =
        tagged(&mut r, [TAG_NAME, TAG_SOFTWARE_VERSION, TAG_VIEWS])?;
    (limits.transactions_max, limits.snapshots_max) = tagged_views(&r, views)?;
    let (name, software_version) = (tagged_text(&r, name)?, tagged_text(&r, software_version)?);
    Ok(ServerHello {
        version,
        features,
        limits,
        name,
        software_version,
    })
}
