//! What to do about failed and retried tasks, as far as the execution itself shows it.

use serde::Serialize;

use super::failures::{FailedTask, ranges};
use crate::{
    JobName,
    proto::run::v2::{Execution, Task},
};

/// A task that was tried more than once.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Retried {
    task: i32,
    attempts: u32,
}

impl Retried {
    pub(in crate::cli) fn of(task: &Task) -> Option<Self> {
        let retries = u32::try_from(task.retried).ok().filter(|retries| *retries > 0)?;
        Some(Self { task: task.index, attempts: retries.saturating_add(1) })
    }

    pub(super) fn of_failure(failure: &FailedTask) -> Option<Self> {
        let (task, attempts) = (failure.task(), failure.attempts());
        (attempts > 1).then_some(Self { task, attempts })
    }
}

/// A sentence for each thing to do or to know. `retried` are the retried tasks that are known.
pub(super) fn hints(job: &JobName, execution: &Execution, failures: &[FailedTask], retried: &[Retried]) -> Vec<String> {
    [memory(job, execution, failures), retries(execution, retried)].into_iter().flatten().collect()
}

/// That memory may have run out, with the limit as it was and the flag that raises it.
fn memory(job: &JobName, execution: &Execution, failures: &[FailedTask]) -> Option<String> {
    failures.iter().find(|failure| failure.was_killed())?;
    let limit = memory_limit(execution);
    Some(format!(
        "signal 9 ends a container that runs out of memory ({limit}); `runjob jobs update {job} --memory=SIZE` gives it more"
    ))
}

fn memory_limit(execution: &Execution) -> String {
    let containers = execution.template.iter().flat_map(|template| &template.containers);
    let limits: Vec<_> = containers
        .filter_map(|container| {
            let limit = container.resources.as_ref()?.limits.get("memory")?;
            Some(if container.name.is_empty() { limit.clone() } else { format!("{limit} for {}", container.name) })
        })
        .collect();
    if limits.is_empty() {
        "no limit is set, so the service's own holds".to_owned()
    } else {
        format!("the limit is {}", limits.join(", "))
    }
}

/// That work was done more than once, and how often where each such task is known.
fn retries(execution: &Execution, retried: &[Retried]) -> Option<String> {
    let count = usize::try_from(execution.retried_count).unwrap_or(0).max(retried.len());
    let most = retried.iter().map(|retried| retried.attempts).max().filter(|_| retried.len() == count);
    Some(match (count, most) {
        (0, _) => return None,
        (1, Some(most)) => format!("task {} was tried {most} times, so its work ran more than once", retried[0].task),
        (1, None) => "1 task was retried, so its work ran more than once".to_owned(),
        (_, Some(most)) => {
            let tasks: Vec<_> = retried.iter().map(|retried| retried.task).collect();
            format!(
                "{count} tasks ({}) were tried up to {most} times, so their work ran more than once",
                ranges(&tasks)
            )
        }
        (_, None) => format!("{count} tasks were retried, so their work ran more than once"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        TaskEnd,
        cli::show::failures::tests::failure,
        proto::run::v2::{Container, ResourceRequirements, TaskTemplate},
    };

    fn execution(retried_count: i32, limits: &[(&str, &str)]) -> Execution {
        let container = |(name, limit): &(&str, &str)| Container {
            name: (*name).to_owned(),
            resources: Some(ResourceRequirements {
                limits: [("memory".to_owned(), (*limit).to_owned())].into(),
                ..ResourceRequirements::default()
            }),
            ..Container::default()
        };
        let template = TaskTemplate { containers: limits.iter().map(container).collect(), ..TaskTemplate::default() };
        Execution { retried_count, template: Some(template), ..Execution::default() }
    }

    fn hints_of(execution: &Execution, failures: &[FailedTask]) -> Vec<String> {
        let retried: Vec<_> = failures.iter().filter_map(Retried::of_failure).collect();
        hints(&"projects/p/locations/r/jobs/j".parse().expect("a name"), execution, failures, &retried)
    }

    #[test]
    fn signal_9_points_at_the_limit_and_the_flag_that_raises_it() {
        let killed = [failure(0, 1, TaskEnd::Signal(9), "")];
        let way = "`runjob jobs update projects/p/locations/r/jobs/j --memory=SIZE` gives it more";
        for (limits, said) in [
            (&[("", "512Mi")][..], "the limit is 512Mi"),
            (&[("a", "1Gi"), ("b", "2Gi")], "the limit is 1Gi for a, 2Gi for b"),
            (&[], "no limit is set, so the service's own holds"),
        ] {
            let expected = format!("signal 9 ends a container that runs out of memory ({said}); {way}");
            assert_eq!(hints_of(&execution(0, limits), &killed), [expected]);
        }
        assert!(hints_of(&execution(0, &[]), &[failure(0, 1, TaskEnd::Signal(15), "")]).is_empty());
    }

    #[test]
    fn a_retry_is_said_to_repeat_the_work() {
        let failed = |index| failure(index, 4, TaskEnd::ExitCode(1), "");
        for (count, failures, expected) in [
            (1, vec![failed(7)], "task 7 was tried 4 times, so its work ran more than once"),
            (2, vec![failed(0), failed(1)], "2 tasks (0-1) were tried up to 4 times, so their work ran more than once"),
            // Of tasks that succeeded in the end, only their number is known.
            (2, vec![failed(0)], "2 tasks were retried, so their work ran more than once"),
            (1, vec![], "1 task was retried, so its work ran more than once"),
        ] {
            assert_eq!(hints_of(&execution(count, &[]), &failures), [expected]);
        }
    }
}
