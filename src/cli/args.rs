//! What was typed: the commands and flags, in gcloud's spellings where gcloud has one.
//!
//! Knows words and their syntax. What they mean (which project, which endpoint, whether a combination makes
//! sense beyond "not both") is [`super::config`]'s business: nothing here reads the environment or a file.

mod sections;
mod values;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};

pub(super) use self::sections::{Section, Sections};
use crate::{StartKey, StartToken, emulator::Startup};

/// Starts Google Cloud Run jobs over gRPC, waits for them, and says what happened.
///
/// Exit status: 0 done or succeeded, 1 the execution ended without success, 2 usage or invalid input,
/// 3 not started, 4 unknown whether it started, 5 stopped waiting while it runs on, 6 credentials or permission,
/// 7 not found or in conflict, 8 anything else, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "runjob", version, max_term_width = 100, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

impl Args {
    /// Reads a command line, the program's own name first.
    pub(super) fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(line)
    }
}

/// Flags that every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// How the result is printed on stdout.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    /// Project of short names. Else CLOUDSDK_CORE_PROJECT, GOOGLE_CLOUD_PROJECT, gcloud's active configuration.
    #[arg(long, global = true, value_name = "ID")]
    pub(super) project: Option<String>,
    /// Region of short names. Else CLOUDSDK_RUN_REGION, GOOGLE_CLOUD_REGION, gcloud's active configuration.
    #[arg(long, global = true, value_name = "REGION")]
    pub(super) region: Option<String>,
    /// Scheme and host to speak to instead of the service's own, e.g. `https://us-central1-run.googleapis.com`.
    #[arg(long, global = true, value_name = "URL", conflicts_with = "emulator")]
    pub(super) endpoint: Option<String>,
    /// Use an emulator inside this process, with its sample jobs: echo, env, sleep, fail, flaky.
    #[arg(long, global = true)]
    pub(super) emulator: bool,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs: resources as canonical proto3 JSON.
    Json,
}

/// The commands: those that make one call, those that make as many as there are starts to ask about, and the emulator.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Call(Verb),
    /// Find out what became of starts that were sent and never answered: killed, interrupted, or of unknown end.
    Recover(Recover),
    /// Run an emulator of the Cloud Run Jobs API on this machine until interrupted.
    Emulator(Emulator),
}

/// The commands that call.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Start a job, once; return when the start is accepted, or with --wait when the execution has ended.
    Execute(Box<Execute>),
    /// Wait for an execution to end and say how it ended.
    Wait(Wait),
    /// Show an execution: its state, its counts, what it runs.
    Describe(Describe),
    /// Ask for an execution to be cancelled; returns when the service has accepted that.
    Cancel(Cancel),
    /// List, show, create and delete jobs.
    #[command(subcommand)]
    Jobs(Jobs),
    /// List executions.
    #[command(subcommand)]
    Executions(Executions),
    /// List the tasks of an execution.
    #[command(subcommand)]
    Tasks(Tasks),
}

/// `runjob execute`
#[derive(Debug, clap::Args)]
pub(super) struct Execute {
    /// Job to start: its id, or its full name `projects/P/locations/R/jobs/J`.
    pub(super) job: String,
    #[command(flatten)]
    pub(super) sections: Sections,
    /// Number of tasks, instead of the job's own.
    #[arg(long, value_name = "N", value_parser = values::task_count, allow_negative_numbers = true)]
    pub(super) tasks: Option<u32>,
    /// Limit of each attempt of a task, instead of the job's own: 1s to 168h, as in 300, 300s, 5m, 1h30m.
    #[arg(long, value_name = "DURATION", value_parser = values::task_timeout, allow_negative_numbers = true)]
    pub(super) task_timeout: Option<Duration>,
    /// Name this start, so that it is found and not made again when the same key is given again: 1 to 128 letters,
    /// digits and . _ - : / that are no secret, as in `order-4711`. Without KEY a new one is made up and printed.
    /// Sets RUNJOB_START_KEY in the first container that is overridden, or the only one.
    #[arg(long, value_name = "KEY", num_args = 0..=1, require_equals = true)]
    pub(super) start_key: Option<Option<StartKey>>,
    /// Start the execution JOB-TOKEN, once however often and wherever this is given: lowercase letters, digits
    /// and -, with the job's id at most 62. Writes the token into the job (UpdateJob, with its etag), so it needs
    /// run.jobs.update, and takes the job as it is, without overrides.
    #[arg(long, value_name = "TOKEN", require_equals = true, conflicts_with_all = ["start_key", "validate_first"])]
    pub(super) exactly_once: Option<StartToken>,
    /// Let the service check the start before it is made: one call more, and its refusals then start nothing.
    #[arg(long)]
    pub(super) validate_first: bool,
    /// Wait for the execution to end.
    #[arg(long)]
    pub(super) wait: bool,
    /// Return when the start is accepted. This is the default.
    #[arg(long, conflicts_with = "wait")]
    pub(super) r#async: bool,
    #[command(flatten)]
    pub(super) waiting: Waiting,
}

/// `runjob recover`
#[derive(Debug, clap::Args)]
pub(super) struct Recover {
    /// Only this job's: its id or its full name. With --key it is looked for even if the journal does not know it.
    #[arg(long, value_name = "JOB")]
    pub(super) job: Option<String>,
    /// Only the start with this key.
    #[arg(long, value_name = "KEY")]
    pub(super) key: Option<StartKey>,
    /// Do not list those again that are not found now.
    #[arg(long)]
    pub(super) forget: bool,
}

/// Flags of a command that waits for an execution.
#[derive(Debug, clap::Args)]
pub(super) struct Waiting {
    /// Stop waiting after this long, with exit status 5; the execution runs on. The default is no limit.
    #[arg(long, value_name = "DURATION", value_parser = values::wait_limit, allow_negative_numbers = true)]
    pub(super) wait_limit: Option<Duration>,
    /// End with the exit code of the first failed task (128 + N for signal N) instead of 1.
    #[arg(long)]
    pub(super) propagate_exit_code: bool,
    /// On Ctrl-C, cancel the execution and wait for that, instead of leaving it running.
    #[arg(long)]
    pub(super) cancel_on_interrupt: bool,
}

/// An execution, as it is named on the command line.
#[derive(Debug, clap::Args)]
pub(super) struct ExecutionArg {
    /// Execution: its id, as in `echo-x7k2p`, or its full name `projects/P/locations/R/jobs/J/executions/E`.
    pub(super) execution: String,
    /// Job of a short execution id. The default is the id without its last `-xxxxx`.
    #[arg(long, value_name = "JOB")]
    pub(super) job: Option<String>,
}

/// `runjob wait`
#[derive(Debug, clap::Args)]
pub(super) struct Wait {
    #[command(flatten)]
    pub(super) execution: ExecutionArg,
    #[command(flatten)]
    pub(super) waiting: Waiting,
}

/// Whether the values of environment variables are shown.
#[derive(Debug, clap::Args)]
pub(super) struct ShowEnv {
    /// Show the values of environment variables, which are masked otherwise, in text and in JSON.
    #[arg(long)]
    pub(super) show_env: bool,
}

/// `runjob describe`
#[derive(Debug, clap::Args)]
pub(super) struct Describe {
    #[command(flatten)]
    pub(super) execution: ExecutionArg,
    #[command(flatten)]
    pub(super) env: ShowEnv,
}

/// `runjob cancel`
#[derive(Debug, clap::Args)]
pub(super) struct Cancel {
    #[command(flatten)]
    pub(super) execution: ExecutionArg,
}

/// `runjob jobs ...`
#[derive(Debug, Subcommand)]
pub(super) enum Jobs {
    /// List the jobs of a project and region.
    List(ShowEnv),
    /// Show a job.
    Describe(JobsDescribe),
    /// Create a job of one container.
    Create(Box<JobsCreate>),
    /// Delete a job and its executions, and wait until that is done.
    Delete(JobsDelete),
}

/// `runjob jobs describe`
#[derive(Debug, clap::Args)]
pub(super) struct JobsDescribe {
    /// Job: its id or its full name.
    pub(super) job: String,
    #[command(flatten)]
    pub(super) env: ShowEnv,
}

/// `runjob jobs create`
#[derive(Debug, clap::Args)]
pub(super) struct JobsCreate {
    /// Job to create: its id or its full name.
    pub(super) job: String,
    /// Container image, e.g. `us-docker.pkg.dev/acme/tools/screenshot:1.4`.
    #[arg(long)]
    pub(super) image: String,
    /// Entrypoint, instead of the image's own; a list as in --args.
    #[arg(long, value_name = "A,B", allow_hyphen_values = true)]
    pub(super) command: Option<String>,
    /// Arguments, separated by commas, or by DELIM when written `^DELIM^A DELIM B`.
    #[arg(long, value_name = "A,B", allow_hyphen_values = true)]
    pub(super) args: Option<String>,
    /// Environment variables, separated as in --args.
    #[arg(long, value_name = "K=V,...")]
    pub(super) set_env_vars: Option<String>,
    /// Number of tasks. The service's default is 1.
    #[arg(long, value_name = "N", value_parser = values::task_count, allow_negative_numbers = true)]
    pub(super) tasks: Option<u32>,
    /// Most tasks at a time; 0 leaves it to the service, which is the default.
    #[arg(long, value_name = "N", value_parser = values::count, allow_negative_numbers = true)]
    pub(super) parallelism: Option<u32>,
    /// Retries of each failed task. The service's default is 3.
    #[arg(long, value_name = "N", value_parser = values::count, allow_negative_numbers = true)]
    pub(super) max_retries: Option<u32>,
    /// Limit of each attempt of a task, 1s to 168h. The service's default is 10m.
    #[arg(long, value_name = "DURATION", value_parser = values::task_timeout, allow_negative_numbers = true)]
    pub(super) task_timeout: Option<Duration>,
}

/// `runjob jobs delete`
#[derive(Debug, clap::Args)]
pub(super) struct JobsDelete {
    /// Job: its id or its full name.
    pub(super) job: String,
}

/// `runjob executions ...`
#[derive(Debug, Subcommand)]
pub(super) enum Executions {
    /// List executions, newest first.
    List(ExecutionsList),
}

/// `runjob executions list`
#[derive(Debug, clap::Args)]
pub(super) struct ExecutionsList {
    /// Only this job's: its id or its full name. The default is every job of the region.
    #[arg(long, value_name = "JOB")]
    pub(super) job: Option<String>,
    #[command(flatten)]
    pub(super) env: ShowEnv,
}

/// `runjob tasks ...`
#[derive(Debug, Subcommand)]
pub(super) enum Tasks {
    /// List the tasks of an execution, with the end of each one's last attempt.
    List(TasksList),
}

/// `runjob tasks list`
#[derive(Debug, clap::Args)]
pub(super) struct TasksList {
    #[command(flatten)]
    pub(super) execution: ExecutionArg,
    #[command(flatten)]
    pub(super) env: ShowEnv,
}

/// `runjob emulator`
#[derive(Debug, clap::Args)]
pub(super) struct Emulator {
    /// Address to listen on, loopback unless there is --require-token; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8085")]
    pub(super) listen: SocketAddr,
    /// Let an image stand for a local command, which is split at spaces. May be repeated.
    #[arg(long, value_name = "IMAGE=COMMAND")]
    pub(super) image: Vec<String>,
    /// Let a job's own `command` choose the program to run, as the service does.
    #[arg(long)]
    pub(super) allow_command: bool,
    /// How tasks are carried out.
    #[arg(long, value_enum, default_value_t = RuntimeArg::Process)]
    pub(super) runtime: RuntimeArg,
    /// Answer only calls with a bearer token, which is made anew and written to this file, for its owner only.
    #[arg(long, value_name = "FILE")]
    pub(super) require_token: Option<PathBuf>,
    /// YAML or JSON file of what to have from the start: images and jobs.
    #[arg(long, value_name = "FILE")]
    pub(super) seed: Option<PathBuf>,
    /// Keep everything in this directory, so that it is still there after a restart, whatever ended the emulator.
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// How time passes for timeouts and simulated tasks.
    #[arg(long, value_enum, default_value_t = ClockArg::Real)]
    pub(super) clock: ClockArg,
    /// Draw all ids from this number, so that the same calls give the same names. By default each start draws others.
    #[arg(long, value_name = "NUMBER")]
    pub(super) id_seed: Option<u64>,
    /// Accept calls without the routing header that the service insists on.
    #[arg(long)]
    pub(super) lenient: bool,
    /// How long the phases of a start take, on the emulator's clock, such as image=1.1s,resources=27s,started=2s.
    #[arg(long, value_name = "PHASE=TIME,...", default_value = "image=0s")]
    pub(super) startup: Startup,
    /// Let delayed executions wait for at most so long, on the emulator's clock.
    #[arg(long, value_name = "TIME", default_value = "12h", value_parser = values::duration)]
    pub(super) delay: Duration,
}

/// How the emulator carries out tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RuntimeArg {
    /// As local processes.
    Process,
    /// Not at all: each attempt succeeds at once.
    Simulated,
}

/// How the emulator's time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ClockArg {
    /// As it does.
    Real,
    /// Only by a POST to /emulator/v1/clock; it begins with the year 2026.
    Virtual,
    /// As virtual, but at once on to the next thing that is due.
    Fast,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn read(line: &str) -> Result<Args, String> {
        Args::read(line.split(' ').map(OsString::from)).map_err(|error| error.to_string())
    }

    fn execute(line: &str) -> Execute {
        match read(line).expect("the line is well-formed").command {
            Command::Call(Verb::Execute(execute)) => *execute,
            other => panic!("not an execute: {other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent_in_itself() {
        Args::command().debug_assert();
    }

    #[test]
    fn flags_of_the_execution_may_stand_anywhere() {
        let typed = execute("runjob execute --wait echo --tasks=3 --task-timeout=1h30m --project=acme");
        assert_eq!(typed.job, "echo");
        assert_eq!(typed.tasks, Some(3));
        assert_eq!(typed.task_timeout, Some(Duration::from_secs(5400)));
        assert!(typed.wait && !typed.r#async);
    }

    #[test]
    fn a_repeated_flag_is_refused() {
        for flag in ["--tasks=2 --tasks=2", "--task-timeout=5s --task-timeout=6s", "--wait --wait"] {
            let error = read(&format!("runjob execute echo {flag}")).expect_err(flag);
            assert!(error.contains("cannot be used multiple times"), "{error}");
        }
    }

    #[test]
    fn wait_and_async_exclude_each_other() {
        let error = read("runjob execute echo --wait --async").expect_err("both");
        assert!(error.contains("cannot be used with"), "{error}");
    }

    #[test]
    fn negative_numbers_are_named_in_the_error() {
        for flag in ["--tasks=-1", "--tasks -1"] {
            let error = read(&format!("runjob execute echo {flag}")).expect_err(flag);
            assert!(error.contains("invalid value '-1' for '--tasks <N>'"), "{error}");
        }
    }
}
