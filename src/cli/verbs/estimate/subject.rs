//! The job or the execution that an estimate is about, and what it says of its tasks.
//!
//! Knows names and times; knows no price.

use std::time::Duration;

use prost_types::Timestamp;

use crate::{
    ErrorKind, ExecutionName, JobName, Location,
    cli::{context::Context, exit::Exit, failure::Failure, flags::names::ExecutionArg, session::Session},
    proto::run::v2::{Execution, Job, TaskTemplate},
};

/// What a word names, and how long a task of it is said to run.
#[derive(Debug)]
pub(super) enum EstimateSubject {
    Job(JobName, Duration),
    /// Without a duration its own counts.
    Execution(ExecutionName, Option<Duration>),
    /// Ids do not tell which it is: with a duration it is the job, if there is one, and without one it is the execution.
    Either(JobName, ExecutionName, Option<Duration>),
}

/// What a job or an execution says.
#[derive(Debug)]
pub(super) struct Facts {
    /// In full.
    pub(super) name: String,
    pub(super) template: TaskTemplate,
    pub(super) tasks: u32,
    /// Of one task.
    pub(super) duration: Duration,
    /// What the duration does not tell.
    pub(super) notes: Vec<String>,
}

impl EstimateSubject {
    /// What a word names, which is an execution when its job is given.
    pub(super) fn new(
        word: &str,
        job: Option<String>,
        duration: Option<Duration>,
        context: &Context<'_>,
    ) -> Result<Self, Failure> {
        let is_execution = job.is_some() || word.contains("/executions/");
        let execution = context.execution(&ExecutionArg { execution: word.to_owned(), job });
        if is_execution {
            return Ok(Self::Execution(execution?, duration));
        }
        match (context.job(word)?, execution, duration) {
            (job, Ok(execution), duration) => Ok(Self::Either(job, execution, duration)),
            (job, Err(_), Some(duration)) => Ok(Self::Job(job, duration)),
            (_, Err(_), None) => Err(Failure::usage("a job does not say how long its tasks run")
                .hint("add --duration=D, for instance --duration=5m, or name an execution that has ended")),
        }
    }

    pub(super) fn location(&self) -> &Location {
        match self {
            Self::Job(job, _) | Self::Either(job, ..) => job.location(),
            Self::Execution(execution, _) => execution.job().location(),
        }
    }

    /// Reads it.
    pub(super) async fn read(&self, session: &Session) -> Result<Facts, Failure> {
        let client = &session.client;
        match self {
            Self::Job(job, duration) => Ok(Facts::of_job(client.job(job).await?, *duration)),
            Self::Execution(execution, duration) => Facts::of_execution(client.execution(execution).await?, *duration),
            Self::Either(job, execution, duration) => {
                if let Some(duration) = *duration
                    && let Some(job) = found(client.job(job).await)?
                {
                    return Ok(Facts::of_job(job, duration));
                }
                match found(client.execution(execution).await)? {
                    Some(execution) => Facts::of_execution(execution, *duration),
                    None => Err(absent(job, execution, duration.is_some())),
                }
            }
        }
    }
}

/// What there is, or nothing.
fn found<T>(answer: crate::Result<T>) -> Result<Option<T>, Failure> {
    match answer {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        answer => Ok(Some(answer?)),
    }
}

fn absent(job: &JobName, execution: &ExecutionName, is_no_job: bool) -> Failure {
    let (message, hint) = match is_no_job {
        true => (format!("there is no {job} and no {execution}"), "check the project, the region and the name"),
        false => (format!("there is no {execution}"), "for a job add --duration=D, for instance --duration=5m"),
    };
    Failure::new(Exit::Conflict, message).hint(hint)
}

impl Facts {
    fn of_job(job: Job, duration: Duration) -> Self {
        let template = job.template.unwrap_or_default();
        let (tasks, template) = (count(template.task_count), template.template.unwrap_or_default());
        Self { name: job.name, template, tasks, duration, notes: Vec::new() }
    }

    fn of_execution(execution: Execution, given: Option<Duration>) -> Result<Self, Failure> {
        let (duration, notes) = match given {
            Some(duration) => (duration, Vec::new()),
            None => measured(&execution)?,
        };
        let tasks = count(execution.task_count);
        Ok(Self { name: execution.name, template: execution.template.unwrap_or_default(), tasks, duration, notes })
    }
}

/// A number of tasks, of which there is 1 where none is set.
fn count(tasks: i32) -> u32 {
    u32::try_from(tasks).unwrap_or_default().max(1)
}

/// How long a task of it took, at most and on average, and what that leaves out.
fn measured(execution: &Execution) -> Result<(Duration, Vec<String>), Failure> {
    let name = &execution.name;
    let unusable = |what| {
        let failure = Failure::new(Exit::Conflict, format!("{name} {what}, so that its duration is not known"));
        failure.hint("give it with --duration=D, for instance --duration=5m")
    };
    let ended = execution.completion_time.ok_or_else(|| unusable("has not ended"))?;
    let started = execution.start_time.ok_or_else(|| unusable("ended without a start"))?;
    let whole = nanos(ended) - nanos(started);
    let whole = u64::try_from(whole).map_err(|_| unusable("has times that no execution can have"))?;
    let (tasks, at_once) = (count(execution.task_count), count(execution.parallelism));
    let is_spread = execution.parallelism > 0 && at_once < tasks;
    let share = if is_spread { (u128::from(whole) * u128::from(at_once)).div_ceil(tasks.into()) } else { whole.into() };
    let duration = Duration::from_nanos(u64::try_from(share).unwrap_or(whole));
    let mut notes = Vec::new();
    if is_spread {
        notes.push(format!("{tasks} tasks ran {at_once} at a time, so each is taken to have run for an equal share"));
    }
    if execution.retried_count > 0 {
        notes.push("tasks were retried: each attempt is billed for a minute at least, which is not counted".to_owned());
    }
    Ok((duration, notes))
}

fn nanos(time: Timestamp) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(tasks: i32, parallelism: i32, started: Option<i64>, ended: Option<i64>) -> Execution {
        let time = |seconds| Timestamp { seconds, nanos: 500_000_000 };
        Execution {
            name: "E".to_owned(),
            task_count: tasks,
            parallelism,
            start_time: started.map(time),
            completion_time: ended.map(time),
            ..Execution::default()
        }
    }

    #[test]
    fn a_task_is_taken_to_run_for_its_share_of_the_execution() {
        for (tasks, parallelism, seconds, notes) in [(1, 1, 90, 0), (3, 3, 90, 0), (3, 0, 90, 0), (3, 2, 60, 1)] {
            let (duration, said) = measured(&execution(tasks, parallelism, Some(10), Some(100))).expect("it has both");
            assert_eq!((duration.as_secs(), said.len()), (seconds, notes), "{tasks} {parallelism}");
        }
        let retried = Execution { retried_count: 1, ..execution(1, 1, Some(10), Some(100)) };
        assert!(measured(&retried).expect("it has both").1[0].contains("retried"));
    }

    #[test]
    fn an_execution_without_its_times_has_no_duration() {
        for (started, ended, expected) in [
            (Some(1), None, "E has not ended"),
            (None, Some(1), "E ended without a start"),
            (Some(2), Some(1), "E has times that no execution can have"),
            (Some(i64::MIN), Some(i64::MAX), "E has times that no execution can have"),
        ] {
            let failure = measured(&execution(1, 1, started, ended)).expect_err(expected);
            assert!(failure.message().starts_with(expected), "{}", failure.message());
        }
    }
}
