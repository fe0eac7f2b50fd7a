//! The DocDB server: many document databases over a Unix socket.
