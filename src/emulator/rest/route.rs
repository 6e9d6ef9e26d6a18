//! Which RPC a method and a path stand for, and which fields the path holds: `google.api.http` and `google.api.routing`.

use http::{Method, uri::PathAndQuery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use prost_reflect::{DescriptorPool, DynamicMessage, ExtensionDescriptor, MessageDescriptor, MethodDescriptor, Value};
use tonic::{Status, metadata::AsciiMetadataValue};

use super::answer::Failure;
use crate::proto::api::{HttpRule, RoutingRule, http_rule::Pattern};

/// What Cloud Run has. Rules with another version are the defaults of interfaces that many services share.
const VERSION: &str = "/v2/";
/// As Google's clients encode the value of a routing header.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The rules of the shared interface `google.longrunning.Operations`, as Cloud Run's service configuration replaces them
/// (api-facts 5). It publishes no CancelOperation. All other rules stand in the protos.
fn replaced() -> [(&'static str, HttpRule); 4] {
    const OPERATION: &str = "/v2/{name=projects/*/locations/*/operations/*}";
    let rule = |pattern| HttpRule { pattern: Some(pattern), ..HttpRule::default() };
    let wait = HttpRule { body: "*".into(), ..rule(Pattern::Post(format!("{OPERATION}:wait"))) };
    [
        ("google.longrunning.Operations.GetOperation", rule(Pattern::Get(OPERATION.into()))),
        ("google.longrunning.Operations.DeleteOperation", rule(Pattern::Delete(OPERATION.into()))),
        (
            "google.longrunning.Operations.ListOperations",
            rule(Pattern::Get("/v2/{name=projects/*/locations/*}/operations".into())),
        ),
        ("google.longrunning.Operations.WaitOperation", wait),
    ]
}

/// Every binding of an RPC to HTTP.
#[derive(Debug)]
pub(super) struct Routes(Vec<Binding>);

/// One RPC under one method and path.
#[derive(Debug)]
pub(super) struct Binding {
    method: Method,
    template: Template,
    /// The field that is the body; `*` for the whole message, empty for none.
    pub(super) body: String,
    pub(super) request: MessageDescriptor,
    pub(super) response: MessageDescriptor,
    /// The path of the RPC in gRPC.
    pub(super) rpc: PathAndQuery,
    /// The annotation of the routing header: fields, and the parts of them that it names.
    routing: Vec<(String, Option<Template>)>,
}

/// The fields that a path holds, in its order: their paths in the message, and their values.
pub(super) type Variables = Vec<(String, String)>;

impl Routes {
    pub(super) fn new(pool: &DescriptorPool) -> Self {
        let (http, routing) = ("google.api.http", "google.api.routing");
        let (http, routing) = (pool.get_extension_by_name(http), pool.get_extension_by_name(routing));
        let replaced = replaced();
        let mut bindings = Vec::new();
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let rule = replaced.iter().find(|(name, _)| *name == method.full_name()).map(|(_, rule)| rule.clone());
            let rule = rule.or_else(|| option(&method, http.as_ref()));
            let routing: RoutingRule = option(&method, routing.as_ref()).unwrap_or_default();
            let rules = rule.into_iter().flat_map(|rule| [vec![rule.clone()], rule.additional_bindings].concat());
            bindings.extend(rules.filter_map(|rule| Binding::new(&method, rule, &routing)));
        }
        Self(bindings)
    }

    /// The RPC, and what the path says of its request.
    pub(super) fn find(&self, method: &Method, path: &str) -> Result<(&Binding, Variables), Failure> {
        let decoded = Path::parse(path)?;
        let found = self.0.iter().filter(|binding| binding.method == *method);
        let mut found = found.filter_map(|binding| Some((binding, binding.template.variables(&decoded)?)));
        let unknown = || Failure::of(Status::not_found(format!("{method} {path} is no method of this API.")));
        found.next().ok_or_else(unknown)
    }
}

impl Binding {
    fn new(method: &MethodDescriptor, rule: HttpRule, routing: &RoutingRule) -> Option<Self> {
        let (verb, path) = match rule.pattern? {
            Pattern::Get(path) => (Method::GET, path),
            Pattern::Put(path) => (Method::PUT, path),
            Pattern::Post(path) => (Method::POST, path),
            Pattern::Delete(path) => (Method::DELETE, path),
            Pattern::Patch(path) => (Method::PATCH, path),
            Pattern::Custom(custom) => (custom.kind.parse().ok()?, custom.path),
        };
        let of_this_service = path.starts_with(VERSION);
        let parameters = routing.routing_parameters.iter().map(|parameter| {
            let template = Some(parameter.path_template.as_str()).filter(|template| !template.is_empty());
            (parameter.field.clone(), template.map(Template::parse))
        });
        of_this_service.then_some(Self {
            method: verb,
            template: Template::parse(&path),
            body: rule.body,
            request: method.input(),
            response: method.output(),
            rpc: format!("/{}/{}", method.parent_service().full_name(), method.name()).parse().ok()?,
            routing: parameters.collect(),
        })
    }

    /// The routing header that a client sends with the same call: annotated, or else all fields of the path.
    pub(super) fn routing(&self, variables: &Variables) -> Option<AsciiMetadataValue> {
        let value = |field: &str| variables.iter().find(|(name, _)| name == field).map(|(_, value)| value.clone());
        let annotated = self.routing.iter().filter_map(|(field, template)| match template {
            None => Some(vec![(field.clone(), value(field)?)]),
            Some(template) => template.variables(&Path::of_name(&value(field)?)),
        });
        let annotated: Variables = annotated.flatten().collect();
        let parameters = if self.routing.is_empty() { variables } else { &annotated };
        let parameters =
            parameters.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, RESERVED)));
        AsciiMetadataValue::try_from(parameters.collect::<Vec<_>>().join("&")).ok()
    }
}

/// A path with named parts: `/v2/{name=projects/*/jobs/*}:run`.
#[derive(Debug)]
struct Template {
    segments: Vec<Segment>,
    /// Name, first segment, and the one after the last.
    variables: Vec<(String, usize, usize)>,
    verb: Option<String>,
}

#[derive(Debug)]
enum Segment {
    Literal(String),
    One,
    /// As many as are left; only at the end.
    Rest,
}

impl Template {
    fn parse(text: &str) -> Self {
        let after_variables = text.rfind('}').map_or(0, |end| end + 1);
        let (text, verb) = match text[after_variables..].split_once(':') {
            Some((middle, verb)) => (&text[..after_variables + middle.len()], Some(verb.to_owned())),
            None => (text, None),
        };
        let mut template = Self { segments: Vec::new(), variables: Vec::new(), verb };
        let mut rest = text.trim_start_matches('/');
        while !rest.is_empty() {
            rest = match rest.strip_prefix('{').and_then(|open| open.split_once('}')) {
                Some((variable, after)) => {
                    let (name, pattern) = variable.split_once('=').unwrap_or((variable, "*"));
                    let first = template.segments.len();
                    template.segments.extend(pattern.split('/').map(Segment::parse));
                    template.variables.push((name.to_owned(), first, template.segments.len()));
                    after
                }
                None => {
                    let (segment, after) = rest.split_once('/').unwrap_or((rest, ""));
                    template.segments.push(Segment::parse(segment));
                    after
                }
            };
            rest = rest.trim_start_matches('/');
        }
        template
    }

    /// The values of the variables, when the path is one of these.
    fn variables(&self, path: &Path) -> Option<Variables> {
        let open = matches!(self.segments.last(), Some(Segment::Rest));
        let fits =
            if open { path.segments.len() >= self.segments.len() } else { path.segments.len() == self.segments.len() };
        let same = self.segments.iter().zip(&path.segments).all(|(segment, text)| match segment {
            Segment::Literal(literal) => literal == text,
            Segment::One | Segment::Rest => !text.is_empty(),
        });
        let value = |(name, first, end): &(String, usize, usize)| {
            let end = if open && *end == self.segments.len() { path.segments.len() } else { *end };
            (name.clone(), path.segments[*first..end].join("/"))
        };
        (fits && same && self.verb == path.verb).then(|| self.variables.iter().map(value).collect())
    }
}

impl Segment {
    fn parse(text: &str) -> Self {
        match text {
            "*" => Self::One,
            "**" => Self::Rest,
            literal => Self::Literal(literal.to_owned()),
        }
    }
}

/// The decoded segments of a path, and the verb behind its last colon.
#[derive(Debug)]
struct Path {
    segments: Vec<String>,
    verb: Option<String>,
}

impl Path {
    /// Decodes each segment by itself: an encoded slash must not make two of one.
    fn parse(path: &str) -> Result<Self, Failure> {
        let start = path.rfind('/').unwrap_or(0);
        let (path, verb) = match path[start..].rsplit_once(':') {
            Some((last, verb)) => (&path[..start + last.len()], Some(verb.to_owned())),
            None => (path, None),
        };
        let segments = path.trim_start_matches('/').split('/').map(|segment| {
            let segment = percent_decode_str(segment).decode_utf8().ok()?;
            (!segment.contains('/')).then(|| segment.into_owned())
        });
        let segments: Option<_> = segments.collect();
        let malformed = || Failure::of(Status::invalid_argument("The path holds an encoded slash, or is not UTF-8."));
        Ok(Self { segments: segments.ok_or_else(malformed)?, verb })
    }

    fn of_name(name: &str) -> Self {
        Self { segments: name.split('/').map(str::to_owned).collect(), verb: None }
    }
}

/// An option of an RPC, as the message it is.
fn option<M: prost::Message + Default>(
    method: &MethodDescriptor,
    extension: Option<&ExtensionDescriptor>,
) -> Option<M> {
    let extension = extension?;
    let options: DynamicMessage = method.options();
    if !options.has_extension(extension) {
        return None;
    }
    match options.get_extension(extension).as_ref() {
        Value::Message(message) => message.transcode_to().ok(),
        _ => None,
    }
}
