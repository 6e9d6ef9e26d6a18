//! Resources as canonical proto3 JSON, by their descriptors.
//!
//! Knows messages in general and no resource in particular; field names are lowerCamelCase, 64-bit integers strings,
//! times RFC 3339, and unset fields left out. The fields of an object are in the order of their names: prost-reflect keeps
//! maps in no order, and equal resources should print alike.

use std::sync::LazyLock;

use prost::Name;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;

use crate::{
    cli::{exit::Exit, failure::Failure},
    proto::DESCRIPTORS,
};

/// One resource.
pub(in crate::cli) fn resource<M: Name>(message: &M) -> Result<Value, Failure> {
    object(&descriptor::<M>()?, message)
}

/// Resources in a list.
pub(in crate::cli) fn resources<M: Name>(messages: &[M]) -> Result<Vec<Value>, Failure> {
    let descriptor = descriptor::<M>()?;
    messages.iter().map(|message| object(&descriptor, message)).collect()
}

/// The descriptors, decoded once: that takes longer than a message does.
static POOL: LazyLock<Result<DescriptorPool, String>> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).map_err(|error| error.to_string()));

fn descriptor<M: Name>() -> Result<MessageDescriptor, Failure> {
    let pool = POOL.as_ref().map_err(broken)?;
    pool.get_message_by_name(&M::full_name()).ok_or_else(|| broken("its type has no descriptor"))
}

fn object<M: Name>(descriptor: &MessageDescriptor, message: &M) -> Result<Value, Failure> {
    let message = DynamicMessage::decode(descriptor.clone(), message.encode_to_vec().as_slice()).map_err(broken)?;
    serde_json::to_value(message).map_err(broken)
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
        let list = resources(&[execution]).expect("valid");
        assert_eq!(list, [expected]);
    }
}
