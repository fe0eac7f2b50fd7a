//! What the two programs share: the clock and the figures of a run, and the bare device.

#![forbid(unsafe_code)]

pub mod device;
pub mod measure;
