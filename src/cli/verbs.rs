//! The verbs: the only list of them, and the way from a command line to one of them.
//!
//! The program's help, completions and manual are made of this list. A verb is one file: its flags, what they mean, and
//! how it is carried out. Nothing but the program's front uses this module.

mod bench;
mod completions;
mod doctor;
mod emulator;
mod estimate;
mod man;
mod recover;

mod executions {
    pub(super) mod cancel;
    pub(super) mod delete;
    pub(super) mod describe;
    pub(super) mod list;
    pub(super) mod wait;
}

mod jobs {
    pub(super) mod create;
    mod defined;
    pub(super) mod delete;
    pub(super) mod deploy;
    pub(super) mod describe;
    pub(super) mod diff;
    pub(super) mod execute;
    pub(super) mod list;
    pub(super) mod replace;
    pub(super) mod update;
}

mod operations {
    pub(super) mod delete;
    pub(super) mod describe;
    pub(super) mod list;
    mod operation;
    pub(super) mod wait;
}

mod schema;

mod tasks {
    pub(super) mod describe;
    pub(super) mod list;
}

use std::ffi::OsString;

use clap::{
    CommandFactory, FromArgMatches as _, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{
    context::Context,
    examples,
    exit::Exit,
    failure::Failure,
    flags::{free_text, global::Global},
    gcloud,
    printer::Printer,
    verb::call,
};

/// Starts Google Cloud Run jobs over gRPC, waits for them, and says what happened.
///
/// Exit status: 0 done or succeeded, 1 the execution ended without success, 2 usage or invalid input,
/// 3 not started, 4 unknown whether it started, 5 stopped waiting while it runs on, 6 credentials or permission,
/// 7 not found or in conflict, 8 anything else, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "runjob", version, max_term_width = 100)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

impl Args {
    /// Reads a command line, the program's own name first.
    pub(super) fn read(line: &[OsString]) -> Result<Self, clap::Error> {
        let mut program = Self::command();
        program.build();
        free_text::check(&program, line)?;
        let matches = program.try_get_matches_from_mut(line);
        let typed = matches.and_then(|mut matches| Self::from_arg_matches_mut(&mut matches));
        typed.map_err(|error| match error.kind() {
            // Only help has examples: adding them takes longer than everything else here.
            ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Self::documented().try_get_matches_from(line).err().unwrap_or(error)
            }
            _ => gcloud::advised(without_bad_tips(error), &program, line),
        })
    }

    /// The program with examples and variables in its help.
    pub(super) fn documented() -> clap::Command {
        examples::added(Self::command())
    }
}

/// An error without tips that do harm: to run a command that ends or deletes something, or to pass a mistyped flag as a
/// separate word.
fn without_bad_tips(mut error: clap::Error) -> clap::Error {
    let harmless = |word: &String| !["delete", "cancel"].iter().any(|verb| word.contains(verb));
    for kind in [ContextKind::SuggestedSubcommand, ContextKind::SuggestedCommand] {
        match error.remove(kind) {
            Some(ContextValue::Strings(mut words)) => {
                words.retain(harmless);
                if !words.is_empty() {
                    error.insert(kind, ContextValue::Strings(words));
                }
            }
            Some(ContextValue::String(word)) if harmless(&word) => {
                error.insert(kind, ContextValue::String(word));
            }
            _ => {}
        }
    }
    error.remove(ContextKind::Suggested);
    error
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start a job, once; return when the start is accepted, or with --wait when the execution has ended.
    Execute(Box<jobs::execute::Execute>),
    /// Wait for an execution to end and say how it ended.
    Wait(executions::wait::Wait),
    /// Show an execution: its state, its counts, what it runs.
    Describe(executions::describe::Describe),
    /// Ask for an execution to be cancelled; returns when the service has accepted that.
    Cancel(executions::cancel::Cancel),
    /// Start, list, show, create, change and delete jobs.
    #[command(subcommand)]
    Jobs(Jobs),
    /// List, show, wait for, cancel and delete executions.
    #[command(subcommand)]
    Executions(Executions),
    /// List and show the tasks of an execution.
    #[command(subcommand)]
    Tasks(Tasks),
    /// List, show, wait for and delete long-running operations.
    #[command(subcommand)]
    Operations(Operations),
    /// Find out what became of starts that were sent and never answered: killed, interrupted, or of unknown end.
    Recover(recover::Recover),
    /// Check whether a start with overrides and a wait would work from here: credentials, network, permissions.
    Doctor(doctor::Doctor),
    /// Estimate what a month of executions costs; with flags alone, without calling anything.
    Estimate(estimate::Estimate),
    /// Print the JSON schema of what --format=json prints: reports, events and errors.
    Schema(schema::Schema),
    /// Run an emulator of the Cloud Run Jobs API on this machine until interrupted.
    Emulator(emulator::Serve),
    /// Measure gRPC against REST: the same calls, in turns, against one server on this machine.
    Bench(Box<bench::Bench>),
    /// Print the script that completes lines in a shell, with names of jobs and executions.
    Completions(completions::Completions),
    /// Print the program's manual page, or write those of all commands to a directory.
    Man(man::Man),
}

/// `runjob jobs ...`
#[derive(Debug, Subcommand)]
pub(super) enum Jobs {
    /// Start a job, once: the same as `runjob execute`.
    Execute(Box<jobs::execute::Execute>),
    /// List the jobs of a project and region.
    List(jobs::list::List),
    /// Show a job.
    Describe(jobs::describe::Describe),
    /// Create a job.
    Create(Box<jobs::create::Create>),
    /// Change what the flags name about a job, and nothing else.
    Update(Box<jobs::update::Update>),
    /// Create a job, or change what the flags name about it where it is there.
    Deploy(Box<jobs::deploy::Deploy>),
    /// Create a job as a file has it, or replace it where it is there.
    Replace(jobs::replace::Replace),
    /// Show what `jobs update` with the same flags, or `jobs replace` with a file, would change; exit status 0 whether or not
    /// that is anything.
    Diff(Box<jobs::diff::Diff>),
    /// Delete a job and its executions, and wait until that is done.
    Delete(jobs::delete::Delete),
    /// Executions, as gcloud names their commands: the same as `runjob executions`.
    #[command(subcommand)]
    Executions(Executions),
}

/// `runjob executions ...`
#[derive(Debug, Subcommand)]
pub(super) enum Executions {
    /// List executions, newest first.
    List(executions::list::List),
    /// Show an execution: the same as `runjob describe`.
    Describe(executions::describe::Describe),
    /// Wait for an execution to end: the same as `runjob wait`.
    Wait(executions::wait::Wait),
    /// Ask for an execution to be cancelled: the same as `runjob cancel`.
    Cancel(executions::cancel::Cancel),
    /// Delete an execution, and wait until that is done; a running one is stopped.
    Delete(executions::delete::Delete),
    /// Tasks, as gcloud names their commands: the same as `runjob tasks`.
    #[command(subcommand)]
    Tasks(Tasks),
}

/// `runjob tasks ...`
#[derive(Debug, Subcommand)]
pub(super) enum Tasks {
    /// List the tasks of an execution, with the end of each one's last attempt.
    List(tasks::list::List),
    /// Show a task: its state, its attempts, what it runs.
    Describe(tasks::describe::Describe),
}

/// `runjob operations ...`
#[derive(Debug, Subcommand)]
pub(super) enum Operations {
    /// List the operations of a project and region.
    List(operations::list::List),
    /// Show an operation: whether it is done, and what it is about.
    Describe(operations::describe::Describe),
    /// Wait until an operation is done; exit status 1 when its result is an error.
    Wait(operations::wait::Wait),
    /// Have the service forget an operation; what it is about stays as it is.
    Delete(operations::delete::Delete),
}

impl Command {
    /// Carries the command out.
    pub(super) async fn run(self, context: &Context<'_>, printer: &Printer) -> Result<Exit, Failure> {
        match self {
            Self::Execute(typed) => jobs::execute::run(*typed, context, printer).await,
            Self::Wait(typed) => call(typed, context, printer).await,
            Self::Describe(typed) => call(typed, context, printer).await,
            Self::Cancel(typed) => call(typed, context, printer).await,
            Self::Jobs(jobs) => jobs.run(context, printer).await,
            Self::Executions(executions) => executions.run(context, printer).await,
            Self::Tasks(tasks) => tasks.run(context, printer).await,
            Self::Operations(operations) => operations.run(context, printer).await,
            Self::Recover(typed) => recover::run(typed, context, printer).await,
            Self::Doctor(typed) => doctor::run(typed, context, printer).await,
            Self::Estimate(typed) => estimate::run(typed, context, printer).await,
            Self::Schema(schema::Schema) => schema::run(printer),
            Self::Emulator(typed) => emulator::run(typed, context, printer).await,
            Self::Bench(typed) => bench::run(*typed, context, printer).await,
            Self::Completions(typed) => typed.run(printer),
            Self::Man(typed) => typed.run(Args::documented(), printer),
        }
    }
}

impl Jobs {
    async fn run(self, context: &Context<'_>, printer: &Printer) -> Result<Exit, Failure> {
        match self {
            Self::Execute(typed) => jobs::execute::run(*typed, context, printer).await,
            Self::List(typed) => call(typed, context, printer).await,
            Self::Describe(typed) => call(typed, context, printer).await,
            Self::Create(typed) => call(*typed, context, printer).await,
            Self::Update(typed) => call(*typed, context, printer).await,
            Self::Deploy(typed) => call(*typed, context, printer).await,
            Self::Replace(typed) => call(typed, context, printer).await,
            Self::Diff(typed) => call(*typed, context, printer).await,
            Self::Delete(typed) => call(typed, context, printer).await,
            Self::Executions(executions) => executions.run(context, printer).await,
        }
    }
}

impl Executions {
    async fn run(self, context: &Context<'_>, printer: &Printer) -> Result<Exit, Failure> {
        match self {
            Self::List(typed) => call(typed, context, printer).await,
            Self::Describe(typed) => call(typed, context, printer).await,
            Self::Wait(typed) => call(typed, context, printer).await,
            Self::Cancel(typed) => call(typed, context, printer).await,
            Self::Delete(typed) => call(typed, context, printer).await,
            Self::Tasks(tasks) => tasks.run(context, printer).await,
        }
    }
}

impl Tasks {
    async fn run(self, context: &Context<'_>, printer: &Printer) -> Result<Exit, Failure> {
        match self {
            Self::List(typed) => call(typed, context, printer).await,
            Self::Describe(typed) => call(typed, context, printer).await,
        }
    }
}

impl Operations {
    async fn run(self, context: &Context<'_>, printer: &Printer) -> Result<Exit, Failure> {
        match self {
            Self::List(typed) => call(typed, context, printer).await,
            Self::Describe(typed) => call(typed, context, printer).await,
            Self::Wait(typed) => call(typed, context, printer).await,
            Self::Delete(typed) => call(typed, context, printer).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Args, String> {
        Args::read(&line.split(' ').map(OsString::from).collect::<Vec<_>>()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_consistent_in_itself() {
        Args::command().debug_assert();
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
    fn a_flag_of_ours_is_no_value_of_another_unless_joined_to_it() {
        for (line, flag, own) in [
            ("execute dump --args --wait", "--args", "--wait"),
            ("execute dump --args --tasks=3", "--args", "--tasks"),
            ("execute dump --args --", "--args", "--"),
            ("execute dump --args -h", "--args", "-h"),
            ("execute --container x dump --args --format json", "--args", "--format"),
            ("--project execute execute dump --args --emulator", "--args", "--emulator"),
            ("jobs create dump --image=i --command --args=x", "--command", "--args"),
            ("jobs create dump --image=i --args --parallelism --wait", "--args", "--parallelism"),
        ] {
            let error = read(&format!("runjob {line}")).expect_err(line);
            assert!(error.contains(&format!("argument {flag}: one argument expected, and '{own}'")), "{line}: {error}");
            assert!(error.contains(&format!("{flag}={own}")), "{line}: {error}");
        }
        for line in ["--args=--wait", "--args --verbose", "--args -x", "--args wait", "--args=-h --wait"] {
            assert!(read(&format!("runjob execute dump {line}")).is_ok(), "{line}");
        }
        let missing = read("runjob execute dump --update-env-vars --wait").expect_err("no value");
        assert!(missing.contains("--update-env-vars"), "{missing}");
    }

    #[test]
    fn no_tip_names_a_command_that_ends_or_deletes_something() {
        for line in ["jobs delet x", "jobs deleted x", "cancell x", "executions cancle x", "operations del x"] {
            let error = read(&format!("runjob {line}")).expect_err(line);
            assert!(!error.contains("'delete'") && !error.contains("'cancel'"), "{line}: {error}");
        }
        let error = read("runjob jobs lst").expect_err("no such command");
        assert!(error.contains("'list'"), "{error}");
    }

    #[test]
    fn a_flag_that_a_command_lacks_is_refused_plainly() {
        for line in ["execute echo --memory=1Gi", "jobs list --memory=1Gi", "wait a-b --memory=1Gi"] {
            let error = read(&format!("runjob {line}")).expect_err(line);
            assert!(error.contains("unexpected argument '--memory'") && !error.contains("-- --memory"), "{error}");
        }
        let error = read("runjob execute echo --task-timeuot=5m").expect_err("no such flag");
        assert!(error.contains("'--task-timeout'"), "{error}");
    }

    #[test]
    fn negative_numbers_are_named_in_the_error() {
        for flag in ["--tasks=-1", "--tasks -1"] {
            let error = read(&format!("runjob execute echo {flag}")).expect_err(flag);
            assert!(error.contains("invalid value '-1' for '--tasks <N>'"), "{error}");
        }
    }
}
