//! The rules for database and collection names.

use std::fmt;

use crate::limits::NAME_BYTES_MAX;

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The name has no bytes.
    Empty,
    /// The name has more than [`NAME_BYTES_MAX`] bytes.
    TooLong,
    /// The name is `.` or `..`.
    Dots,
    /// The name holds a character that is not allowed.
    Character(char),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => f.write_str("a name must have at least one byte"),
            NameError::TooLong => write!(f, "a name must have at most {NAME_BYTES_MAX} bytes"),
            NameError::Dots => f.write_str("\".\" and \"..\" are not names"),
            NameError::Character(c) => write!(f, "a name must not contain {c:?}"),
        }
    }
}

impl std::error::Error for NameError {}

/// Checks a database name: 1 to 64 bytes of UTF-8 without `/`, `\`, NUL or control characters, and
/// neither `.` nor `..`.
pub fn check_database_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    if name == "." || name == ".." {
        return Err(NameError::Dots);
    }
    match name
        .chars()
        .find(|&c| c == '/' || c == '\\' || c.is_control())
    {
        Some(c) => Err(NameError::Character(c)),
        None => Ok(()),
    }
}

/// Checks a collection name: as a database name, and without `.` anywhere.
pub fn check_collection_name(name: &str) -> Result<(), NameError> {
    check_database_name(name)?;
    if name.contains('.') {
        Err(NameError::Character('.'))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_names() {
        for good in [
            "a",
            "_default",
            "a.b",
            "über",
            "日本",
            "with space",
            "...",
            &"x".repeat(64),
        ] {
            assert_eq!(check_database_name(good), Ok(()), "{good}");
        }
        assert_eq!(check_database_name(""), Err(NameError::Empty));
        assert_eq!(
            check_database_name(&"x".repeat(65)),
            Err(NameError::TooLong)
        );
        assert_eq!(check_database_name("."), Err(NameError::Dots));
        assert_eq!(check_database_name(".."), Err(NameError::Dots));
        for (bad, c) in [
            ("../x", '/'),
            ("a\\b", '\\'),
            ("a\0", '\0'),
            ("a\u{85}", '\u{85}'),
        ] {
            assert_eq!(check_database_name(bad), Err(NameError::Character(c)));
        }
    }

    #[test]
    fn collection_names_have_no_dot() {
        assert_eq!(check_collection_name("a"), Ok(()));
        assert_eq!(check_collection_name("a.b"), Err(NameError::Character('.')));
        assert_eq!(check_collection_name("..."), Err(NameError::Character('.')));
    }
}
