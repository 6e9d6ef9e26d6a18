//! `runjob executions list`

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{TryFutureExt as _, TryStreamExt as _};

use crate::{
    Client, JobName, Location, Outcome, Phase, Result as Answered,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{
            listing::{Known, Listing},
            show_env::ShowEnv,
        },
        inquiry::Inquiry,
        listing::{Choice, Key, Listed, print},
        printer::Printer,
        session::Session,
        show::{mask::mask, view},
        verb::Verb,
    },
    proto::run::v2::Execution,
};

/// Of how many executions the tasks are asked for at a time.
const INQUIRIES: usize = 8;

/// `runjob executions list`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct List {
    /// Only this job's: its id or its full name. The default is every job of the region.
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    env: ShowEnv,
}

/// Whose executions to list, a job's or those of every job, and which of them.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    job: JobName,
    choice: Choice<ListedExecution>,
    show_env: bool,
}

impl Verb for List {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let job = match &self.job {
            Some(job) => context.job(job)?,
            None => context.location()?.any_job(),
        };
        let choice = Choice::of(&self.listing)?;
        Ok(Meaning { job, choice, show_env: self.env.show_env })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.job.location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let Meaning { job, choice, show_env } = meaning;
        let client = session.client.with_page_size(choice.page_size());
        let needs_state = choice.needs_state(printer.format());
        let has_warned = AtomicBool::new(false);
        let executions = client.executions(&job).map_ok(|execution| {
            let seen = seen(&session.client, execution, needs_state, printer, &has_warned);
            seen.map_ok(|seen| ListedExecution { execution: mask(seen.execution, show_env), ..seen })
        });
        let at_once = if choice.is_limited() { 1 } else { INQUIRIES };
        print(executions.try_buffered(at_once), &choice, printer).await?;
        Ok(Exit::Done)
    }
}

/// An execution, and where it stands.
#[derive(Debug)]
struct ListedExecution {
    execution: Execution,
    phase: Phase,
}

/// Finds out where an execution stands. Only its tasks know whether it timed out; what they do not tell is missing, and
/// that is said once.
async fn seen(
    client: &Client,
    execution: Execution,
    needs_state: bool,
    printer: &Printer,
    has_warned: &AtomicBool,
) -> Answered<ListedExecution> {
    let phase = Phase::of_execution(&execution);
    if !needs_state || !Outcome::may_be_timed_out(&execution) {
        return Ok(ListedExecution { execution, phase });
    }
    let outcome = match execution.name.parse() {
        Ok(name) => Inquiry::of(client, &name, false).await.map(|told| Outcome::of(&execution, told.failures)),
        Err(_) => return Ok(ListedExecution { execution, phase }),
    };
    let phase = match outcome {
        Ok(Outcome::TimedOut(_)) => Phase::TimedOut,
        Ok(_) => phase,
        Err(error) => {
            if !has_warned.swap(true, Ordering::Relaxed) {
                printer.line(&format!("warning: executions that timed out are listed as failed: {error}"));
            }
            phase
        }
    };
    Ok(ListedExecution { execution, phase })
}

impl Listed for ListedExecution {
    type Resource = Execution;

    const KNOWN: Known = Known {
        columns: &["EXECUTION", "STATE", "DONE", "CREATED", "ENDED"],
        states: &["pending", "running", "cancelling", "succeeded", "failed", "timed-out", "cancelled"],
        fields: &["name", "state", "created", "started", "ended"],
        has_labels: true,
    };

    fn resource(&self) -> &Execution {
        &self.execution
    }

    fn name(&self) -> &str {
        &self.execution.name
    }

    fn state(&self) -> String {
        // One word, to be typed in a filter.
        self.phase.to_string().replace(' ', "-")
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.execution.labels.get(key).map(String::as_str)
    }

    fn key(&self, field: &str) -> Key {
        let Self { execution, .. } = self;
        match field {
            "name" => Key::text(&view::id(&execution.name)),
            "state" => Key::text(&self.state()),
            "started" => Key::time(execution.start_time.as_ref()),
            "ended" => Key::time(execution.completion_time.as_ref()),
            _ => Key::time(execution.create_time.as_ref()),
        }
    }

    fn row(&self) -> Vec<String> {
        let Self { execution, phase } = self;
        let ended = execution.succeeded_count + execution.failed_count + execution.cancelled_count;
        vec![
            view::id(&execution.name),
            phase.to_string(),
            format!("{ended}/{}", execution.task_count),
            view::time(execution.create_time.as_ref()),
            view::time(execution.completion_time.as_ref()),
        ]
    }
}
