//! Binary data inside JSON.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};

const TYPE: &str = "bytes";
const ENCODING: &str = "base64";

/// Bytes that travel inside a document as
/// `{"_type":"bytes","encoding":"base64","data":"..."}`, the form that every DocDB client knows.
///
/// ```
/// use docdb_client::Base64Bytes;
///
/// let picture = Base64Bytes(vec![0xff, 0xd8]);
/// let json = serde_json::to_string(&picture).unwrap();
/// assert_eq!(json, r#"{"_type":"bytes","encoding":"base64","data":"/9g="}"#);
/// assert_eq!(serde_json::from_str::<Base64Bytes>(&json).unwrap(), picture);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Base64Bytes(
    /// The bytes themselves.
    pub Vec<u8>,
);

impl fmt::Debug for Base64Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base64Bytes({} bytes)", self.0.len())
    }
}

impl From<Vec<u8>> for Base64Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Base64Bytes(bytes)
    }
}

impl From<&[u8]> for Base64Bytes {
    fn from(bytes: &[u8]) -> Self {
        Base64Bytes(bytes.to_vec())
    }
}

impl From<Base64Bytes> for Vec<u8> {
    fn from(bytes: Base64Bytes) -> Self {
        bytes.0
    }
}

impl AsRef<[u8]> for Base64Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Base64Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Base64Bytes", 3)?;
        object.serialize_field("_type", TYPE)?;
        object.serialize_field("encoding", ENCODING)?;
        object.serialize_field("data", &STANDARD.encode(&self.0))?;
        object.end()
    }
}

impl<'de> Deserialize<'de> for Base64Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Base64Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"{"_type":"bytes","encoding":"base64","data":"..."}"#)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Base64Bytes, A::Error> {
        let mut is_bytes = false;
        let mut is_base64 = false;
        let mut data: Option<String> = None;
        while let Some(key) = map.next_key::<String>()? {
            let value: String = map.next_value()?;
            match key.as_str() {
                "_type" => is_bytes = value == TYPE,
                "encoding" => is_base64 = value == ENCODING,
                "data" => data = Some(value),
                other => {
                    return Err(de::Error::unknown_field(
                        other,
                        &["_type", "encoding", "data"],
                    ));
                }
            }
        }
        if !is_bytes {
            return Err(de::Error::custom("\"_type\" is not \"bytes\""));
        }
        if !is_base64 {
            return Err(de::Error::custom("\"encoding\" is not \"base64\""));
        }
        let data = data.ok_or_else(|| de::Error::missing_field("data"))?;
        STANDARD
            .decode(data)
            .map(Base64Bytes)
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn round_trip(bytes: Vec<u8>) {
            let value = Base64Bytes(bytes);
            let json = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Base64Bytes>(&json).unwrap(), value);
        }
    }

    #[test]
    fn key_order_is_free() {
        let json = r#"{"data":"AQI=","encoding":"base64","_type":"bytes"}"#;
        assert_eq!(serde_json::from_str::<Base64Bytes>(json).unwrap().0, [1, 2]);
    }

    #[test]
    fn what_is_not_bytes_is_refused() {
        for json in [
            r#"{}"#,
            r#""AQI=""#,
            r#"{"_type":"text","encoding":"base64","data":"AQI="}"#,
            r#"{"_type":"bytes","encoding":"hex","data":"AQI="}"#,
            r#"{"_type":"bytes","encoding":"base64"}"#,
            r#"{"_type":"bytes","encoding":"base64","data":"AQI"}"#,
            r#"{"_type":"bytes","encoding":"base64","data":"AQI=","more":"x"}"#,
        ] {
            assert!(serde_json::from_str::<Base64Bytes>(json).is_err(), "{json}");
        }
    }
}
