//! What a line that is being typed can go on with, asked for by the scripts of `runjob completions`.
//!
//! clap knows commands and flags; names of jobs, executions, tasks and operations come from the service, which has a second
//! to answer. When it does not, there are no names, and nothing is printed about that.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::Write as _,
    sync::Arc,
    time::Duration,
};

use clap::{Command, FromArgMatches as _};
use clap_complete::{
    ArgValueCompleter, CompletionCandidate,
    env::{EnvCompleter, Shells},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use tokio::time::timeout;

use super::{
    context::Context,
    environment::Environment,
    flags::{
        global::{Global, Notation},
        names::TaskArg,
    },
    github::ActionsRunner,
    printer::Printer,
    session::Session,
};
use crate::Result;

/// The variable in which a script names its shell.
pub(super) const VARIABLE: &str = "RUNJOB_COMPLETE";

/// How long names may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The most names to offer.
const MOST_NAMES: usize = 500;

/// Answers a script: prints what the line can go on with. `None` when no script asks.
pub(super) fn answer(program: impl FnOnce() -> Command, line: &[OsString], environment: &Environment) -> Option<()> {
    let shells = Shells::builtins();
    let shell: &dyn EnvCompleter = shells.completer(environment.var(VARIABLE)?)?;
    let program = program();
    let words: Vec<_> = line.iter().skip_while(|word| *word != "--").skip(1).cloned().collect();
    let asked = Arc::new(Asked { program: program.clone(), words: words.clone(), environment: environment.clone() });
    let mut program = program.mut_subcommands(|command| with_names(command, &asked));
    program.build();
    let mut answer = Vec::new();
    // A shell has no use for an error: it would stand in the line that is being typed.
    _ = shell.write_complete(&mut program, words, env::current_dir().ok().as_deref(), &mut answer);
    _ = std::io::stdout().write_all(&answer);
    Some(())
}

/// The command with names for its arguments that are resources.
fn with_names(command: Command, asked: &Arc<Asked>) -> Command {
    let is_new = command.get_name() == "create";
    let command = command.mut_subcommands(|child| with_names(child, asked));
    command.mut_args(|argument| {
        let kind = match argument.get_id().as_str() {
            "job" if !is_new => Offered::Job,
            "execution" | "executions" | "of" => Offered::Execution,
            "task" => Offered::Task,
            "operation" => Offered::Operation,
            _ => return argument,
        };
        let asked = Arc::clone(asked);
        argument.add(ArgValueCompleter::new(move |typed: &OsStr| asked.candidates(kind, &typed.to_string_lossy())))
    })
}

#[derive(Clone, Copy)]
enum Offered {
    Job,
    Execution,
    /// The execution has to be typed: there are too many of all.
    Task,
    Operation,
}

/// The line as far as it is typed, and where.
struct Asked {
    program: Command,
    words: Vec<OsString>,
    environment: Environment,
}

impl Asked {
    fn candidates(&self, kind: Offered, typed: &str) -> Vec<CompletionCandidate> {
        let mut names = self.names(kind, typed).unwrap_or_default();
        names.retain(|name| name.starts_with(typed));
        names.into_iter().map(CompletionCandidate::new).collect()
    }

    /// The names of this kind in the project and region of the line.
    fn names(&self, kind: Offered, typed: &str) -> Option<Vec<String>> {
        let matches = self.program.clone().ignore_errors(true).try_get_matches_from(&self.words).ok()?;
        let global = Global::from_arg_matches(&matches).ok()?;
        let context = Context::new(&global, &self.environment);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().ok()?;
        let names = runtime.block_on(async { timeout(PATIENCE, ask(kind, typed, &context)).await.ok()? });
        runtime.shutdown_background();
        names
    }
}

async fn ask(kind: Offered, typed: &str, context: &Context<'_>) -> Option<Vec<String>> {
    let location = context.location().ok()?;
    let session =
        Session::open(context, &location, &Printer::new(Notation::Text, true, ActionsRunner::default())).await.ok()?;
    let client = &session.client;
    let names: BoxStream<'_, Result<String>> = match kind {
        Offered::Job => client.jobs(&location).map_ok(|job| job.name).boxed(),
        Offered::Execution => client.executions(&location.any_job()).map_ok(|execution| execution.name).boxed(),
        Offered::Operation => client.list_operations(&location).map_ok(|operation| operation.name).boxed(),
        Offered::Task => {
            let task = TaskArg { task: typed.to_owned(), job: None };
            client.tasks(context.task(&task).ok()?.execution()).map_ok(|task| task.name).boxed()
        }
    };
    let names: Vec<String> = names.take(MOST_NAMES).try_collect().await.ok()?;
    let mut ids: Vec<_> = names.iter().filter_map(|name| Some(name.rsplit_once('/')?.1.to_owned())).collect();
    ids.sort_unstable();
    Some(ids)
}
