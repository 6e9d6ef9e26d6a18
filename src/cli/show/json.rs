//! Resources as canonical proto3 JSON, by their descriptors.
//!
//! Knows messages in general and no resource in particular; field names are lowerCamelCase, 64-bit integers strings,
//! times RFC 3339, and unset fields left out. The fields of an object are in the order of their names: prost-reflect keeps
//! maps in no order, and equal resources should print alike.

use std::{marker::PhantomData, sync::LazyLock};

use prost::Name;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::Serialize;
use serde_json::Value;

use crate::{
    cli::{exit::Exit, failure::Failure},
    proto::DESCRIPTORS,
};

/// One resource.
pub(in crate::cli) fn resource<M: Name>(message: &M) -> Result<Value, Failure> {
    ResourceKind::new()?.object(message)
}

/// A kind of resource, for many of them.
pub(in crate::cli) struct ResourceKind<M> {
    descriptor: MessageDescriptor,
    of: PhantomData<fn(M)>,
}

impl<M: Name> ResourceKind<M> {
    /// This kind, by its descriptor.
    pub(in crate::cli) fn new() -> Result<Self, Failure> {
        Ok(Self { descriptor: descriptor::<M>()?, of: PhantomData })
    }

    /// One of the kind.
    pub(in crate::cli) fn object(&self, message: &M) -> Result<Value, Failure> {
        let bytes = message.encode_to_vec();
        let message = DynamicMessage::decode(self.descriptor.clone(), bytes.as_slice()).map_err(broken)?;
        serde_json::to_value(message).map_err(broken)
    }
}

/// Something of ours, to stand beside a resource.
pub(in crate::cli) fn value(value: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(broken)
}

/// Reads a message from canonical proto3 JSON. An error says where it is, and not what stands there, which may be a secret.
pub(in crate::cli) fn read<M: Name + Default>(text: &str) -> Result<M, String> {
    let descriptor = descriptor::<M>().map_err(|failure| failure.message().to_owned())?;
    let wrong = |error: serde_json::Error| format!("column {} is not in the form of {}", error.column(), M::NAME);
    let mut reader = serde_json::Deserializer::from_str(text);
    let message = DynamicMessage::deserialize(descriptor, &mut reader).map_err(wrong)?;
    reader.end().map_err(wrong)?;
    message.transcode_to().map_err(|error| error.to_string())
}

/// The descriptors, decoded once: that takes longer than a message does.
static POOL: LazyLock<Result<DescriptorPool, String>> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).map_err(|error| error.to_string()));

/// The descriptor of a message.
pub(in crate::cli) fn descriptor<M: Name>() -> Result<MessageDescriptor, Failure> {
    let pool = POOL.as_ref().map_err(broken)?;
    pool.get_message_by_name(&M::full_name()).ok_or_else(|| broken("its type has no descriptor"))
}

/// What cannot happen to a message that was just decoded by the same descriptors, and is said all the same.
fn broken(cause: impl ToString) -> Failure {
    Failure::new(Exit::Other, format!("could not turn the answer into JSON: {}", cause.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::proto::run::v2::{Condition, Execution, condition};

    #[test]
    fn a_resource_is_canonical_proto3_json() {
        let execution = Execution {
            name: "projects/p/locations/r/jobs/j/executions/j-abcde".into(),
            generation: 1,
            task_count: 2,
            create_time: Some(prost_types::Timestamp { seconds: 0, nanos: 500_000_000 }),
            conditions: vec![Condition {
                r#type: "Completed".into(),
                state: condition::State::ConditionSucceeded.into(),
                ..Condition::default()
            }],
            ..Execution::default()
        };
        let expected = json!({
            "name": "projects/p/locations/r/jobs/j/executions/j-abcde",
            "generation": "1",
            "taskCount": 2,
            "createTime": "1970-01-01T00:00:00.500Z",
            "conditions": [{"type": "Completed", "state": "CONDITION_SUCCEEDED"}],
        });
        let one = resource(&execution).expect("valid");
        assert_eq!(one, expected);
    }
}
