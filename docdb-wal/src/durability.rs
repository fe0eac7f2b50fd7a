//! When an append is acknowledged.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Used by the timed modes when no interval is given.
const INTERVAL_DEFAULT: Duration = Duration::from_millis(100);
/// The longest interval that the timed modes take.
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// When an append is acknowledged, and so what it survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// When its group is on the device; groups form by themselves. Survives the process's end and
    /// power loss.
    #[default]
    Full,
    /// As [`Durability::Full`], and every record has a sync of its own.
    Always,
    /// When it is handed to the kernel; synced every so often. Survives the process's end; a power
    /// loss takes at most the last interval and one flush.
    Interval(Duration),
    /// When it is handed to the kernel; synced when the caller asks. Survives the process's end; a
    /// power loss takes at most what came after the last [`Wal::sync`](crate::Wal::sync).
    Os,
    /// When it is in the process's buffer; handed to the kernel every so often, synced when the
    /// caller asks. The process's end takes at most the last interval and one write.
    Memory(Duration),
}

/// How far a record must have got before its append is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    Appended,
    Written,
    Durable,
}

impl Durability {
    /// [`Durability::Interval`] of 100 ms.
    pub const INTERVAL: Durability = Durability::Interval(INTERVAL_DEFAULT);
    /// [`Durability::Memory`] of 100 ms.
    pub const MEMORY: Durability = Durability::Memory(INTERVAL_DEFAULT);

    /// The mode's name, without its interval.
    pub fn name(self) -> &'static str {
        match self {
            Durability::Full => "full",
            Durability::Always => "always",
            Durability::Interval(_) => "interval",
            Durability::Os => "os",
            Durability::Memory(_) => "memory",
        }
    }

    pub(crate) fn reach(self) -> Reach {
        match self {
            Durability::Full | Durability::Always => Reach::Durable,
            Durability::Interval(_) | Durability::Os => Reach::Written,
            Durability::Memory(_) => Reach::Appended,
        }
    }

    /// Whether every group is synced when it is written, so that commits wait for the device.
    pub fn syncs_groups(self) -> bool {
        self.reach() == Reach::Durable
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Durability::Interval(interval) | Durability::Memory(interval) => {
                write!(f, "{}({})", self.name(), interval.as_millis())
            }
            _ => f.write_str(self.name()),
        }
    }
}

/// A text that is not a durability mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownDurability(String);

impl fmt::Display for UnknownDurability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a durability mode of this version; use full, always, interval(MS), os or \
             memory(MS), with 1 to {} milliseconds",
            self.0,
            INTERVAL_MAX.as_millis()
        )
    }
}

impl std::error::Error for UnknownDurability {}

impl FromStr for Durability {
    type Err = UnknownDurability;

    fn from_str(s: &str) -> Result<Self, UnknownDurability> {
        let unknown = || UnknownDurability(s.to_owned());
        let (name, interval) = match s.split_once('(') {
            None => (s, None),
            Some((name, rest)) => {
                let millis = rest
                    .strip_suffix(')')
                    .and_then(|digits| digits.parse().ok());
                (
                    name,
                    Some(Duration::from_millis(millis.ok_or_else(unknown)?)),
                )
            }
        };
        if interval.is_some_and(|interval| interval.is_zero() || interval > INTERVAL_MAX) {
            return Err(unknown());
        }
        match (name, interval) {
            ("full", None) => Ok(Durability::Full),
            ("always", None) => Ok(Durability::Always),
            ("os", None) => Ok(Durability::Os),
            ("interval", interval) => {
                Ok(Durability::Interval(interval.unwrap_or(INTERVAL_DEFAULT)))
            }
            ("memory", interval) => Ok(Durability::Memory(interval.unwrap_or(INTERVAL_DEFAULT))),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for text in ["full", "always", "interval(250)", "os", "memory(1)"] {
            assert_eq!(
                text.parse::<Durability>().map(|mode| mode.to_string()),
                Ok(text.into())
            );
        }
        assert_eq!("interval".parse(), Ok(Durability::INTERVAL));
        assert_eq!("memory".parse(), Ok(Durability::MEMORY));
        for text in [
            "",
            "none",
            "Full",
            "full(1)",
            "interval()",
            "interval(0)",
            "memory(1",
            "os(2)",
        ] {
            assert!(text.parse::<Durability>().is_err(), "{text}");
        }
    }
}
