//! Reads a message from JSON, and refuses what does not fit it in the words of Google's parser (api-facts 4.2).
//!
//! What fits is for prost-reflect to say; here is only where it stopped, and what stands there.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::Value;
use serde_path_to_error::{Deserializer, Path, Segment, Track};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The message that an object is.
pub(super) fn read(message: &MessageDescriptor, object: &Value) -> Result<DynamicMessage, Status> {
    let mut track = Track::new();
    let read = DynamicMessage::deserialize(message.clone(), Deserializer::new(object, &mut track));
    read.map_err(|error| Position::of(&track.path(), message, object).refusal(&error.to_string()))
}

/// A field by either of its names.
pub(super) fn field(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name))
}

/// Something that no message could be read from.
pub(super) fn malformed(place: &str, reason: &str) -> Status {
    invalid(place, format!("Invalid JSON payload received. {reason}"))
}

pub(super) fn invalid(place: &str, text: String) -> Status {
    let details = ErrorDetails::with_bad_request_violation(place, text.clone());
    Status::with_error_details(Code::InvalidArgument, text, details)
}

/// Where reading stopped.
struct Position<'a> {
    /// In the names of the proto: `overrides.container_overrides[0].args`.
    path: String,
    value: &'a Value,
    /// The type of a field, or of the elements of a list.
    kind: Option<Kind>,
    /// The type of an object; none within a map.
    message: Option<MessageDescriptor>,
}

impl<'a> Position<'a> {
    fn of(path: &Path, message: &MessageDescriptor, root: &'a Value) -> Self {
        let mut place = Self { path: String::new(), value: root, kind: None, message: Some(message.clone()) };
        for segment in path {
            match segment {
                Segment::Seq { index } => {
                    place.path += &format!("[{index}]");
                    place.value = &place.value[index];
                }
                Segment::Map { key } => place.enter(key),
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        place
    }

    fn enter(&mut self, key: &str) {
        let field = self.message.take().and_then(|message| field(&message, key));
        let dot = if self.path.is_empty() { "" } else { "." };
        self.path += &format!("{dot}{}", field.as_ref().map_or(key, FieldDescriptor::name));
        self.value = &self.value[key];
        self.kind = field.filter(|field| !field.is_map()).map(|field| field.kind());
        self.message = self.kind.as_ref().and_then(Kind::as_message).cloned();
    }

    fn refusal(self, reason: &str) -> Status {
        let Self { path, value, kind, .. } = &self;
        match (self.stranger(), kind) {
            (Some(key), _) if path.is_empty() => malformed("", &format!("Unknown name \"{key}\": Cannot find field.")),
            (Some(key), _) => malformed(path, &format!("Unknown name \"{key}\" at '{path}': Cannot find field.")),
            (None, Some(kind)) => invalid(path, format!("Invalid value at '{path}' ({}), {value}", type_name(kind))),
            (None, None) => invalid(path, format!("Invalid value at '{path}': {reason}")),
        }
    }

    /// The first key of the object here that is no field.
    fn stranger(&self) -> Option<&'a str> {
        let (message, object) = (self.message.as_ref()?, self.value.as_object()?);
        object.keys().map(String::as_str).find(|key| field(message, key).is_none())
    }
}

/// As `google.protobuf.FieldDescriptorProto.Type` has it, and messages and enums by their URL.
fn type_name(kind: &Kind) -> String {
    let scalar = match kind {
        Kind::Message(message) => return format!("type.googleapis.com/{}", message.full_name()),
        Kind::Enum(values) => return format!("type.googleapis.com/{}", values.full_name()),
        Kind::Double => "DOUBLE",
        Kind::Float => "FLOAT",
        Kind::Int32 => "INT32",
        Kind::Int64 => "INT64",
        Kind::Uint32 => "UINT32",
        Kind::Uint64 => "UINT64",
        Kind::Sint32 => "SINT32",
        Kind::Sint64 => "SINT64",
        Kind::Fixed32 => "FIXED32",
        Kind::Fixed64 => "FIXED64",
        Kind::Sfixed32 => "SFIXED32",
        Kind::Sfixed64 => "SFIXED64",
        Kind::Bool => "BOOL",
        Kind::String => "STRING",
        Kind::Bytes => "BYTES",
    };
    format!("TYPE_{scalar}")
}
