//! Protobuf messages as fields of what serde writes: base64 of their encoding, which keeps what they are as they change.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost::Message;
use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

pub(super) fn serialize<M: Message, S: Serializer>(message: &M, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(message.encode_to_vec()))
}

pub(super) fn deserialize<'de, M: Message + Default, D: Deserializer<'de>>(deserializer: D) -> Result<M, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = BASE64_STANDARD.decode(text).map_err(D::Error::custom)?;
    M::decode(bytes.as_slice()).map_err(D::Error::custom)
}

/// For a message that is shared.
pub(super) mod shared {
    use std::sync::Arc;

    use super::{Deserializer, Message, Serializer};

    pub(crate) fn serialize<M: Message, S: Serializer>(message: &Arc<M>, serializer: S) -> Result<S::Ok, S::Error> {
        super::serialize(&**message, serializer)
    }

    pub(crate) fn deserialize<'de, M: Message + Default, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<M>, D::Error> {
        super::deserialize(deserializer).map(Arc::new)
    }
}
