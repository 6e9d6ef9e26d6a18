//! What gcloud speaks: the v1 API of Cloud Run jobs, as a translation to and from v2 over REST, and as much of Service
//! Usage, Resource Manager and Logging as its commands ask on the way.
//!
//! A layer in front of the v2 API: a request comes in, one or more v2 requests go in its place, and their JSON is
//! translated back. What is true, allowed or wrong is for v2 to say. The region is in the host, `us-central1-localhost`.

mod definition;
mod entries;
mod fields;
mod resource;
mod selector;

use std::{
    convert::Infallible,
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header, request::Parts};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use self::{fields::seconds, selector::Selector};
use super::{logs::Logs, rest::Handler, server::gate::Rules, synthetic};

const NAMESPACES: &str = "/apis/run.googleapis.com/v1/namespaces/";
const JOB_LABEL: &str = "run.googleapis.com/job";
const EXECUTION_LABEL: &str = "run.googleapis.com/execution";
/// Bytes in the body of one request, as in v2.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Of a list over several regions, which has no pages.
const ALL: &str = "1000";

/// The v2 API, with v1 in front of it.
#[derive(Clone, Debug)]
pub(crate) struct V1<S> {
    inner: S,
    rules: Arc<Rules>,
    logs: Arc<Logs>,
}

impl<S> V1<S> {
    pub(crate) fn new(inner: S, rules: Arc<Rules>, logs: Arc<Logs>) -> Self {
        Self { inner, rules, logs }
    }
}

impl<S: Handler<Future: 'static> + Sync> Service<Request<Body>> for V1<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(route) = Route::of(request.method(), request.uri()) else {
            return Box::pin(self.inner.call(request));
        };
        // The clone has not been asked whether it is ready, and this one has.
        let waiting = self.inner.clone();
        let inner = mem::replace(&mut self.inner, waiting);
        let (rules, logs) = (Arc::clone(&self.rules), Arc::clone(&self.logs));
        Box::pin(async move {
            if let Some(status) = rules.foreign(&request) {
                return Ok(V1Error::of(StatusCode::FORBIDDEN, "PERMISSION_DENIED", status.message()).response());
            }
            let (head, body) = request.into_parts();
            let call = V1Request { inner, head, rules, logs };
            let answer = match read(body).await {
                Ok(body) => call.answer(route, body).await,
                Err(failure) => Err(failure),
            };
            Ok(answer.map_or_else(V1Error::response, |answer| response(StatusCode::OK, &answer)))
        })
    }
}

/// What a request is about.
#[derive(Debug)]
enum Route {
    /// A job, execution or task of a namespace, or a list of them.
    Resource {
        project: String,
        kind: Kind,
        id: Option<String>,
        verb: Option<String>,
    },
    /// The same in v2, but for the version in its path.
    Renumbered(String),
    Project(String),
    Service(String, String),
    LogEntries,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Job,
    Execution,
    Task,
}

impl Route {
    fn of(method: &Method, uri: &Uri) -> Option<Self> {
        let path = uri.path();
        if path == "/v2/entries:list" && method == Method::POST {
            return Some(Self::LogEntries);
        }
        if let Some(rest) = path.strip_prefix("/v1/projects/") {
            return Self::of_project(method, rest, uri);
        }
        let mut segments = path.strip_prefix(NAMESPACES)?.split('/');
        let project = segments.next()?.to_owned();
        let kind = match segments.next()? {
            "jobs" => Kind::Job,
            "executions" => Kind::Execution,
            "tasks" => Kind::Task,
            _ => return None,
        };
        let last = segments.next();
        let (id, verb) = last.map_or((None, None), |last| match last.split_once(':') {
            Some((id, verb)) => (Some(id.to_owned()), Some(verb.to_owned())),
            None => (Some(last.to_owned()), None),
        });
        segments.next().is_none().then_some(Self::Resource { project, kind, id, verb })
    }

    fn of_project(method: &Method, rest: &str, uri: &Uri) -> Option<Self> {
        match rest.split('/').collect::<Vec<_>>().as_slice() {
            [project] if !project.contains(':') => Some(Self::Project((*project).to_owned())),
            [project, "services", service] => Some(Self::Service((*project).to_owned(), (*service).to_owned())),
            [_, "locations", _, "jobs", job] if is_about_policy(method, job) => {
                Some(Self::Renumbered(uri.path_and_query()?.as_str().replacen("/v1/", "/v2/", 1)))
            }
            _ => None,
        }
    }
}

/// Whether a method of a job is one of those that both versions have for its policy.
fn is_about_policy(method: &Method, job: &str) -> bool {
    let verb = job.split_once(':').map_or("", |(_, verb)| verb);
    match verb {
        "getIamPolicy" => method == Method::GET,
        "setIamPolicy" | "testIamPermissions" => method == Method::POST,
        _ => false,
    }
}

/// An answer that is an error, in the envelope of Google's APIs.
#[derive(Debug)]
struct V1Error(StatusCode, Value);

impl V1Error {
    fn of(code: StatusCode, status: &str, message: &str) -> Self {
        Self(code, json!({"error": {"code": code.as_u16(), "message": message, "status": status}}))
    }

    fn invalid(message: &str) -> Self {
        Self::of(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", message)
    }

    fn no_method() -> Self {
        Self::of(StatusCode::NOT_FOUND, "NOT_FOUND", "There is no such method in the part of v1 that is emulated.")
    }

    fn response(self) -> Response<Body> {
        response(self.0, &self.1)
    }
}

/// One request on its way.
struct V1Request<S> {
    inner: S,
    head: Parts,
    rules: Arc<Rules>,
    logs: Arc<Logs>,
}

impl<S: Handler + Sync> V1Request<S> {
    async fn answer(self, route: Route, body: Value) -> Result<Value, V1Error> {
        match route {
            Route::Renumbered(path) => {
                let body = (self.head.method == Method::POST).then_some(body);
                self.v2(self.head.method.clone(), &path, body.as_ref()).await
            }
            Route::Project(project) => {
                let number = synthetic::project_number(&project).to_string();
                Ok(json!({
                    "projectId": self.project_id(&project), "projectNumber": number, "name": project,
                    "lifecycleState": "ACTIVE",
                }))
            }
            Route::Service(project, service) => {
                Ok(json!({"name": format!("projects/{project}/services/{service}"), "state": "ENABLED"}))
            }
            Route::LogEntries => {
                let names = body["resourceNames"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let project = names.filter_map(|name| name.strip_prefix("projects/")).next().unwrap_or_default();
                Ok(entries::list(&self.logs, &self.project_id(project), &body))
            }
            Route::Resource { project, kind, id, verb } => {
                let project = self.project_id(&project);
                match id {
                    None if self.head.method == Method::GET => self.list(&project, kind).await,
                    None if self.head.method == Method::POST && kind == Kind::Job => self.create(&project, body).await,
                    None => Err(V1Error::no_method()),
                    Some(id) => self.single(&project, kind, &id, verb.as_deref(), body).await,
                }
            }
        }
    }

    /// Anything about one resource.
    async fn single(
        &self,
        project: &str,
        kind: Kind,
        id: &str,
        verb: Option<&str>,
        body: Value,
    ) -> Result<Value, V1Error> {
        let (path, present) = self.find(project, kind, id).await?;
        match (&self.head.method, kind, verb) {
            (&Method::GET, _, None) => Ok(kind.show(&present)),
            (&Method::PUT, Kind::Job, None) => {
                let mut job = definition::to_v2(&body);
                job["etag"] = resource::etag(&body["metadata"]["resourceVersion"]);
                let operation = self.v2(Method::PATCH, &path, Some(&job)).await?;
                Ok(kind.show(&operation["metadata"]))
            }
            (&Method::POST, Kind::Job, Some("run")) => {
                let operation = self.v2(Method::POST, &format!("{path}:run"), Some(&run_request(&body))).await?;
                Ok(Kind::Execution.show(&operation["metadata"]))
            }
            (&Method::POST, Kind::Execution, Some("cancel")) => {
                let operation = self.v2(Method::POST, &format!("{path}:cancel"), Some(&json!({}))).await?;
                Ok(kind.show(&operation["metadata"]))
            }
            (&Method::DELETE, Kind::Job | Kind::Execution, None) => {
                self.v2(Method::DELETE, &path, None).await?;
                Ok(json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}))
            }
            _ => Err(V1Error::no_method()),
        }
    }

    async fn create(&self, project: &str, body: Value) -> Result<Value, V1Error> {
        let id = body["metadata"]["name"].as_str().unwrap_or_default();
        let region = self.region().unwrap_or_else(|| self.regions(project).remove(0));
        let path = format!("/v2/projects/{project}/locations/{region}/jobs?jobId={id}");
        let operation = self.v2(Method::POST, &path, Some(&definition::to_v2(&body))).await?;
        Ok(Kind::Job.show(&operation["metadata"]))
    }

    /// One region's list, a page at a time, or that of all regions.
    async fn list(&self, project: &str, kind: Kind) -> Result<Value, V1Error> {
        let parameters: Vec<_> =
            form_urlencoded::parse(self.head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let parameter = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        let selector = Selector::parse(parameter("labelSelector"));
        let regions = self.region().map_or_else(|| self.regions(project), |region| vec![region]);
        let (size, token) = if regions.len() == 1 { (parameter("limit"), parameter("continue")) } else { (ALL, "") };
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("pageSize", size), ("pageToken", token)].into_iter().filter(|(_, value)| !value.is_empty()))
            .finish();
        let (mut items, mut next) = (Vec::new(), Value::Null);
        for region in &regions {
            let parent = kind.parent(&format!("/v2/projects/{project}/locations/{region}"), &selector);
            let page = self.v2(Method::GET, &format!("{parent}?{query}"), None).await?;
            let shown = page[kind.collection()].as_array().into_iter().flatten().map(|it| kind.show(it));
            items.extend(shown.filter(|shown| selector.takes(shown)));
            next = page["nextPageToken"].clone();
        }
        let mut list = json!({
            "apiVersion": "run.googleapis.com/v1", "kind": format!("{kind:?}List"), "items": items,
            "metadata": {"continue": next},
        });
        fields::prune(&mut list["metadata"]);
        Ok(list)
    }

    /// Where a resource is in v2, and what it is now. v1 does not say which job an execution belongs to, nor which
    /// execution a task: their ids begin with those.
    async fn find(&self, project: &str, kind: Kind, id: &str) -> Result<(String, Value), V1Error> {
        let regions = self.region().map_or_else(|| self.regions(project), |region| vec![region]);
        let mut missing = V1Error::no_method();
        for region in &regions {
            for name in kind.names(id) {
                let path = format!("/v2/projects/{project}/locations/{region}/{name}");
                match self.v2(Method::GET, &path, None).await {
                    Err(failure) if failure.0 == StatusCode::NOT_FOUND => missing = failure,
                    other => return other.map(|present| (path, present)),
                }
            }
        }
        Err(missing)
    }

    /// A v2 request in the name of this one's caller.
    async fn v2(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, V1Error> {
        let mut uri = self.head.uri.clone().into_parts();
        uri.path_and_query = Some(path.parse().map_err(|_| V1Error::invalid("The name is malformed."))?);
        let uri = Uri::from_parts(uri).map_err(|_| V1Error::invalid("The address is malformed."))?;
        let body = body.map_or_else(Body::empty, |body| Body::new(body.to_string()));
        let mut request = Request::new(body);
        (*request.method_mut(), *request.uri_mut()) = (method, uri);
        *request.headers_mut() = self.head.headers.clone();
        request.headers_mut().remove(header::CONTENT_LENGTH);
        request.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        *request.extensions_mut() = self.head.extensions.clone();
        let Ok(answer) = self.inner.clone().oneshot(request).await;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let answer = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() { Ok(answer) } else { Err(V1Error(status, answer)) }
    }

    /// The region that the request was addressed to.
    fn region(&self) -> Option<String> {
        region(&self.head.headers, &self.head.uri)
    }

    /// All regions of a project that have jobs, if only the one that gcloud's examples use.
    fn regions(&self, project: &str) -> Vec<String> {
        let regions = self.rules.engine.read(|machine| machine.regions(project));
        if regions.is_empty() { vec!["us-central1".to_owned()] } else { regions }
    }

    fn project_id(&self, project: &str) -> String {
        let id = self.rules.engine.read(|machine| machine.project_id(project).map(str::to_owned));
        id.unwrap_or_else(|| project.to_owned())
    }
}

impl Kind {
    fn collection(self) -> &'static str {
        match self {
            Self::Job => "jobs",
            Self::Execution => "executions",
            Self::Task => "tasks",
        }
    }

    fn show(self, v2: &Value) -> Value {
        match self {
            Self::Job => resource::job(v2),
            Self::Execution => resource::execution(v2),
            Self::Task => resource::task(v2),
        }
    }

    /// The v2 list that has what the selector takes.
    fn parent(self, location: &str, selector: &Selector) -> String {
        let value = |label| selector.value(label).unwrap_or("-");
        match self {
            Self::Job => format!("{location}/jobs"),
            Self::Execution => format!("{location}/jobs/{}/executions", value(JOB_LABEL)),
            Self::Task => {
                format!("{location}/jobs/{}/executions/{}/tasks", value(JOB_LABEL), value(EXECUTION_LABEL))
            }
        }
    }

    /// The v2 names that an id can stand for, the most likely one first.
    fn names(self, id: &str) -> Vec<String> {
        let (execution, task) = match id.rsplit_once("-task") {
            Some((execution, _)) if self == Self::Task => (execution, format!("/tasks/{id}")),
            _ => (id, String::new()),
        };
        match self {
            Self::Job => vec![format!("jobs/{id}")],
            Self::Execution | Self::Task => {
                let jobs = execution.rmatch_indices('-').map(|(end, _)| &execution[..end]);
                jobs.map(|job| format!("jobs/{job}/executions/{execution}{task}")).collect()
            }
        }
    }
}

/// A v2 start from a v1 start.
fn run_request(body: &Value) -> Value {
    let mut request = json!({"overrides": body["overrides"]});
    if let Some(overrides) = request["overrides"].as_object_mut()
        && let Some(timeout) = overrides.remove("timeoutSeconds")
    {
        overrides.insert("timeout".into(), seconds(&timeout));
    }
    fields::prune(&mut request);
    request
}

/// The first label of the host, without what stands for Google's: `us-central1-localhost`.
fn region(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.host())?;
    let name = host.split(':').next()?;
    let region = name.strip_suffix("-localhost").or_else(|| name.strip_suffix("-run.googleapis.com"))?;
    Some(region.to_owned())
}

async fn read(body: Body) -> Result<Value, V1Error> {
    let bytes: Bytes = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Err(V1Error::invalid("The body is too long, or did not come in.")),
    };
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).map_err(|error| V1Error::invalid(&format!("The body is not JSON: {error}.")))
}

fn response(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::new(format!("{value:#}\n")));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("application/json; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
