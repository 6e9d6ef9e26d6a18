//! The truth of one conversation: what took effect, what became of it, and true answers about it.
//!
//! Knows the API and no bytes of HTTP/2.

use std::sync::Arc;

use prost::Message as _;
use prost_types::Any;
use runjob::proto::{
    longrunning::{self, operation},
    rpc,
    run::v2::{
        Condition, Container, EnvVar, Execution, Job, ListExecutionsRequest, ListExecutionsResponse, ListTasksResponse,
        RunJobRequest, Task, TaskAttemptResult, TaskTemplate, UpdateJobRequest,
        condition::{ExecutionReason, Reasons, State},
        env_var, job,
    },
};
use tokio::time::{Duration, Instant};

use crate::script::{Body, End, Mark, Method, Next, OpResult, Reply, Script, Start, Step, Whose};

pub(crate) const JOB: &str = "projects/acme/locations/asia-northeast1/jobs/shot";
pub(crate) const KEY: &str = "order-1";
pub(crate) const TOKEN: &str = "order-1";
const LOCATION: &str = "projects/acme/locations/asia-northeast1";
const VARIABLE: &str = "RUNJOB_START_KEY";
/// A time of the service, in seconds.
const NOW: i64 = 1_790_000_000;

const NOT_FOUND: i32 = 5;
const ABORTED: i32 = 10;

/// What is true, and what was asked.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) script: Arc<Script>,
    /// The ids of the executions that exist because of this caller's requests.
    pub(crate) started: Vec<String>,
    /// When the first of them came to be.
    since: Option<Instant>,
    /// What was there before.
    earlier: Option<String>,
    /// The execution that the request at hand is about.
    own: Option<String>,
    begun: Instant,
    pub(crate) asked: [usize; Method::ALL.len()],
    /// Something wrong that the client wrote.
    pub(crate) miswritten: Option<String>,
    token: Option<String>,
    generation: u64,
    /// What the peer has shown, for the rules of old clients.
    pub(crate) seen: Seen,
}

/// What an old client would have judged by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Bytes that are no SETTINGS frame came first on a connection that carried a start.
    pub(crate) first_is_odd: bool,
    pub(crate) refused_after_message: bool,
    pub(crate) refused_in_open_head: bool,
    pub(crate) failed_operation: bool,
    pub(crate) bad_details: bool,
    /// An execution that is not ours was listed with our key.
    pub(crate) foreign_match: Option<String>,
    pub(crate) foreign_job: bool,
}

/// One request, as read.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) message: Vec<u8>,
}

impl World {
    pub(crate) fn new(script: Arc<Script>) -> Self {
        let earlier =
            (script.caller.earlier && script.caller.start != Start::Plain).then(|| match script.caller.start {
                Start::Token => format!("shot-{TOKEN}"),
                _ => "shot-first".to_owned(),
            });
        Self {
            script,
            started: Vec::new(),
            since: None,
            earlier,
            own: None,
            begun: Instant::now(),
            asked: [0; Method::ALL.len()],
            miswritten: None,
            token: None,
            generation: 1,
            seen: Seen::default(),
        }
    }

    /// What the script says of this request, which is counted.
    pub(crate) fn next_reply(&mut self, method: Method) -> Reply {
        let replies = &self.script.answers[method as usize];
        let nth = self.asked[method as usize];
        let scripted = replies.get(nth).or_else(|| replies.last().filter(|last| last.forever));
        let reply = scripted.cloned().unwrap_or_else(|| Reply { steps: vec![Step::Honest], ..Reply::default() });
        self.asked[method as usize] += 1;
        reply
    }

    /// Whether a service may still not know the execution: in the first second after its start.
    pub(crate) fn may_be_unseen(&self) -> bool {
        self.earlier.is_none() && self.since.is_none_or(|since| since.elapsed() < Duration::from_secs(1))
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> usize {
        self.asked.iter().sum()
    }

    /// Whether this execution exists and is the caller's.
    pub(crate) fn is_true(&self, execution: &str) -> bool {
        self.started.iter().chain(&self.earlier).any(|id| {
            let ours = format!("{JOB}/executions/{id}");
            execution == ours || execution == ours.replace("/acme/", "/4711/")
        })
    }

    /// Finds the execution that a request is about, if it exists.
    fn consider(&mut self, request: &Request) {
        self.own = match request.method {
            Method::RunJob => self.started.last().cloned(),
            Method::GetExecution | Method::ListTasks => {
                let asked = named(&request.message);
                let id = asked.rsplit('/').next().unwrap_or_default();
                self.is_true(&asked).then(|| id.to_owned())
            }
            Method::WaitOperation | Method::GetOperation => self.started.last().or(self.earlier.as_ref()).cloned(),
            _ => self.earlier.as_ref().or(self.started.first()).cloned(),
        };
    }

    /// Whether the execution is over now, and how.
    pub(crate) fn ended(&self) -> Option<End> {
        let since = if self.earlier.is_some() { self.begun } else { self.since? };
        let fate = self.script.fate;
        (fate.end != End::Never && since.elapsed() >= Duration::from_millis(fate.after_ms)).then_some(fate.end)
    }

    /// Carries the request out. Returns whether it took effect.
    pub(crate) fn process(&mut self, request: &Request) -> bool {
        match request.method {
            Method::RunJob => {
                let Ok(run) = RunJobRequest::decode(&request.message[..]) else { return false };
                if run.name != JOB {
                    self.miswritten = Some(format!("RunJob of {}", run.name));
                }
                if !run.validate_only {
                    self.start(format!("shot-{:05}", self.started.len() + 1));
                }
                !run.validate_only
            }
            Method::UpdateJob => {
                let Ok(update) = UpdateJobRequest::decode(&request.message[..]) else { return false };
                let job = update.job.unwrap_or_default();
                let is_ours = job.name == JOB || job.name == JOB.replace("/acme/", "/4711/");
                if !is_ours || job.annotations.get("mine").is_none_or(|mine| mine != "yes") {
                    self.miswritten = Some(format!("UpdateJob with {}", job.name));
                }
                let Some(job::CreateExecution::StartExecutionToken(token)) = job.create_execution else { return false };
                if job.etag != self.etag() {
                    return false;
                }
                self.generation += 1;
                let id = format!("shot-{token}");
                self.token = Some(token);
                let is_new = !self.started.contains(&id) && self.earlier.as_ref() != Some(&id);
                if is_new {
                    self.start(id);
                }
                true
            }
            _ => false,
        }
    }

    fn start(&mut self, id: String) {
        self.since.get_or_insert_with(Instant::now);
        self.started.push(id);
    }

    fn etag(&self) -> String {
        format!("\"{}\"", self.generation)
    }

    /// What a service answers: a message, or a status.
    pub(crate) fn honest(&mut self, request: &Request, took_effect: bool) -> Result<Vec<u8>, i32> {
        self.consider(request);
        match request.method {
            Method::UpdateJob if !took_effect => return Err(ABORTED),
            Method::GetExecution if self.own.is_none() || self.ended() == Some(End::Deleted) => return Err(NOT_FOUND),
            Method::GetOperation | Method::WaitOperation | Method::ListTasks
                if self.own.is_none() || self.ended() == Some(End::Deleted) =>
            {
                return Err(NOT_FOUND);
            }
            _ => {}
        }
        let whose = if self.own.is_some() { Whose::Own } else { Whose::Nameless };
        Ok(self.about(request.method, whose))
    }

    /// A message of this body for the request. What would be a lie that nobody can see through is about another job.
    pub(crate) fn message(&mut self, request: &Request, body: &Body) -> Vec<u8> {
        let method = request.method;
        self.consider(request);
        match body {
            Body::About(whose) => {
                let whose = self.tellable(method, *whose);
                self.note_foreign(method, whose, Mark::Key);
                self.about(method, whose)
            }
            Body::Operation { name, done, metadata, result } => {
                let metadata = metadata.map(|whose| self.tellable(method, whose));
                let result = match *result {
                    OpResult::Response(whose) => OpResult::Response(self.tellable(method, whose)),
                    other => other,
                };
                self.operation(*name, *done, metadata, result).encode_to_vec()
            }
            Body::Page { item, next } => {
                let item = item.map(|(whose, mark)| (self.tellable(method, whose), mark));
                if let Some((whose, mark)) = item {
                    self.note_foreign(method, whose, mark);
                }
                self.page(request, item, *next)
            }
            Body::Empty => Vec::new(),
            Body::Garbage(length) => vec![0xff; *length],
            Body::Cut(keep) => {
                let mut message = self.about(method, self.tellable(method, Whose::Own));
                message.truncate(*keep);
                message
            }
            Body::Padded(length) => {
                let mut message = self.about(method, self.tellable(method, Whose::Own));
                // Field 999, of bytes, which no message here has.
                prost::encoding::bytes::encode(999, &vec![b'x'; *length], &mut message);
                message
            }
        }
    }

    fn note_foreign(&mut self, method: Method, whose: Whose, mark: Mark) {
        let is_foreign = matches!(whose, Whose::OtherProject | Whose::OtherRegion | Whose::OtherJob);
        if is_foreign && method == Method::ListExecutions && mark == Mark::Key {
            self.seen.foreign_match = Some(self.execution_name(whose));
        }
        if is_foreign && method == Method::GetJob {
            self.seen.foreign_job = true;
        }
    }

    /// A peer that gives another execution of the same job for the one that it has started, or one that is not there
    /// for started, cannot be seen through.
    fn tellable(&self, method: Method, whose: Whose) -> Whose {
        match whose {
            Whose::Own | Whose::OwnByNumber if self.own.is_none() => Whose::OtherJob,
            Whose::OtherExecution if method.starts() => Whose::OtherJob,
            // A list tells what a caller cannot know otherwise.
            Whose::OtherExecution if method == Method::ListExecutions => Whose::OtherJob,
            other => other,
        }
    }

    fn about(&self, method: Method, whose: Whose) -> Vec<u8> {
        match method {
            Method::RunJob | Method::GetOperation | Method::WaitOperation => {
                let is_own = matches!(whose, Whose::Own | Whose::OwnByNumber);
                let done = if is_own { self.ended().is_some_and(|end| end != End::Deleted) } else { true };
                let result = if done { OpResult::Response(whose) } else { OpResult::None };
                self.operation(whose, done, Some(whose), result).encode_to_vec()
            }
            Method::UpdateJob => longrunning::Operation {
                name: format!("{LOCATION}/operations/update"),
                metadata: Some(any(&self.job(Whose::Own))),
                ..Default::default()
            }
            .encode_to_vec(),
            Method::GetExecution => self.execution(whose, Mark::Key).encode_to_vec(),
            Method::ListExecutions => {
                let executions = if whose == Whose::Nameless && self.own.is_none() {
                    Vec::new()
                } else {
                    vec![self.execution(whose, Mark::Key)]
                };
                ListExecutionsResponse { executions, next_page_token: String::new() }.encode_to_vec()
            }
            Method::GetJob => self.job(if whose == Whose::Nameless { Whose::Own } else { whose }).encode_to_vec(),
            Method::ListTasks => {
                ListTasksResponse { tasks: vec![self.task(whose)], next_page_token: String::new() }.encode_to_vec()
            }
        }
    }

    fn page(&self, request: &Request, item: Option<(Whose, Mark)>, next: Next) -> Vec<u8> {
        // `page_token` is field 3 of ListTasksRequest too.
        let came = ListExecutionsRequest::decode(&request.message[..]).unwrap_or_default().page_token;
        let next_page_token = match next {
            Next::None => String::new(),
            Next::Same => "again".to_owned(),
            Next::New => (came.parse::<u64>().unwrap_or(0) + 1).to_string(),
        };
        if request.method == Method::ListTasks {
            let tasks = item.map(|(whose, _)| self.task(whose)).into_iter().collect();
            return ListTasksResponse { tasks, next_page_token }.encode_to_vec();
        }
        let executions = item.map(|(whose, mark)| self.execution(whose, mark)).into_iter().collect();
        ListExecutionsResponse { executions, next_page_token }.encode_to_vec()
    }

    fn operation(&self, name: Whose, done: bool, metadata: Option<Whose>, result: OpResult) -> longrunning::Operation {
        let result = match result {
            OpResult::None => None,
            OpResult::Error(code) => {
                Some(operation::Result::Error(rpc::Status { code, message: "made up".to_owned(), details: Vec::new() }))
            }
            OpResult::Response(whose) => Some(operation::Result::Response(any(&self.execution(whose, Mark::Key)))),
        };
        let name = match name {
            Whose::Malformed => "operations".to_owned(),
            Whose::Nameless => String::new(),
            whose => format!("{}/operations/op", location(whose)),
        };
        longrunning::Operation {
            name,
            metadata: metadata.map(|whose| any(&self.execution(whose, Mark::Key))),
            done,
            result,
        }
    }

    pub(crate) fn execution_name(&self, whose: Whose) -> String {
        let id = self.own.as_deref().unwrap_or("shot-none");
        match whose {
            Whose::Own | Whose::OwnByNumber | Whose::OtherProject | Whose::OtherRegion => {
                format!("{}/jobs/shot/executions/{id}", location(whose))
            }
            Whose::OtherJob => format!("{LOCATION}/jobs/zzz/executions/zzz-00001"),
            Whose::OtherExecution => format!("{JOB}/executions/shot-other"),
            Whose::Malformed => format!("{JOB}/executions/"),
            Whose::Nameless => String::new(),
        }
    }

    /// An execution: ours as it is, and everybody else's a success.
    fn execution(&self, whose: Whose, mark: Mark) -> Execution {
        let is_own = matches!(whose, Whose::Own | Whose::OwnByNumber);
        let end = if is_own { self.ended() } else { Some(End::Succeeded) };
        let (state, reason) = match end {
            None => (State::ConditionReconciling, None),
            Some(End::Succeeded | End::Never) => (State::ConditionSucceeded, None),
            Some(End::Failed) => (State::ConditionFailed, Some(ExecutionReason::NonZeroExitCode)),
            Some(End::Cancelled) => (State::ConditionFailed, Some(ExecutionReason::Cancelled)),
            Some(End::Deleted) => (State::ConditionReconciling, None),
        };
        let count = |which: End| i32::from(end == Some(which));
        Execution {
            name: self.execution_name(whose),
            uid: "1".to_owned(),
            create_time: Some(prost_types::Timestamp { seconds: NOW, nanos: 0 }),
            completion_time: end
                .filter(|end| *end != End::Deleted)
                .map(|_| prost_types::Timestamp { seconds: NOW + 5, nanos: 0 }),
            job: "shot".to_owned(),
            task_count: 1,
            parallelism: 1,
            template: Some(template(mark)),
            conditions: vec![Condition {
                r#type: "Completed".to_owned(),
                state: state.into(),
                reasons: reason.map(|reason| Reasons::ExecutionReason(reason.into())),
                ..Condition::default()
            }],
            running_count: i32::from(end.is_none()),
            succeeded_count: count(End::Succeeded),
            failed_count: count(End::Failed),
            cancelled_count: count(End::Cancelled),
            ..Execution::default()
        }
    }

    fn task(&self, whose: Whose) -> Task {
        let execution = self.execution_name(whose);
        let id = execution.rsplit('/').next().unwrap_or_default();
        Task {
            name: format!("{execution}/tasks/{id}-task0"),
            conditions: vec![Condition {
                r#type: "Completed".to_owned(),
                state: State::ConditionFailed.into(),
                ..Condition::default()
            }],
            last_attempt_result: Some(TaskAttemptResult {
                status: Some(rpc::Status { code: 10, message: "exit 3".to_owned(), details: Vec::new() }),
                exit_code: 3,
                term_signal: 0,
            }),
            ..Task::default()
        }
    }

    fn job(&self, whose: Whose) -> Job {
        let name = match whose {
            Whose::OtherJob | Whose::OtherExecution => format!("{LOCATION}/jobs/zzz"),
            Whose::Malformed => "jobs".to_owned(),
            Whose::Nameless => String::new(),
            whose => format!("{}/jobs/shot", location(whose)),
        };
        let mine = if matches!(whose, Whose::Own | Whose::OwnByNumber) { "yes" } else { "no" };
        Job {
            name,
            etag: self.etag(),
            annotations: [("mine".to_owned(), mine.to_owned())].into(),
            create_execution: self.token.clone().map(job::CreateExecution::StartExecutionToken),
            ..Job::default()
        }
    }
}

fn location(whose: Whose) -> &'static str {
    match whose {
        Whose::OwnByNumber => "projects/4711/locations/asia-northeast1",
        Whose::OtherProject => "projects/other/locations/asia-northeast1",
        Whose::OtherRegion => "projects/acme/locations/europe-west1",
        _ => LOCATION,
    }
}

fn template(mark: Mark) -> TaskTemplate {
    let (name, value) = match mark {
        Mark::Key => (VARIABLE, KEY.to_owned()),
        Mark::LongerKey => (VARIABLE, format!("{KEY}2")),
        Mark::OtherVariable => ("OTHER", KEY.to_owned()),
        Mark::None => return TaskTemplate::default(),
    };
    let variable = EnvVar { name: name.to_owned(), values: Some(env_var::Values::Value(value)) };
    TaskTemplate {
        containers: vec![Container { env: vec![variable], ..Container::default() }],
        ..TaskTemplate::default()
    }
}

fn any<M: prost::Message + prost::Name>(message: &M) -> Any {
    Any { type_url: format!("type.googleapis.com/{}", M::full_name()), value: message.encode_to_vec() }
}

/// The `name` of a request, which is field 1 of all of them.
fn named(message: &[u8]) -> String {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Named {
        #[prost(string, tag = "1")]
        name: String,
    }
    Named::decode(message).unwrap_or_default().name
}
