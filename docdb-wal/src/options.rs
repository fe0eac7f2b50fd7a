//! How a log behaves.

use std::fmt;
use std::str::FromStr;

use crate::Lsn;

/// When an append is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// When its group is on the device: survives the process's end and power loss.
    #[default]
    Full,
}

impl Durability {
    /// The mode's name, as in options and files.
    pub fn name(self) -> &'static str {
        match self {
            Durability::Full => "full",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A durability mode that this version does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownDurability(String);

impl fmt::Display for UnknownDurability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_str() {
            "always" | "interval" | "os" | "memory" | "none" => {
                write!(
                    f,
                    "durability mode {:?} is not available in this version; use full",
                    self.0
                )
            }
            _ => write!(f, "{:?} is not a durability mode; use full", self.0),
        }
    }
}

impl std::error::Error for UnknownDurability {}

impl FromStr for Durability {
    type Err = UnknownDurability;

    fn from_str(s: &str) -> std::result::Result<Self, UnknownDurability> {
        match s {
            "full" => Ok(Durability::Full),
            _ => Err(UnknownDurability(s.to_owned())),
        }
    }
}

/// The options of a log. Build them from [`WalOptions::default`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WalOptions {
    /// When an append is acknowledged.
    pub durability: Durability,
    /// Size of the first segment in bytes; each following one doubles. Rounded up to 4 KiB, at
    /// least 16 KiB.
    pub segment_bytes_min: u64,
    /// Size in bytes at which segments stop growing; at least 16 KiB, at most 4 GiB. A segment is
    /// larger if one record needs it.
    pub segment_bytes_max: u64,
    /// How many segments [`Wal::retire_below`](crate::Wal::retire_below) keeps beyond what is
    /// needed.
    pub keep_segments: usize,
    /// The log's identity, if the caller knows it: a directory with another log is refused.
    pub wal_id: Option<u128>,
    /// The first record that the caller needs back. `None`: all that the directory still has. If a
    /// record from here on is missing, opening fails.
    pub start_lsn: Option<Lsn>,
    /// The highest LSN that the caller knows to be durable, from elsewhere. Damage at or below it is
    /// corruption and never a torn tail.
    pub proven_lsn: Lsn,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            segment_bytes_min: 256 << 10,
            segment_bytes_max: 64 << 20,
            keep_segments: 2,
            wal_id: None,
            start_lsn: None,
            proven_lsn: Lsn::ZERO,
        }
    }
}
