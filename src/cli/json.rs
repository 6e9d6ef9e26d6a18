//! Resources as canonical proto3 JSON, by their descriptors.
//!
//! Knows messages in general and no resource in particular; field names are lowerCamelCase, 64-bit integers strings,
//! times RFC 3339, and unset fields left out.

use prost::Name;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;

use super::{exit::Exit, failure::Failure};
use crate::proto::DESCRIPTORS;

/// One resource.
pub(super) fn resource<M: Name>(message: &M) -> Result<Value, Failure> {
    Converter::new::<M>()?.convert(message)
}

/// Resources in a list.
pub(super) fn resources<M: Name>(messages: &[M]) -> Result<Value, Failure> {
    let converter = Converter::new::<M>()?;
    messages.iter().map(|message| converter.convert(message)).collect()
}

struct Converter(prost_reflect::MessageDescriptor);

impl Converter {
    fn new<M: Name>() -> Result<Self, Failure> {
        let pool = DescriptorPool::decode(DESCRIPTORS).map_err(broken)?;
        let descriptor = pool.get_message_by_name(&M::full_name()).ok_or_else(|| broken("not in the descriptors"))?;
        Ok(Self(descriptor))
    }

    fn convert<M: Name>(&self, message: &M) -> Result<Value, Failure> {
        let message = DynamicMessage::decode(self.0.clone(), message.encode_to_vec().as_slice()).map_err(broken)?;
        serde_json::to_value(message).map_err(broken)
    }
}

/// What only an answer of the service that JSON cannot hold can cause, such as a time out of range.
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
        assert_eq!(resource(&execution).expect("valid"), expected);
        assert_eq!(resources(&[execution]).expect("valid"), json!([expected]));
    }
}
