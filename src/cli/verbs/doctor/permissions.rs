//! What the caller may do on a job (TestIamPermissions), what of that a start and a wait need, which is the smallest role
//! that gives it, and what this program can do without it.

use std::{collections::BTreeSet, error::Error as _};

use tonic::Status;

use super::Finding;
use crate::{
    Client, Error, JobName, Routing,
    cli::{exit::Exit, failure::Failure},
    proto::{iam::v1::TestIamPermissionsRequest, run::v2::jobs_client::JobsClient},
};

const RUN: &str = "run.jobs.run";
const OVERRIDE: &str = "run.jobs.runWithOverrides";
const GET_OPERATION: &str = "run.operations.get";
const GET_EXECUTION: &str = "run.executions.get";
const LIST_TASKS: &str = "run.tasks.list";
const ALL: [&str; 5] = [RUN, OVERRIDE, GET_OPERATION, GET_EXECUTION, LIST_TASKS];

const VIEWER: &str = "roles/run.viewer";

/// The permissions that the caller has.
pub(super) struct Granted(BTreeSet<String>);

/// Asks which of the permissions the caller has on this job.
pub(super) async fn granted(client: &Client, job: &JobName) -> Result<Granted, Failure> {
    let permissions = ALL.map(str::to_owned).to_vec();
    let request = TestIamPermissionsRequest { resource: job.to_string(), permissions };
    let request = Routing::resource(job).request(request);
    let answer = JobsClient::new(client.transport()).test_iam_permissions(request).await;
    let answer = answer.map_err(|status| error(&status).doing("test permissions on", job))?;
    Ok(Granted(answer.into_inner().permissions.into_iter().collect()))
}

/// The client's own error behind the status of a stub, else what the service has said.
fn error(status: &Status) -> Error {
    let own = status.source().and_then(|source| source.downcast_ref::<Error>());
    own.cloned().unwrap_or_else(|| Error::from_peer(status))
}

impl Granted {
    fn has(&self, permission: &str) -> bool {
        self.0.contains(permission)
    }
}

/// To start a job.
pub(super) fn start(granted: &Granted) -> Finding {
    match granted.has(RUN) {
        true => Finding::Good(RUN.to_owned()),
        // The service says the same of a job that does not exist.
        false if granted.0.is_empty() => {
            missing(RUN, "roles/run.invoker", "nothing is granted on a job that does not exist: check its name")
        }
        false => missing(RUN, "roles/run.invoker", "without it no job can be started"),
    }
}

/// To start a job with other arguments, variables, tasks or timeouts than its own.
pub(super) fn overrides(granted: &Granted) -> Finding {
    match granted.has(OVERRIDE) {
        true => Finding::Good(OVERRIDE.to_owned()),
        false => missing(
            OVERRIDE,
            "roles/run.jobsExecutorWithOverrides",
            "without it a job can be started as it is, without --args, --update-env-vars, --tasks, --task-timeout and \
             --start-key",
        ),
    }
}

/// To learn of the end of an execution.
pub(super) fn wait(granted: &Granted) -> Finding {
    match (granted.has(GET_OPERATION), granted.has(GET_EXECUTION)) {
        (true, true) => Finding::Good(format!("{GET_OPERATION}, {GET_EXECUTION}")),
        (false, true) => {
            limited(GET_OPERATION, "without it the execution is polled, and its end is seen seconds later")
        }
        (true, false) => limited(
            GET_EXECUTION,
            "without it `runjob execute --wait` works, and `runjob wait` and `runjob describe` do not",
        ),
        (false, false) => failed(
            format!("{GET_OPERATION} and {GET_EXECUTION} are missing; {VIEWER} gives both"),
            "without one of them an execution can be started, and not waited for",
        ),
    }
}

/// To tell how the tasks of a failed execution ended.
pub(super) fn tasks(granted: &Granted) -> Finding {
    match granted.has(LIST_TASKS) {
        true => Finding::Good(LIST_TASKS.to_owned()),
        false => limited(
            LIST_TASKS,
            "without it a failure is reported without its tasks, and --propagate-exit-code has no code to pass on",
        ),
    }
}

fn missing(permission: &str, role: &str, without: &str) -> Finding {
    failed(format!("{permission} is missing; {role} gives it"), without)
}

fn failed(message: String, without: &str) -> Finding {
    Finding::Failed(Failure::new(Exit::Denied, message).hint(without))
}

fn limited(permission: &str, without: &str) -> Finding {
    Finding::Limited(format!("{permission} is missing; {VIEWER} gives it"), without.to_owned())
}
