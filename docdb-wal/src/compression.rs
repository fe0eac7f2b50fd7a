//! Whether a log compresses.

use std::fmt;
use std::str::FromStr;

/// What a log does with records whose [body](crate::Record::body) has 4 KiB or more. Decides only
/// about what is appended: a log may hold records of both kinds, and a build with the feature `lz4`
/// reads them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Compression {
    /// Nothing.
    #[default]
    None,
    /// Compresses the body with LZ4 and stores that if it saves an eighth or more. Exists only in a
    /// build with the feature `lz4`.
    #[cfg(feature = "lz4")]
    Lz4,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            #[cfg(feature = "lz4")]
            Compression::Lz4 => "lz4",
        })
    }
}

/// A text that is not a compression of this build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCompression(String);

impl fmt::Display for UnknownCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == "lz4" {
            return f.write_str("this build has no lz4; build it with the feature `lz4`");
        }
        write!(
            f,
            "{:?} is not a compression of this version; use none or lz4",
            self.0
        )
    }
}

impl std::error::Error for UnknownCompression {}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(s: &str) -> Result<Self, UnknownCompression> {
        match s {
            "none" => Ok(Compression::None),
            #[cfg(feature = "lz4")]
            "lz4" => Ok(Compression::Lz4),
            _ => Err(UnknownCompression(s.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!("none".parse(), Ok(Compression::None));
        assert_eq!(Compression::None.to_string(), "none");
        let error = "zip".parse::<Compression>().unwrap_err().to_string();
        assert!(error.contains("use none or lz4"), "{error}");
    }

    #[cfg(feature = "lz4")]
    #[test]
    fn lz4_is_a_text() {
        assert_eq!("lz4".parse(), Ok(Compression::Lz4));
        assert_eq!(Compression::Lz4.to_string(), "lz4");
    }

    #[cfg(not(feature = "lz4"))]
    #[test]
    fn lz4_is_refused_by_a_build_without_it() {
        let error = "lz4".parse::<Compression>().unwrap_err().to_string();
        assert!(error.contains("feature `lz4`"), "{error}");
    }
}
