//! The DocDB wire protocol: a sans-I/O codec for frames and messages.
