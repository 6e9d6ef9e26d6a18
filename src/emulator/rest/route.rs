//! Which RPC a method and a path stand for, and which fields the path holds: `google.api.http` and `google.api.routing`.

use http::{Method, uri::PathAndQuery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prost_reflect::{DescriptorPool, ExtensionDescriptor, MessageDescriptor, MethodDescriptor, Value};
use tonic::{Status, metadata::AsciiMetadataValue};

use super::template::{Path, PathFields, Template};
use crate::proto::api::{HttpRule, RoutingRule, http_rule::Pattern};

/// What Cloud Run has. Rules with another version are the defaults of interfaces that many services share.
const VERSION: &str = "/v2/";
/// As Google's clients encode the value of a routing header.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The rules of the shared interface `google.longrunning.Operations`, as Cloud Run's service configuration replaces them
/// (api-facts 5); all other rules stand in the protos. It has none for CancelOperation, which is here to be UNIMPLEMENTED
/// as it is over gRPC.
fn replaced() -> [(&'static str, HttpRule); 5] {
    const OPERATION: &str = "/v2/{name=projects/*/locations/*/operations/*}";
    const OPERATIONS: &str = "/v2/{name=projects/*/locations/*}/operations";
    let rule = |pattern| HttpRule { pattern: Some(pattern), ..HttpRule::default() };
    let verb = |verb| HttpRule { body: "*".into(), ..rule(Pattern::Post(format!("{OPERATION}:{verb}"))) };
    [
        ("google.longrunning.Operations.GetOperation", rule(Pattern::Get(OPERATION.into()))),
        ("google.longrunning.Operations.ListOperations", rule(Pattern::Get(OPERATIONS.into()))),
        ("google.longrunning.Operations.DeleteOperation", rule(Pattern::Delete(OPERATION.into()))),
        ("google.longrunning.Operations.WaitOperation", verb("wait")),
        ("google.longrunning.Operations.CancelOperation", verb("cancel")),
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
            let more = rule.as_ref().map(|rule| rule.additional_bindings.clone()).unwrap_or_default();
            let rules = rule.into_iter().chain(more);
            bindings.extend(rules.filter_map(|rule| Binding::new(&method, rule, &routing)));
        }
        Self(bindings)
    }

    /// The RPC, and what the path says of its request.
    pub(super) fn find(&self, method: &Method, path: &str) -> Result<(&Binding, PathFields), Status> {
        let decoded = Path::parse(path)?;
        let found = self.0.iter().filter(|binding| binding.method == *method);
        let mut found = found.filter_map(|binding| Some((binding, binding.template.variables(&decoded)?)));
        let unknown = || Status::not_found(format!("{method} {path} is no method of this API."));
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
    pub(super) fn routing(&self, variables: &PathFields) -> Option<AsciiMetadataValue> {
        let value = |field: &str| variables.iter().find(|(name, _)| name == field).map(|(_, value)| value.clone());
        let annotated = self.routing.iter().filter_map(|(field, template)| match template {
            None => Some(vec![(field.clone(), value(field)?)]),
            Some(template) => template.variables(&Path::of_name(&value(field)?)),
        });
        let annotated: PathFields = annotated.flatten().collect();
        let parameters = if self.routing.is_empty() { variables } else { &annotated };
        let parameters =
            parameters.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, RESERVED)));
        AsciiMetadataValue::try_from(parameters.collect::<Vec<_>>().join("&")).ok()
    }
}

/// An option of an RPC, as the message it is.
fn option<M: prost::Message + Default>(
    method: &MethodDescriptor,
    extension: Option<&ExtensionDescriptor>,
) -> Option<M> {
    let extension = extension?;
    let options = method.options();
    match options.get_extension(extension).as_ref() {
        Value::Message(message) => message.transcode_to().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::DESCRIPTORS;

    fn pool() -> DescriptorPool {
        DescriptorPool::decode(DESCRIPTORS).expect("valid")
    }

    #[test]
    fn every_rpc_of_the_protos_has_a_route() {
        let Routes(bindings) = Routes::new(&pool());
        let services = ["google.cloud.run.v2.Jobs", "google.cloud.run.v2.Executions", "google.cloud.run.v2.Tasks"];
        for service in services.into_iter().chain(["google.longrunning.Operations"]) {
            let service = pool().get_service_by_name(service).expect("it is there");
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                assert!(bindings.iter().any(|binding| binding.rpc == path), "{path}");
            }
        }
    }

    /// api-facts 6: annotated for most of Jobs, the names in the path for all others.
    #[test]
    fn a_call_is_routed_as_clients_route_it() {
        let routes = Routes::new(&pool());
        let job = "/v2/projects/p/locations/l/jobs/j";
        let name = "projects%2Fp%2Flocations%2Fl%2Fjobs%2Fj";
        for (method, path, expected) in [
            (Method::GET, job.to_owned(), "location=l".to_owned()),
            (Method::GET, "/v2/projects/p/locations/l/jobs".to_owned(), "location=l".to_owned()),
            (Method::PATCH, job.to_owned(), "location=l".to_owned()),
            (Method::POST, format!("{job}:run"), "location=l".to_owned()),
            (Method::GET, format!("{job}:getIamPolicy"), format!("resource={name}")),
            (Method::GET, format!("{job}/executions"), format!("parent={name}")),
            (Method::DELETE, format!("{job}/executions/e"), format!("name={name}%2Fexecutions%2Fe")),
        ] {
            let (binding, variables) = routes.find(&method, &path).expect("it is there");
            assert_eq!(binding.routing(&variables).expect("text"), expected, "{method} {path}");
        }
    }
}
