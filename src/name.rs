//! Resource names: parse, print, parent. No I/O.
//!
//! Knows the grammar of run/v2 names and nothing of what they point at. A value of these types is a name that
//! can be put on a request as it stands.

use std::{
    error::Error as StdError,
    fmt::{self, Display, Formatter, Write as _},
    str::FromStr,
    sync::Arc,
};

/// The id that stands for every resource of a collection in a list request (AIP-159).
const WILDCARD: &str = "-";

/// Few names are longer, in bytes.
const USUAL_LENGTH: usize = 160;

/// Where jobs live: `projects/{project}/locations/{region}`.
///
/// - `project` is a project id or number: lowercase letters, digits, `-`, and for domain-scoped projects `.` and `:`
/// - `region` is lowercase letters, digits and `-`
///
/// ```
/// use runjob::Location;
///
/// let here: Location = "projects/acme/locations/asia-northeast1".parse()?;
/// assert_eq!(here.region(), "asia-northeast1");
/// assert_eq!(here, Location::new("acme", "asia-northeast1")?);
/// assert!("projects/acme/regions/asia-northeast1".parse::<Location>().is_err());
/// # Ok::<(), runjob::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    // Shared like all parts of names, which are kept and handed on in many copies.
    project: Arc<str>,
    region: Arc<str>,
}

/// A job: `projects/{project}/locations/{region}/jobs/{job}`.
///
/// - `job` is at most 63 lowercase letters, digits and `-`, begins with a letter and does not end with `-`
/// - `-` alone stands for every job of the location, in lists only ([`is_wildcard`](Self::is_wildcard))
///
/// ```
/// use runjob::JobName;
///
/// let job: JobName = "projects/acme/locations/europe-west1/jobs/screenshot".parse()?;
/// assert_eq!(job.id(), "screenshot");
/// assert!("projects/acme/locations/europe-west1/jobs/../x".parse::<JobName>().is_err());
/// assert!("screenshot".parse::<JobName>().is_err());
/// # Ok::<(), runjob::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobName {
    location: Location,
    id: Arc<str>,
}

/// An execution of a job: `{job}/executions/{execution}`.
///
/// - `execution` is at most 127 lowercase letters, digits and `-`; the service makes it of the job's id and a suffix
/// - `-` alone stands for every execution, in lists only
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionName {
    job: JobName,
    id: Arc<str>,
}

/// A task of an execution: `{execution}/tasks/{task}`, where `task` is `{execution}-task{index}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskName {
    execution: ExecutionName,
    id: Arc<str>,
}

/// A long-running operation: `projects/{project}/locations/{region}/operations/{operation}`.
///
/// - `operation` is chosen by the service: a UUID today, at most 128 letters, digits, `-`, `_` and `.` to us
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationName {
    location: Location,
    id: Arc<str>,
}

impl Location {
    /// The location of this project and region.
    ///
    /// # Errors
    /// When either part is empty, too long, or has a character that the grammar above does not allow.
    pub fn new(project: impl Into<Arc<str>>, region: impl Into<Arc<str>>) -> Result<Self, NameError> {
        let (project, region) = (project.into(), region.into());
        PROJECT.check(&project)?;
        REGION.check(&region)?;
        Ok(Self { project, region })
    }

    /// The project's id or number.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The region, such as `us-central1`.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The job with this short id.
    ///
    /// # Errors
    /// When `id` is not a job id.
    pub fn job(&self, id: impl Into<Arc<str>>) -> Result<JobName, NameError> {
        let id = id.into();
        JOB.check_or_wildcard(&id)?;
        Ok(JobName { location: self.clone(), id })
    }

    /// Every job here, as the parent of a list: `{location}/jobs/-`.
    pub fn any_job(&self) -> JobName {
        JobName { location: self.clone(), id: WILDCARD.into() }
    }

    /// The operation with this short id.
    ///
    /// # Errors
    /// When `id` is not an operation id.
    pub fn operation(&self, id: impl Into<Arc<str>>) -> Result<OperationName, NameError> {
        let id = id.into();
        OPERATION.check(&id)?;
        Ok(OperationName { location: self.clone(), id })
    }

    /// The operation of this name in an answer, or none when it is not one of this location. The project is spelled as
    /// it is here.
    pub(crate) fn own_operation(&self, answered: &str) -> Option<OperationName> {
        let id = own_child(self, "operations", answered)?;
        self.operation(id).ok()
    }
}

impl JobName {
    /// Where the job lives.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The short id, as shown in `Execution.job`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether this is `-`: every job, good for lists only.
    pub fn is_wildcard(&self) -> bool {
        &*self.id == WILDCARD
    }

    /// The execution with this short id.
    ///
    /// # Errors
    /// When `id` is not an execution id.
    pub fn execution(&self, id: impl Into<Arc<str>>) -> Result<ExecutionName, NameError> {
        let id = id.into();
        EXECUTION.check_or_wildcard(&id)?;
        Ok(ExecutionName { job: self.clone(), id })
    }

    /// The execution of this name in an answer, or none when it is not one of this job, which is no wildcard. The project
    /// is spelled as it is here.
    pub(crate) fn own_execution(&self, answered: &str) -> Option<ExecutionName> {
        let id = own_child(self.single().ok()?, "executions", answered)?;
        EXECUTION.check(id).ok()?;
        Some(ExecutionName { job: self.clone(), id: id.into() })
    }

    /// This name, unless it stands for every job.
    ///
    /// # Errors
    /// When it is a wildcard.
    pub(crate) fn single(&self) -> Result<&Self, NameError> {
        if self.is_wildcard() { Err(NameError::wildcard("job name", self)) } else { Ok(self) }
    }

    /// Every execution of this job, as the parent of a list of tasks: `{job}/executions/-`.
    pub fn any_execution(&self) -> ExecutionName {
        ExecutionName { job: self.clone(), id: WILDCARD.into() }
    }
}

impl ExecutionName {
    /// The job this is an execution of.
    pub fn job(&self) -> &JobName {
        &self.job
    }

    /// Where the execution lives.
    pub fn location(&self) -> &Location {
        self.job.location()
    }

    /// The short id, such as `screenshot-x7k2p`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether this, or its job, is `-`: good for lists only.
    pub fn is_wildcard(&self) -> bool {
        &*self.id == WILDCARD || self.job.is_wildcard()
    }

    /// This name, unless it stands for every execution.
    ///
    /// # Errors
    /// When it, or its job, is a wildcard.
    pub(crate) fn single(&self) -> Result<&Self, NameError> {
        if self.is_wildcard() { Err(NameError::wildcard("execution name", self)) } else { Ok(self) }
    }

    /// The task with this short id.
    ///
    /// # Errors
    /// When `id` is not a task id.
    pub fn task(&self, id: impl Into<Arc<str>>) -> Result<TaskName, NameError> {
        let id = id.into();
        TASK.check(&id)?;
        Ok(TaskName { execution: self.clone(), id })
    }
}

impl TaskName {
    /// The execution this is a task of.
    pub fn execution(&self) -> &ExecutionName {
        &self.execution
    }

    /// The short id, such as `screenshot-x7k2p-task0`.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl OperationName {
    /// Where the operation lives.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The short id: a UUID.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl FromStr for Location {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let [project, region] = ids(text, "location name", ["projects", "locations"])?;
        Self::new(project, region).map_err(|e| e.within(text))
    }
}

impl FromStr for JobName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let [project, region, job] = ids(text, "job name", ["projects", "locations", "jobs"])?;
        Location::new(project, region).and_then(|at| at.job(job)).map_err(|e| e.within(text))
    }
}

impl FromStr for ExecutionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let [project, region, job, execution] =
            ids(text, "execution name", ["projects", "locations", "jobs", "executions"])?;
        Location::new(project, region)
            .and_then(|at| at.job(job))
            .and_then(|job| job.execution(execution))
            .map_err(|e| e.within(text))
    }
}

impl FromStr for TaskName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let [project, region, job, execution, task] =
            ids(text, "task name", ["projects", "locations", "jobs", "executions", "tasks"])?;
        Location::new(project, region)
            .and_then(|at| at.job(job))
            .and_then(|job| job.execution(execution))
            .and_then(|execution| execution.task(task))
            .map_err(|e| e.within(text))
    }
}

impl FromStr for OperationName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let [project, region, operation] = ids(text, "operation name", ["projects", "locations", "operations"])?;
        Location::new(project, region).and_then(|at| at.operation(operation)).map_err(|e| e.within(text))
    }
}

impl Display for Location {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_all(f, ["projects/", &self.project, "/locations/", &self.region])
    }
}

impl Display for JobName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.location.fmt(f)?;
        write_all(f, ["/jobs/", &self.id])
    }
}

impl Display for ExecutionName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.job.fmt(f)?;
        write_all(f, ["/executions/", &self.id])
    }
}

impl Display for TaskName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.execution.fmt(f)?;
        write_all(f, ["/tasks/", &self.id])
    }
}

impl Display for OperationName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.location.fmt(f)?;
        write_all(f, ["/operations/", &self.id])
    }
}

/// Names are printed for every request, and format strings would be the largest part of what a request costs here.
fn write_all<const N: usize>(f: &mut Formatter<'_>, parts: [&str; N]) -> fmt::Result {
    parts.into_iter().try_for_each(|part| f.write_str(part))
}

/// A name is kept as the text it prints as, and is checked when it is read back.
macro_rules! kept_as_text {
    ($($name:ty),+) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(<D::Error as serde::de::Error>::custom)
            }
        }
    )+};
}

pub(crate) use kept_as_text;

kept_as_text!(Location, JobName, ExecutionName, TaskName, OperationName);

/// A text that is not the name it was given for.
///
/// Display says which part is wrong, what it says, and what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    /// The whole name, where the part was found in one.
    name: Option<String>,
    what: &'static str,
    text: String,
    rule: String,
}

impl NameError {
    fn new(what: &'static str, text: &str, rule: impl Into<String>) -> Self {
        Self { name: None, what, text: excerpt(text), rule: rule.into() }
    }

    fn wildcard(what: &'static str, name: &impl Display) -> Self {
        Self::new(what, &name.to_string(), "it stands for many; name one, or list them")
    }

    fn within(self, name: &str) -> Self {
        Self { name: Some(excerpt(name)), ..self }
    }
}

impl Display for NameError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is not a valid {}", self.text, self.what)?;
        if let Some(name) = &self.name {
            write!(f, " in \"{name}\"")?;
        }
        write!(f, ": {}", self.rule)
    }
}

impl StdError for NameError {}

/// The text of a name, in one allocation: names are printed for every request.
pub(crate) fn text(name: &impl Display) -> String {
    let mut text = String::with_capacity(USUAL_LENGTH);
    // Only an allocation could fail, and that aborts.
    let _ = write!(text, "{name}");
    text
}

/// Whether an answer that is named `answered` is about what was asked for as `asked`.
///
/// The project may be spelled by its id in one of them and by its number in the other. Nothing else may differ.
pub(crate) fn is_same(asked: &(impl Display + ?Sized), answered: &str) -> bool {
    let mut rest = Unprinted(answered);
    if write!(rest, "{asked}").is_ok() && rest.0.is_empty() {
        return true;
    }
    let asked = asked.to_string();
    let mut answered = answered.split('/');
    is_beginning(&asked, &mut answered, false) && answered.next().is_none()
}

/// Whether `answered` names a resource of this collection under `parent`, in which `-` stands for any id.
pub(crate) fn is_child(parent: &impl Display, collection: &str, answered: &str) -> bool {
    child(parent, collection, answered).is_some()
}

/// As [`child`], for a parent without a wildcard, which an answer mostly spells as it was asked for.
fn own_child<'a>(parent: &impl Display, collection: &str, answered: &'a str) -> Option<&'a str> {
    let mut rest = Unprinted(answered);
    match write!(rest, "{parent}/{collection}/") {
        Ok(()) => Some(rest.0).filter(|id| is_one(id) && !id.contains('/')),
        Err(_) => child(parent, collection, answered),
    }
}

/// The id of a resource of this collection under `parent`.
fn child<'a>(parent: &impl Display, collection: &str, answered: &'a str) -> Option<&'a str> {
    let parent = parent.to_string();
    let mut parts = answered.split('/');
    if !is_beginning(&parent, &mut parts, true) || parts.next() != Some(collection) {
        return None;
    }
    parts.next().filter(|id| is_one(id) && parts.next().is_none())
}

/// Whether the parts of a name in an answer begin with those of the name that was asked for.
fn is_beginning<'a>(asked: &str, answered: &mut impl Iterator<Item = &'a str>, has_wildcards: bool) -> bool {
    asked.split('/').enumerate().all(|(at, asked)| {
        answered.next().is_some_and(|found| match at {
            1 => is_same_project(asked, found),
            _ if asked == WILDCARD => has_wildcards && is_one(found),
            _ => asked == found,
        })
    })
}

/// Whether both may be the same project: an id and a number may, two ids or two numbers only when they are equal.
fn is_same_project(asked: &str, answered: &str) -> bool {
    let is_number = |project: &str| project.bytes().all(|b| b.is_ascii_digit());
    asked == answered || is_number(asked) != is_number(answered) && PROJECT.check(answered).is_ok()
}

/// Whether a part is an id of one resource.
fn is_one(id: &str) -> bool {
    !id.is_empty() && id != WILDCARD
}

/// A text, less what was printed of its beginning.
struct Unprinted<'a>(&'a str);

impl fmt::Write for Unprinted<'_> {
    fn write_str(&mut self, printed: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(printed).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// What one part of a name may be.
struct Part {
    what: &'static str,
    longest: usize,
    alphabet: Alphabet,
    /// Whether `-` may end it.
    open_end: bool,
    rule: &'static str,
}

/// Which bytes may begin a part, and which may come after.
struct Alphabet {
    first: [bool; 256],
    rest: [bool; 256],
}

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";

/// A letter first, then letters, digits and `-`, as most ids are.
const ID: Alphabet = Alphabet::of(&[LOWER], &[DIGITS, "-"]);

static PROJECT: Part = Part {
    what: "project id",
    longest: 128,
    alphabet: Alphabet::of(&[LOWER, DIGITS], &["-.:"]),
    open_end: false,
    rule: "use 1 to 128 lowercase letters, digits and '-'",
};

static REGION: Part = Part {
    what: "region",
    longest: 63,
    alphabet: ID,
    open_end: false,
    rule: "use 1 to 63 lowercase letters, digits and '-', as in us-central1",
};

static JOB: Part = Part {
    what: "job id",
    longest: 63,
    alphabet: ID,
    open_end: false,
    rule: "use 1 to 63 lowercase letters, digits and '-', beginning with a letter and not ending with '-'",
};

static EXECUTION: Part = Part {
    what: "execution id",
    longest: 127,
    alphabet: ID,
    open_end: false,
    rule: "use 1 to 127 lowercase letters, digits and '-', beginning with a letter and not ending with '-'",
};

static TASK: Part = Part {
    what: "task id",
    longest: 140,
    alphabet: ID,
    open_end: false,
    rule: "use 1 to 140 lowercase letters, digits and '-', beginning with a letter and not ending with '-'",
};

static OPERATION: Part = Part {
    what: "operation id",
    longest: 128,
    alphabet: Alphabet::of(&[LOWER, UPPER, DIGITS], &["-_."]),
    open_end: true,
    rule: "use 1 to 128 letters, digits, '-', '_' and '.'",
};

impl Part {
    fn check(&self, text: &str) -> Result<(), NameError> {
        let bytes = text.as_bytes();
        let Alphabet { first, rest } = &self.alphabet;
        let fits = bytes.len() <= self.longest
            && bytes.first().is_some_and(|&b| first[usize::from(b)])
            && bytes.iter().all(|&b| rest[usize::from(b)])
            && (self.open_end || !text.ends_with('-'))
            && !(rest[usize::from(b'.')] && text.contains(".."));
        if fits { Ok(()) } else { Err(NameError::new(self.what, text, self.rule)) }
    }

    fn check_or_wildcard(&self, text: &str) -> Result<(), NameError> {
        if text == WILDCARD { Ok(()) } else { self.check(text) }
    }
}

impl Alphabet {
    /// What may begin a part may also come later.
    const fn of(first: &[&str], more: &[&str]) -> Self {
        let first = with([false; 256], first);
        Self { first, rest: with(first, more) }
    }
}

const fn with(mut set: [bool; 256], texts: &[&str]) -> [bool; 256] {
    let mut text = 0;
    while text < texts.len() {
        let mut at = 0;
        while at < texts[text].len() {
            set[texts[text].as_bytes()[at] as usize] = true;
            at += 1;
        }
        text += 1;
    }
    set
}

/// The ids of a name whose collections are `collections`, in their order.
fn ids<'a, const N: usize>(
    text: &'a str,
    what: &'static str,
    collections: [&str; N],
) -> Result<[&'a str; N], NameError> {
    let mut parts = text.split('/');
    let mut ids = [""; N];
    for (id, collection) in ids.iter_mut().zip(collections) {
        match (parts.next(), parts.next()) {
            (Some(found), Some(next)) if found == collection => *id = next,
            _ => return Err(shape(text, what, &collections)),
        }
    }
    if parts.next().is_some() { Err(shape(text, what, &collections)) } else { Ok(ids) }
}

fn shape(text: &str, what: &'static str, collections: &[&str]) -> NameError {
    let mut rule = String::from("write ");
    for (i, collection) in collections.iter().enumerate() {
        let slash = if i == 0 { "" } else { "/" };
        let singular = collection.trim_end_matches('s').to_ascii_uppercase();
        // Writing to a String cannot fail.
        let _ = write!(rule, "{slash}{collection}/{singular}");
    }
    NameError::new(what, text, rule)
}

/// At most 80 characters of a text from outside, with control characters spelled out.
fn excerpt(text: &str) -> String {
    let mut out: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB_NAME: &str = "projects/acme/locations/us-central1/jobs/echo";

    #[test]
    fn a_name_prints_as_it_was_parsed() {
        let task = format!("{JOB_NAME}/executions/echo-x7k2p/tasks/echo-x7k2p-task0");
        let parsed: TaskName = task.parse().expect("a task name");
        assert_eq!(parsed.to_string(), task);
        assert_eq!(parsed.execution().job().to_string(), JOB_NAME);
        assert_eq!(parsed.execution().location().project(), "acme");

        let operation = "projects/acme/locations/us-central1/operations/729ad1bc-0000-4000-8000-000000000000";
        assert_eq!(operation.parse::<OperationName>().expect("an operation name").to_string(), operation);
        assert_eq!("projects/example.com:acme/locations/l1".parse::<Location>().expect("scoped").region(), "l1");
    }

    #[test]
    fn a_wildcard_is_a_job_and_an_execution_but_no_project() {
        let any: JobName = "projects/acme/locations/us-central1/jobs/-".parse().expect("a wildcard");
        assert!(any.is_wildcard());
        assert!(any.any_execution().is_wildcard());
        assert_eq!(any, any.location().any_job());
        assert!("projects/-/locations/us-central1".parse::<Location>().is_err());
    }

    #[test]
    fn an_answer_is_about_the_same_resource_when_nothing_but_the_spelling_of_the_project_differs() {
        for (asked, answered, is_about) in [
            ("acme", "acme", true),
            ("acme", "4711", true),
            ("4711", "acme", true),
            ("acme", "other", false),
            ("4711", "4712", false),
            ("4711", "not a project", false),
            ("acme", "", false),
        ] {
            let [asked, answered] = [asked, answered].map(|project| JOB_NAME.replace("acme", project));
            assert_eq!(is_same(&asked, &answered), is_about, "{asked} and {answered}");
        }
        for other in [
            "projects/acme/locations/us-central2/jobs/echo",
            "projects/acme/locations/us-central1/jobs/echoes",
            "projects/acme/locations/us-central1/jobs/-",
            "projects/acme/locations/us-central1/jobs",
            "projects/acme/locations/us-central1/jobs/echo/executions/echo-1",
            "projects/4711/regions/us-central1/jobs/echo",
            "",
        ] {
            assert!(!is_same(JOB_NAME, other), "{other}");
        }
    }

    #[test]
    fn an_item_belongs_to_the_list_of_its_parent_alone() {
        let job: JobName = JOB_NAME.parse().expect("a name");
        let [any_job, any_execution] = [job.location().any_job().any_execution(), job.any_execution()];
        let task = |job: &str| format!("projects/4711/locations/us-central1/jobs/{job}/executions/e-1/tasks/e-1-task0");
        assert!(is_child(&any_execution, "tasks", &task("echo")) && is_child(&any_job, "tasks", &task("other")));
        assert!(!is_child(&any_execution, "tasks", &task("other")) && !is_child(&any_job, "tasks", &task("-")));
        assert!(!is_child(&any_job, "tasks", &task("echo").replace("us-central1", "us-east1")));
        assert!(!is_child(&any_job, "jobs", &task("echo")));
        for text in [JOB_NAME, &format!("{JOB_NAME}/executions/"), &format!("{JOB_NAME}/executions/a/b"), ""] {
            assert!(job.own_execution(text).is_none() && job.location().own_operation(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_belongs_to_a_resource_has_its_project_spelled_as_the_resource_has() {
        let job: JobName = JOB_NAME.parse().expect("a name");
        let execution = format!("{}/executions/echo-x7k2p", JOB_NAME.replace("acme", "4711"));
        assert_eq!(job.own_execution(&execution), job.execution("echo-x7k2p").ok());
        assert_eq!(job.own_execution(&execution.replace("jobs/echo", "jobs/echoes")), None);
        let operation = "projects/4711/locations/us-central1/operations/a-b-c";
        assert_eq!(job.location().own_operation(operation), job.location().operation("a-b-c").ok());
        assert_eq!(job.location().own_operation(&operation.replace("central1", "central2")), None);
    }

    #[test]
    fn every_malformed_name_is_refused() {
        let long = "j".repeat(64);
        let huge = "j".repeat(10_000);
        for id in [
            "",
            "..",
            ".",
            "Echo",
            "1echo",
            "echo-",
            "e_cho",
            "e cho",
            "écho",
            "e\0",
            "e\r\nx: y",
            "%2e%2e",
            "a/b",
            "?x=1",
            &long,
            &huge,
        ] {
            let name = format!("projects/acme/locations/us-central1/jobs/{id}");
            assert!(name.parse::<JobName>().is_err(), "{id:?} was taken for a job id");
        }
        for name in
            ["", "/", "echo", "projects/acme", "projects//locations/x/jobs/echo", "/projects/a/locations/b/jobs/c"]
        {
            assert!(name.parse::<JobName>().is_err(), "{name:?} was taken for a job name");
        }
        assert!(format!("{JOB_NAME}/").parse::<JobName>().is_err());
        assert!(format!("{JOB_NAME}/executions/x").parse::<JobName>().is_err());
        assert!("projects/a..b/locations/us-central1".parse::<Location>().is_err());
    }

    #[test]
    fn an_error_says_which_part_is_wrong_and_what_to_write() {
        let error = "projects/acme/locations/us-central1/jobs/Echo".parse::<JobName>().expect_err("a capital");
        assert_eq!(
            error.to_string(),
            "\"Echo\" is not a valid job id in \"projects/acme/locations/us-central1/jobs/Echo\": use 1 to 63 lowercase \
             letters, digits and '-', beginning with a letter and not ending with '-'"
        );
        let error = "echo".parse::<ExecutionName>().expect_err("no path");
        assert_eq!(
            error.to_string(),
            "\"echo\" is not a valid execution name: write \
             projects/PROJECT/locations/LOCATION/jobs/JOB/executions/EXECUTION"
        );
    }

    #[test]
    fn an_error_shows_a_bounded_and_harmless_excerpt() {
        let error = format!("projects/acme/locations/us-central1/jobs/\u{1b}[31m{}", "x".repeat(10_000))
            .parse::<JobName>()
            .expect_err("an escape");
        let text = error.to_string();
        assert!(text.len() < 600, "{} bytes", text.len());
        assert!(!text.contains('\u{1b}'));
    }
}
