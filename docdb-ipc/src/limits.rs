//! Limits of the protocol itself. Those it shares with the engine are in `docdb_types::limits`.

/// Longest frame, in bytes, its length field not counted, before the hello has been answered.
pub const HELLO_BYTES_MAX: usize = 4096;
/// Longest name or version that a peer gives in its hello, in bytes.
pub const PEER_NAME_BYTES_MAX: usize = 256;
/// Longest message of an error, in bytes; longer ones are cut when they are encoded.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 4096;
/// Longest message of an error inside a batch's results, in bytes. Short enough that the results of
/// the largest batch always fit into one frame.
pub const BATCH_ERROR_MESSAGE_BYTES_MAX: usize = 256;
/// Most documents in one frame of a scan.
pub const SCAN_ITEMS_MAX: usize = 65_536;
/// Requests in flight on one connection that a server allows unless told otherwise.
pub const IN_FLIGHT_REQUESTS: u32 = 1024;
/// Transactions, and as many snapshots, open on one connection that a server allows unless told
/// otherwise.
pub const VIEWS_OPEN: u32 = 1024;
/// Credit of one scan, in bytes, that a server allows unless told otherwise.
pub const SCAN_CREDIT_BYTES: u32 = 4 << 20;
/// Room that [`crate::FrameDecoder`] makes for a read, in bytes, when it does not know how much is
/// to come; also what it reserves at least.
pub const READ_RESERVE_BYTES: usize = 16 << 10;
