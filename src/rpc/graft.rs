//! Fields that our protos do not know, carried over from a message as it was read to a changed copy of it.
//!
//! Decoding drops these fields, so writing back what was decoded would remove them from the resource. Works on encoded
//! messages and knows from the descriptors which field holds which message. Knows nothing of jobs.

use std::{
    collections::{HashMap, VecDeque},
    sync::LazyLock,
};

use bytes::Buf as _;
use prost::{
    DecodeError, Message as _,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field},
};
use prost_types::{
    DescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

use crate::proto::DESCRIPTORS;

/// The fields of each message of our protos by number, by the message's full name with a dot before it.
static MESSAGES: LazyLock<HashMap<String, HashMap<u32, Field>>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("our own descriptors");
    let mut messages = HashMap::new();
    for file in &files.file {
        for message in &file.message_type {
            describe(&format!(".{}", file.package()), message, &mut messages);
        }
    }
    messages
});

/// What has to be known of a field.
struct Field {
    /// The message that it holds, if it holds one.
    message: Option<String>,
    is_repeated: bool,
    is_name: bool,
}

fn describe(parent: &str, message: &DescriptorProto, messages: &mut HashMap<String, HashMap<u32, Field>>) {
    let name = format!("{parent}.{}", message.name());
    for nested in &message.nested_type {
        describe(&name, nested, messages);
    }
    let is_map_entry = |of: &str| {
        message.nested_type.iter().any(|nested| {
            nested.options.as_ref().is_some_and(|options| options.map_entry()) && of.ends_with(nested.name())
        })
    };
    let fields = message.field.iter().map(|field| {
        let is_message = field.r#type() == Type::Message && !is_map_entry(field.type_name());
        let known = Field {
            message: is_message.then(|| field.type_name().to_owned()),
            is_repeated: field.label() == Label::Repeated,
            is_name: field.name() == "name" && field.r#type() == Type::String,
        };
        (u32::try_from(field.number()).unwrap_or_default(), known)
    });
    let fields = fields.collect();
    messages.insert(name, fields);
}

/// The message `changed`, with the unknown fields of `read`; `before` is `read` without them, and all three are encoded
/// messages of this full name.
///
/// An element of a list keeps its unknown fields if it is as it was, or else by its name, or else by its position in a list
/// that is as long as before. What was taken out of the message takes its unknown fields with it.
pub(super) fn graft(message: &str, read: &[u8], before: &[u8], changed: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let Some(fields) = MESSAGES.get(message) else { return Ok(changed.to_vec()) };
    let [read, before, changed] = [parts(read)?, parts(before)?, parts(changed)?];
    // Unknown fields first: where one of them is a member of a oneof, a member that the caller has set counts instead.
    let unknown = read.iter().filter(|part| !fields.contains_key(&part.number));
    let mut bytes: Vec<u8> = unknown.flat_map(|part| part.whole).copied().collect();
    let mut origins = HashMap::<u32, VecDeque<Preserved>>::new();
    for part in &changed {
        match (fields.get(&part.number), part.payload) {
            (Some(Field { message: Some(inner), is_repeated, .. }), Some(payload)) => {
                let origins = origins.entry(part.number).or_insert_with(|| {
                    let [read, before, changed] = [&read, &before, &changed].map(|parts| payloads(parts, part.number));
                    if *is_repeated { by_element(inner, &read, &before, &changed) } else { merged(&read, &before) }
                });
                let origin = origins.pop_front().unwrap_or_default();
                let grafted = graft(inner, &origin.read, &origin.before, payload)?;
                encode_key(part.number, WireType::LengthDelimited, &mut bytes);
                encode_varint(grafted.len() as u64, &mut bytes);
                bytes.extend(grafted);
            }
            _ => bytes.extend_from_slice(part.whole),
        }
    }
    Ok(bytes)
}

/// What an embedded message was before the change.
#[derive(Default)]
struct Preserved {
    read: Vec<u8>,
    before: Vec<u8>,
}

/// A field on the wire.
struct WireField<'a> {
    number: u32,
    /// With its key.
    whole: &'a [u8],
    /// The content of a string, of bytes, of a message.
    payload: Option<&'a [u8]>,
}

fn parts(mut bytes: &[u8]) -> Result<Vec<WireField<'_>>, DecodeError> {
    let mut parts = Vec::new();
    while bytes.has_remaining() {
        let whole = bytes;
        let (number, wire_type) = decode_key(&mut bytes)?;
        let value = bytes;
        skip_field(wire_type, number, &mut bytes, DecodeContext::default())?;
        let upto = |start: &'_ [u8]| start.len() - bytes.len();
        let mut payload = &value[..upto(value)];
        let has_payload = wire_type == WireType::LengthDelimited && decode_varint(&mut payload).is_ok();
        parts.push(WireField { number, whole: &whole[..upto(whole)], payload: has_payload.then_some(payload) });
    }
    Ok(parts)
}

fn payloads<'a>(parts: &[WireField<'a>], number: u32) -> Vec<&'a [u8]> {
    parts.iter().filter(|part| part.number == number).filter_map(|part| part.payload).collect()
}

/// Of a field that is not a list: encoded messages behind each other are one message.
fn merged(read: &[&[u8]], before: &[&[u8]]) -> VecDeque<Preserved> {
    VecDeque::from([Preserved { read: read.concat(), before: before.concat() }])
}

/// For each element of a changed list what it was before.
fn by_element(message: &str, read: &[&[u8]], before: &[&[u8]], changed: &[&[u8]]) -> VecDeque<Preserved> {
    let name = |element| name_in(message, element);
    let rules: [&dyn Fn(usize, usize) -> bool; 3] = [
        &|old, new| before[old] == changed[new],
        &|old, new| name(before[old]).is_some_and(|known| name(changed[new]) == Some(known)),
        &|old, new| old == new && before.len() == changed.len(),
    ];
    let mut origins: Vec<Option<usize>> = vec![None; changed.len()];
    for rule in rules {
        for new in 0..changed.len() {
            if origins[new].is_none() {
                let free = |old: &usize| !origins.contains(&Some(*old));
                origins[new] = (0..before.len()).filter(free).find(|&old| rule(old, new));
            }
        }
    }
    let origin = |old: usize| Preserved {
        read: read.get(old).copied().unwrap_or_default().to_vec(),
        before: before[old].to_vec(),
    };
    origins.into_iter().map(|old| old.map(origin).unwrap_or_default()).collect()
}

/// The value of the field `name` of this message.
fn name_in<'a>(message: &str, element: &'a [u8]) -> Option<&'a [u8]> {
    let fields = MESSAGES.get(message)?;
    let parts = parts(element).ok()?;
    let name = parts.iter().find(|part| fields.get(&part.number).is_some_and(|field| field.is_name))?;
    name.payload.filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::run::v2::{Container, ExecutionTemplate, Job, TaskTemplate};

    /// Field 999, a string, that no proto of ours has.
    fn unknown(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        prost::encoding::string::encode(999, &text.to_owned(), &mut bytes);
        bytes
    }

    fn container(name: &str, image: &str) -> Container {
        Container { name: name.to_owned(), image: image.to_owned(), ..Container::default() }
    }

    fn message(field: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_key(field, WireType::LengthDelimited, &mut bytes);
        encode_varint(content.len() as u64, &mut bytes);
        bytes.extend_from_slice(content);
        bytes
    }

    /// A job with an unknown field at each level, as the service sends it; that of a container says its name.
    fn job(containers: &[Container]) -> Vec<u8> {
        let containers = containers.iter().flat_map(|container| {
            message(1, &[container.encode_to_vec(), unknown(&format!("of {}", container.name))].concat())
        });
        let task = [containers.collect(), unknown("of the task template")].concat();
        let template = [message(5, &task), unknown("of the execution template")].concat();
        let known = Job { name: "j".to_owned(), ..Job::default() }.encode_to_vec();
        [known, unknown("of the job"), message(16, &template)].concat()
    }

    fn edited(read: &[u8], change: impl FnOnce(&mut Job)) -> Vec<u8> {
        let before = Job::decode(read).expect("a job");
        let mut changed = before.clone();
        change(&mut changed);
        let bytes = graft(".google.cloud.run.v2.Job", read, &before.encode_to_vec(), &changed.encode_to_vec());
        let bytes = bytes.expect("a job");
        assert_eq!(Job::decode(&bytes[..]).expect("a job"), changed, "what is known is as it was changed");
        bytes
    }

    fn containers(job: &mut Job) -> &mut Vec<Container> {
        let template: &mut ExecutionTemplate = job.template.as_mut().expect("a template");
        let task: &mut TaskTemplate = template.template.as_mut().expect("a task template");
        &mut task.containers
    }

    /// The image of each container, and what its unknown field says.
    fn seen(job: &[u8]) -> Vec<(String, String)> {
        let only = |bytes: &[u8], number| payloads(&parts(bytes).expect("a message"), number).concat();
        let task = only(&only(job, 16), 5);
        let of = |container: &[u8]| String::from_utf8(only(container, 999)).expect("text");
        let parts = parts(&task).expect("a message");
        let containers = payloads(&parts, 1).into_iter();
        containers.map(|bytes| (Container::decode(bytes).expect("a container").image, of(bytes))).collect()
    }

    #[test]
    fn unknown_fields_stay_at_every_level() {
        let bytes = edited(&job(&[container("a", "1")]), |job| {
            job.labels.insert("team".to_owned(), "red".to_owned());
            job.template.as_mut().expect("a template").task_count = 3;
            containers(job)[0].image = "2".to_owned();
        });
        for level in ["of the job", "of the execution template", "of the task template", "of a"] {
            let kept = bytes.windows(level.len()).filter(|window| *window == level.as_bytes()).count();
            assert_eq!(kept, 1, "{level}");
        }
    }

    #[test]
    fn an_element_of_a_list_keeps_its_own_and_one_that_is_gone_takes_them_with_it() {
        let read = job(&[container("a", "1"), container("b", "2")]);
        let pair = |image: &str, unknown: &str| (image.to_owned(), unknown.to_owned());
        let removed = edited(&read, |job| drop(containers(job).remove(0)));
        assert_eq!(seen(&removed), [pair("2", "of b")]);
        let reversed = edited(&read, |job| {
            containers(job).reverse();
            containers(job)[0].image = "3".to_owned();
        });
        assert_eq!(seen(&reversed), [pair("3", "of b"), pair("1", "of a")]);
        let added = edited(&read, |job| containers(job).insert(0, container("c", "4")));
        assert_eq!(seen(&added), [pair("4", ""), pair("1", "of a"), pair("2", "of b")]);
        let renamed = edited(&read, |job| containers(job)[1].name = "z".to_owned());
        assert_eq!(seen(&renamed), [pair("1", "of a"), pair("2", "of b")]);
        let cleared = edited(&read, |job| job.template = None);
        assert!(!cleared.windows(4).any(|window| window == b"of a"));
    }

    #[test]
    fn a_message_that_came_in_two_pieces_is_one() {
        let read = [message(16, &unknown("first")), message(16, &unknown("second"))].concat();
        let bytes = edited(&read, |job| job.template.as_mut().expect("a template").task_count = 2);
        let template = payloads(&parts(&bytes).expect("a job"), 16).concat();
        assert_eq!(payloads(&parts(&template).expect("a template"), 999).concat(), b"firstsecond");
    }

    #[test]
    fn bytes_that_are_no_message_are_an_error() {
        assert!(graft(".google.cloud.run.v2.Job", &[0xff; 3], &[], &[]).is_err());
    }
}
