//! The bytes of a document that was read.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The bytes of a document, exactly as they were written. Cheap to clone while they are shared with
/// the index.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(Inner);

#[derive(Clone, PartialEq, Eq)]
enum Inner {
    Shared(Arc<[u8]>),
    Owned(Vec<u8>),
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Shared(bytes) => bytes,
            Inner::Owned(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Arc<[u8]>> for Body {
    fn from(bytes: Arc<[u8]>) -> Body {
        Body(Inner::Shared(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body(Inner::Owned(bytes))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self), f)
    }
}
