#![doc = include_str!("../README.md")]

mod backup;
mod codec;
mod error;
mod frame;
mod handshake;
mod heal;
mod hello;
mod limits;
mod opcode;
mod request;
mod request_codec;
mod response;
mod response_codec;
mod scan;
mod text;
mod view;
mod view_codec;
mod wire;

pub use backup::{BackedUp, BackupReport, BackupRequest, NotBackedUp};
pub use codec::{Codec, decode_request, decode_response};
pub use error::{DecodeError, DecodeReason, EncodeError};
pub use frame::{FRAME_HEADER_BYTES, Frame, FrameDecoder, RequestId};
pub use handshake::{ClientHandshake, HandshakeError, ServerHandshake, Session};
pub use heal::{HEAL_NAMED_MAX, HealOutcome, HealReport, UnhealableDocument};
pub use hello::{
    FEATURE_BACKUP, FEATURE_HEALING, FEATURE_VIEWS, Limits, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN,
};
pub use limits::{
    BATCH_ERROR_MESSAGE_BYTES_MAX, ERROR_MESSAGE_BYTES_MAX, HELLO_BYTES_MAX, IN_FLIGHT_REQUESTS,
    PEER_NAME_BYTES_MAX, READ_RESERVE_BYTES, SCAN_CREDIT_BYTES, SCAN_ITEMS_MAX, VIEWS_OPEN,
};
pub use opcode::Opcode;
pub use request::{BatchMode, Precondition, Request, Scan, WriteKind, WriteOp};
pub use response::{
    CollectionInfo, Compacted, DatabaseInfo, ErrorCode, OpResult, Response, ScanItem, WireError,
};
pub use scan::{CreditError, CreditWindow, SCAN_ITEM_HEADER_BYTES, ScanItemsWriter};
pub use text::Text;
pub use view::ViewRequest;
