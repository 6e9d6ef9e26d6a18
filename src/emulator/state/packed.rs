//! Protobuf values as fields of what serde writes: messages as base64 of their encoding, which keeps what they are as they
//! change, and enums as their numbers.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost::Message;
use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error};

pub(super) fn serialize<M: Message, S: Serializer>(message: &M, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&pack(message))
}

pub(super) fn deserialize<'de, M: Message + Default, D: Deserializer<'de>>(deserializer: D) -> Result<M, D::Error> {
    unpack(&String::deserialize(deserializer)?)
}

fn pack(message: &impl Message) -> String {
    BASE64_STANDARD.encode(message.encode_to_vec())
}

fn unpack<M: Message + Default, E: Error>(text: &str) -> Result<M, E> {
    let bytes = BASE64_STANDARD.decode(text).map_err(E::custom)?;
    M::decode(bytes.as_slice()).map_err(E::custom)
}

/// For a message that is shared.
pub(super) mod shared {
    use std::sync::Arc;

    use super::*;

    pub(crate) fn serialize<M: Message, S: Serializer>(message: &Arc<M>, serializer: S) -> Result<S::Ok, S::Error> {
        super::serialize(&**message, serializer)
    }

    pub(crate) fn deserialize<'de, M: Message + Default, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<M>, D::Error> {
        super::deserialize(deserializer).map(Arc::new)
    }
}

/// For a message that may be missing.
pub(super) mod optional {
    use super::*;

    pub(crate) fn serialize<M: Message, S: Serializer>(message: &Option<M>, serializer: S) -> Result<S::Ok, S::Error> {
        message.as_ref().map(pack).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, M: Message + Default, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<M>, D::Error> {
        Option::<String>::deserialize(deserializer)?.as_deref().map(unpack).transpose()
    }
}

/// For a value of an enum.
pub(super) mod number {
    use super::*;

    pub(crate) fn serialize<E: Copy + Into<i32>, S: Serializer>(value: &E, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32((*value).into())
    }

    pub(crate) fn deserialize<'de, E: TryFrom<i32>, D: Deserializer<'de>>(deserializer: D) -> Result<E, D::Error> {
        let number = i32::deserialize(deserializer)?;
        E::try_from(number).map_err(|_| D::Error::custom(format_args!("{number} is no value of its enum")))
    }
}
