//! What was typed, understood: names in full, one place to call, values checked.
//!
//! Knows the environment's variables (handed in, so that a test can hand in others), gcloud's configuration and env
//! files, which it reads only when a command needs them. Calls nobody and writes nothing.

mod definition;
mod env_file;
mod gcloud;
mod lists;
mod overrides;
mod place;
mod state;

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt::{self, Display, Formatter},
    net::SocketAddr,
    path::PathBuf,
};

pub(super) use self::overrides::Overrides;
use self::place::{Places, Scope};
use super::{
    args::{self, Args, ClockArg, Command, Executions, Global, Jobs, RuntimeArg, Tasks, Verb, Waiting},
    failure::Failure,
    journal::Journal,
};
use crate::{
    ExecutionName, JobName, Location, StartKey, StartToken,
    emulator::{Clock, Startup},
    proto::run::v2::Job,
};

/// The variables that name an emulator, the first that is set wins.
const EMULATOR_VARIABLES: [&str; 2] = ["RUN_EMULATOR_HOST", "CLOUD_RUN_EMULATOR_HOST"];

/// The environment's variables.
#[derive(Debug, Default)]
pub(super) struct Environment(HashMap<String, String>);

impl Environment {
    /// These variables, without those that are not Unicode: none of ours could be.
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let unicode = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self(variables.into_iter().filter_map(unicode).collect())
    }

    /// A variable's value, unless it is unset or empty.
    pub(super) fn var(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// What a command line means: to serve, to call, or to ask about earlier calls.
#[derive(Debug)]
pub(super) enum Config {
    Serve(Serve),
    Call(Target, Call),
    Recover(Target, Recover),
}

/// How to run an emulator.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Serve {
    pub(super) listen: SocketAddr,
    /// Where the sample jobs live.
    pub(super) location: Location,
    pub(super) images: Vec<(String, Vec<String>)>,
    pub(super) allow_command: bool,
    pub(super) simulated: bool,
    pub(super) require_token: Option<PathBuf>,
    pub(super) seed: Option<PathBuf>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) clock: Clock,
    pub(super) id_seed: Option<u64>,
    pub(super) lenient: bool,
    pub(super) startup: Startup,
    pub(super) delay: std::time::Duration,
}

/// Whom to call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An emulator inside this process.
    InProcess,
    /// An emulator elsewhere, and the variable that named it.
    Emulator { host: String, variable: &'static str },
    /// The service, at its own endpoint or at this one.
    Service { endpoint: Option<String> },
}

/// Which starts to ask about.
#[derive(Debug)]
pub(super) struct Recover {
    pub(super) job: Option<JobName>,
    pub(super) key: Option<StartKey>,
    /// Give up those that are not found.
    pub(super) forget: bool,
    pub(super) journal: Journal,
}

/// What to start, and with which precautions.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) job: JobName,
    pub(super) overrides: Overrides,
    pub(super) guard: Option<Guard>,
    pub(super) validate_first: bool,
    /// Where it is written down first; nowhere for an emulator that ends with this process, and for a token, which
    /// whoever gives it again needs no journal for.
    pub(super) journal: Option<Journal>,
}

/// By what a start is known again.
#[derive(Debug)]
pub(super) enum Guard {
    Key(StartKey),
    /// A start key to be made up, so that nobody knows it unless it is written down.
    NewKey,
    Token(StartToken),
}

/// What to call for.
#[derive(Debug)]
pub(super) enum Call {
    /// `waiting` is there when the end is waited for.
    Execute {
        start: Start,
        waiting: Option<Waiting>,
    },
    Wait {
        execution: ExecutionName,
        waiting: Waiting,
    },
    Describe {
        execution: ExecutionName,
        show_env: bool,
    },
    Cancel {
        execution: ExecutionName,
    },
    ListJobs {
        location: Location,
        show_env: bool,
    },
    DescribeJob {
        job: JobName,
        show_env: bool,
    },
    CreateJob {
        job: JobName,
        definition: Box<Job>,
    },
    DeleteJob {
        job: JobName,
    },
    ListExecutions {
        job: JobName,
        show_env: bool,
    },
    ListTasks {
        execution: ExecutionName,
        show_env: bool,
    },
}

impl Call {
    /// The project and region that are called.
    pub(super) fn location(&self) -> &Location {
        match self {
            Self::Execute { start: Start { job, .. }, .. }
            | Self::DescribeJob { job, .. }
            | Self::CreateJob { job, .. }
            | Self::DeleteJob { job }
            | Self::ListExecutions { job, .. } => job.location(),
            Self::Wait { execution, .. }
            | Self::Describe { execution, .. }
            | Self::Cancel { execution }
            | Self::ListTasks { execution, .. } => execution.job().location(),
            Self::ListJobs { location, .. } => location,
        }
    }
}

impl Config {
    /// The meaning of what was typed, in this environment.
    pub(super) fn resolve(typed: Args, env: &Environment) -> Result<Self, Failure> {
        let Args { global, command } = typed;
        let target = target(&global, env);
        let scope = match target {
            Target::InProcess => Scope::Flags,
            Target::Emulator { .. } => Scope::Variables,
            Target::Service { .. } => Scope::Machine,
        };
        let places = Places { global: &global, env, scope };
        let journal = (target != Target::InProcess).then(|| Journal::new(state::directory(env), target.to_string()));
        match command {
            Command::Emulator(typed) => Ok(Self::Serve(serve(typed, &global, env)?)),
            Command::Recover(typed) => Ok(Self::Recover(target, recover(typed, journal, &places)?)),
            Command::Call(verb) => Ok(Self::Call(target, call(verb, journal, &places)?)),
        }
    }
}

/// As it stands in the journal: what tells one server from another.
impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InProcess => "in process",
            Self::Emulator { host, .. } => host,
            Self::Service { endpoint } => endpoint.as_deref().unwrap_or("Cloud Run"),
        })
    }
}

/// Whom the flags and variables say to call.
fn target(global: &Global, env: &Environment) -> Target {
    if global.emulator {
        return Target::InProcess;
    }
    if let Some(endpoint) = &global.endpoint {
        return Target::Service { endpoint: Some(endpoint.clone()) };
    }
    let named = EMULATOR_VARIABLES.iter().find_map(|variable| Some((*variable, env.var(variable)?)));
    match named {
        Some((variable, host)) => Target::Emulator { host: host.to_owned(), variable },
        None => Target::Service { endpoint: None },
    }
}

fn call(verb: Verb, journal: Option<Journal>, places: &Places<'_>) -> Result<Call, Failure> {
    Ok(match verb {
        Verb::Execute(typed) => execute(*typed, journal, places)?,
        Verb::Wait(typed) => Call::Wait { execution: places.execution(&typed.execution)?, waiting: typed.waiting },
        Verb::Describe(typed) => {
            Call::Describe { execution: places.execution(&typed.execution)?, show_env: typed.env.show_env }
        }
        Verb::Cancel(typed) => Call::Cancel { execution: places.execution(&typed.execution)? },
        Verb::Jobs(typed) => jobs(typed, places)?,
        Verb::Executions(Executions::List(typed)) => {
            let job = match &typed.job {
                Some(job) => places.job(job)?,
                None => places.location()?.any_job(),
            };
            Call::ListExecutions { job, show_env: typed.env.show_env }
        }
        Verb::Tasks(Tasks::List(typed)) => {
            Call::ListTasks { execution: places.execution(&typed.execution)?, show_env: typed.env.show_env }
        }
    })
}

fn execute(typed: args::Execute, journal: Option<Journal>, places: &Places<'_>) -> Result<Call, Failure> {
    let waiting = &typed.waiting;
    let only_waiting = [
        ("--wait-limit", waiting.wait_limit.is_some()),
        ("--propagate-exit-code", waiting.propagate_exit_code),
        ("--cancel-on-interrupt", waiting.cancel_on_interrupt),
    ];
    if let Some((flag, _)) = only_waiting.iter().find(|(_, typed_it)| *typed_it && !typed.wait) {
        return Err(Failure::usage(format!("{flag} says how to wait")).hint("add --wait"));
    }
    let overrides = overrides::resolve(&typed)?;
    let guard = match (typed.exactly_once, typed.start_key) {
        (Some(token), _) => Some(Guard::Token(token)),
        (None, Some(key)) => Some(key.map_or(Guard::NewKey, Guard::Key)),
        (None, None) => None,
    };
    let is_token = matches!(guard, Some(Guard::Token(_)));
    if is_token && overrides != Overrides::default() {
        return Err(Failure::usage("--exactly-once starts the job as it is, and overrides are given with it")
            .hint("leave the overrides out, or use --start-key=KEY"));
    }
    let journal = journal.filter(|_| !is_token);
    let start = Start { job: places.job(&typed.job)?, overrides, guard, validate_first: typed.validate_first, journal };
    Ok(Call::Execute { start, waiting: typed.wait.then_some(typed.waiting) })
}

fn recover(typed: args::Recover, journal: Option<Journal>, places: &Places<'_>) -> Result<Recover, Failure> {
    let journal = journal.ok_or_else(|| {
        Failure::usage("an emulator inside this process has no earlier starts: --emulator has no meaning here")
    })?;
    let job = typed.job.as_deref().map(|job| places.job(job)).transpose()?;
    Ok(Recover { job, key: typed.key, forget: typed.forget, journal })
}

fn jobs(typed: Jobs, places: &Places<'_>) -> Result<Call, Failure> {
    Ok(match typed {
        Jobs::List(env) => Call::ListJobs { location: places.location()?, show_env: env.show_env },
        Jobs::Describe(typed) => Call::DescribeJob { job: places.job(&typed.job)?, show_env: typed.env.show_env },
        Jobs::Create(typed) => {
            let definition = Box::new(definition::resolve(&typed)?);
            Call::CreateJob { job: places.job(&typed.job)?, definition }
        }
        Jobs::Delete(typed) => Call::DeleteJob { job: places.job(&typed.job)? },
    })
}

fn serve(typed: args::Emulator, global: &Global, env: &Environment) -> Result<Serve, Failure> {
    if global.emulator || global.endpoint.is_some() {
        return Err(Failure::usage(
            "`runjob emulator` calls nobody: --emulator and --endpoint have no meaning with it",
        ));
    }
    if !typed.listen.ip().is_loopback() && typed.require_token.is_none() {
        return Err(Failure::usage(format!("--listen: {} is not a loopback address", typed.listen)).hint(
            "the emulator runs commands for whoever reaches it; use 127.0.0.1 or [::1], or --require-token=FILE",
        ));
    }
    let images = typed.image.iter().map(|typed| image(typed)).collect::<Result<_, _>>()?;
    Ok(Serve {
        listen: typed.listen,
        location: Places { global, env, scope: Scope::Flags }.location()?,
        images,
        allow_command: typed.allow_command,
        simulated: typed.runtime == RuntimeArg::Simulated,
        require_token: typed.require_token,
        seed: typed.seed,
        data_dir: typed.data_dir,
        clock: match typed.clock {
            ClockArg::Real => Clock::Real,
            ClockArg::Virtual => Clock::Virtual,
            ClockArg::Fast => Clock::Fast,
        },
        id_seed: typed.id_seed,
        lenient: typed.lenient,
        startup: typed.startup,
        delay: typed.delay,
    })
}

/// `IMAGE=COMMAND`, the command split at spaces.
fn image(typed: &str) -> Result<(String, Vec<String>), Failure> {
    let (image, command) = typed.split_once('=').unwrap_or((typed, ""));
    let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    if image.is_empty() || command.is_empty() {
        return Err(Failure::usage(format!("--image: '{typed}' is not IMAGE=COMMAND"))
            .hint("for example --image=us-docker.pkg.dev/acme/tools/hello=/usr/bin/echo"));
    }
    Ok((image.to_owned(), command))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cli::exit::Exit;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::new(variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    fn resolve(line: &str, variables: &[(&str, &str)]) -> Result<Config, Failure> {
        let typed = Args::read(line.split(' ').map(OsString::from)).expect("the line is well-formed");
        Config::resolve(typed, &environment(variables))
    }

    fn called(line: &str, variables: &[(&str, &str)]) -> (Target, Call) {
        match resolve(line, variables).expect("the line has a meaning") {
            Config::Call(target, call) => (target, call),
            other => panic!("not a call: {other:?}"),
        }
    }

    fn location(line: &str, variables: &[(&str, &str)]) -> String {
        called(line, variables).1.location().to_string()
    }

    #[test]
    fn a_flag_wins_over_a_variable_and_a_full_name_over_both() {
        let variables = [
            ("CLOUDSDK_CORE_PROJECT", "first"),
            ("GOOGLE_CLOUD_PROJECT", "second"),
            ("CLOUDSDK_RUN_REGION", ""),
            ("GOOGLE_CLOUD_REGION", "europe-west1"),
        ];
        let cases = [
            ("runjob execute echo", "projects/first/locations/europe-west1"),
            ("runjob execute echo --project=third", "projects/third/locations/europe-west1"),
            (
                "runjob execute projects/full/locations/us-east1/jobs/j --project=third",
                "projects/full/locations/us-east1",
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(location(line, &variables), expected, "{line}");
        }
    }

    #[test]
    fn gclouds_active_configuration_is_the_last_resort() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("temporary file");
        fs::create_dir(directory.path().join("configurations")).expect("temporary directory");
        write("active_config", "work\n");
        write("configurations/config_work", "[core]\nproject = acme\n[run]\nregion = asia-northeast1\n");
        let own = directory.path().to_str().expect("Unicode");

        assert_eq!(
            location("runjob jobs list", &[("CLOUDSDK_CONFIG", own)]),
            "projects/acme/locations/asia-northeast1"
        );
        assert_eq!(
            location("runjob jobs list --emulator", &[("CLOUDSDK_CONFIG", own), ("GOOGLE_CLOUD_PROJECT", "x")]),
            "projects/demo/locations/us-central1"
        );
    }

    #[test]
    fn an_unknown_project_or_region_says_how_to_give_it() {
        let failure = resolve("runjob jobs list", &[]).expect_err("no project");
        assert_eq!(failure.message(), "no project is known");
        assert!(failure.way_out().is_some_and(|hint| hint.contains("--project")));
        let failure = resolve("runjob jobs list --project=acme", &[]).expect_err("no region");
        assert_eq!(failure.message(), "no region is known");
    }

    #[test]
    fn the_endpoint_flag_wins_over_the_emulator_variables() {
        let variables = [("RUN_EMULATOR_HOST", "127.0.0.1:1"), ("CLOUD_RUN_EMULATOR_HOST", "127.0.0.1:2")];
        let named = Target::Emulator { host: "127.0.0.1:1".into(), variable: "RUN_EMULATOR_HOST" };
        assert_eq!(called("runjob jobs list", &variables).0, named);
        assert_eq!(called("runjob jobs list --emulator", &variables).0, Target::InProcess);
        let line = "runjob jobs list --endpoint=https://x --project=p --region=r";
        assert_eq!(called(line, &variables).0, Target::Service { endpoint: Some("https://x".into()) });
    }

    #[test]
    fn an_emulator_named_by_a_variable_is_called_for_the_sample_jobs() {
        let variables = [("RUN_EMULATOR_HOST", "127.0.0.1:1"), ("CLOUDSDK_CONFIG", "/nowhere")];
        assert_eq!(location("runjob execute echo", &variables), "projects/demo/locations/us-central1");
    }

    #[test]
    fn a_short_execution_id_belongs_to_the_job_before_its_last_part() {
        let name = |line: &str| match called(line, &[]).1 {
            Call::Wait { execution, .. } => execution.to_string(),
            other => panic!("not a wait: {other:?}"),
        };
        let prefix = "projects/demo/locations/us-central1/jobs";
        assert_eq!(name("runjob wait my-job-x7k2p --emulator"), format!("{prefix}/my-job/executions/my-job-x7k2p"));
        assert_eq!(
            name("runjob wait my-job-a-b --job=my-job --emulator"),
            format!("{prefix}/my-job/executions/my-job-a-b")
        );
        let failure = resolve("runjob wait echo --emulator", &[]).expect_err("no job in it");
        assert!(failure.way_out().is_some_and(|hint| hint.contains("--job")));
    }

    #[test]
    fn names_that_are_not_names_are_refused() {
        for name in ["Echo", "../x", "a/b", "-", "projects/p/locations/r/jobs/-", &"a".repeat(64), "a\u{7}"] {
            assert!(resolve(&format!("runjob execute {name} --emulator"), &[]).is_err(), "{name}");
        }
    }

    #[test]
    fn flags_of_waiting_need_wait() {
        let failure = resolve("runjob execute echo --emulator --wait-limit=5s", &[]).expect_err("no --wait");
        assert_eq!(failure.message(), "--wait-limit says how to wait");
        assert!(resolve("runjob execute echo --emulator --wait-limit=5s --wait", &[]).is_ok());
    }

    #[test]
    fn a_token_takes_the_job_as_it_is_and_is_written_down_nowhere() {
        let server = [("RUN_EMULATOR_HOST", "127.0.0.1:1")];
        for flag in [
            "--args=a",
            "--clear-args",
            "--update-env-vars=A=1",
            "--container=c --args=a",
            "--tasks=2",
            "--task-timeout=5s",
        ] {
            let failure = resolve(&format!("runjob execute echo --exactly-once=t {flag}"), &server).expect_err(flag);
            assert_eq!((failure.exit(), failure.way_out().is_some()), (Exit::Usage, true), "{flag}");
        }
        let (_, call) = called("runjob execute echo --exactly-once=order-1", &server);
        let Call::Execute { start, .. } = call else { panic!("an execute") };
        assert!(matches!(start.guard, Some(Guard::Token(token)) if token.as_str() == "order-1"));
        assert!(start.journal.is_none());
    }

    #[test]
    fn an_image_of_the_emulator_stands_for_a_command() {
        let config = resolve("runjob emulator --image=example.com/hello=/bin/echo", &[]).expect("valid");
        let Config::Serve(serve) = config else { panic!("not the emulator") };
        assert_eq!(serve.images, [("example.com/hello".to_owned(), vec!["/bin/echo".to_owned()])]);
        assert!(resolve("runjob emulator --image=example.com/hello", &[]).is_err());
        assert!(resolve("runjob emulator --emulator", &[]).is_err());
        assert!(resolve("runjob emulator --listen=0.0.0.0:8085", &[]).is_err());
    }
}
