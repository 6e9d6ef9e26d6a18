//! All that is there as canonical proto3 JSON, by the descriptors. Keys are sorted, so that equal things give equal texts.

use prost::Name;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};

use crate::{
    emulator::{engine::Engine, state::Everything},
    proto::DESCRIPTORS,
};

pub(crate) fn take(engine: &Engine) -> Value {
    let Everything { jobs, executions, tasks, operations } = engine.read(|machine| machine.everything());
    // What cannot be turned into JSON, which nothing that the emulator makes is, would be shown as null.
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap_or_default();
    json!({
        "jobs": list(&pool, &jobs),
        "executions": list(&pool, &executions),
        "tasks": list(&pool, &tasks),
        "operations": list(&pool, &operations),
    })
}

fn list<M: Name>(pool: &DescriptorPool, messages: &[M]) -> Vec<Value> {
    let Some(kind) = pool.get_message_by_name(&M::full_name()) else { return Vec::new() };
    let convert = |message: &M| {
        let message = DynamicMessage::decode(kind.clone(), message.encode_to_vec().as_slice()).ok()?;
        serde_json::to_value(message).ok()
    };
    messages.iter().map(|message| convert(message).unwrap_or_default()).collect()
}
