//! Views of the machine: what Get and List answer. Changes nothing.

use std::{collections::BTreeSet, fmt, num::ParseIntError, str::FromStr, time::SystemTime};

use super::{Machine, Start, execution::ExecutionRecord};
use crate::{
    emulator::{refusal::Refusal, rest_only::RestOnly, synthetic},
    name::{ExecutionName, JobName, Location, OperationName, TaskName},
    proto::{
        longrunning::Operation,
        run::v2::{Execution, Job, Task},
    },
};

/// A place in a list: right after something that stays where it is, whatever is made or removed meanwhile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cursor {
    /// The order of making.
    serial: u64,
    /// The index of a task in that execution.
    index: u32,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}", self.serial, self.index)
    }
}

impl FromStr for Cursor {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (serial, index) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self { serial: u64::from_str_radix(serial, 16)?, index: u32::from_str_radix(index, 16)? })
    }
}

/// All that is there, oldest first.
#[derive(Debug)]
pub(crate) struct Everything {
    pub(crate) jobs: Vec<Job>,
    pub(crate) executions: Vec<Execution>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) operations: Vec<Operation>,
}

impl Machine {
    pub(crate) fn everything(&self) -> Everything {
        let executions = || self.executions.oldest_first().map(|(_, record)| record);
        let tasks = |record: &'_ ExecutionRecord| {
            (0..record.task_count()).map(|index| record.tasks[index].to_proto(record, index)).collect::<Vec<_>>()
        };
        Everything {
            jobs: self.jobs.oldest_first().map(|(_, record)| record.to_proto()).collect(),
            executions: executions().map(ExecutionRecord::to_proto).collect(),
            tasks: executions().flat_map(tasks).collect(),
            operations: self.operations.oldest_first().map(|(name, progress)| self.draw(name, progress)).collect(),
        }
    }

    pub(crate) fn ledger(&self) -> &[Start] {
        &self.ledger
    }

    pub(crate) fn job(&self, name: &JobName) -> Result<Job, Refusal> {
        self.jobs.get(name).map(|record| record.to_proto()).ok_or_else(|| Refusal::no_job(name))
    }

    /// The newest first, like every list but that of tasks.
    pub(crate) fn jobs(&self, location: &Location, after: Option<Cursor>) -> impl Iterator<Item = (Cursor, Job)> {
        let all = self.jobs.newest_first(from(after));
        all.filter(move |(_, name, _)| name.location() == location)
            .map(|(serial, _, record)| (Cursor { serial, index: 0 }, record.to_proto()))
    }

    pub(crate) fn execution(&self, name: &ExecutionName) -> Result<Execution, Refusal> {
        self.executions.get(name).map(|record| record.to_proto()).ok_or_else(|| Refusal::no_execution(name))
    }

    /// Of one job, or of all jobs of the location if its id is `-`.
    pub(crate) fn executions(&self, job: &JobName, after: Option<Cursor>) -> impl Iterator<Item = (Cursor, Execution)> {
        let all = self.executions.newest_first(from(after));
        all.filter(move |(_, name, _)| is_within(name.job(), job))
            .map(|(serial, _, record)| (Cursor { serial, index: 0 }, record.to_proto()))
    }

    pub(crate) fn task(&self, name: &TaskName) -> Result<Task, Refusal> {
        let execution = name.execution();
        let index = name.id().strip_prefix(execution.id()).and_then(|rest| rest.strip_prefix("-task"));
        let find = |index: &str| {
            let record = self.executions.get(execution)?;
            let index: u32 = index.parse().ok()?;
            Some(record.tasks.get(index as usize)?.to_proto(record, index))
        };
        // The name as we print it is the only one: `-task01` is no task.
        index.and_then(find).filter(|task| task.name == name.to_string()).ok_or_else(|| Refusal::no_task(name))
    }

    /// By index within each execution; job and execution may be `-`.
    pub(crate) fn tasks(&self, parent: &ExecutionName, after: Option<Cursor>) -> impl Iterator<Item = (Cursor, Task)> {
        let last = after.unwrap_or(Cursor { serial: u64::MAX, index: 0 });
        let all = self.executions.newest_first(last.serial);
        let within = all.filter(move |(_, name, _)| {
            is_within(name.job(), parent.job()) && (parent.is_wildcard() || parent.id() == name.id())
        });
        within.flat_map(move |(serial, _, record)| {
            let first = if serial == last.serial { last.index.saturating_add(1) } else { 0 };
            (first..record.task_count())
                .map(move |index| (Cursor { serial, index }, record.tasks[index].to_proto(record, index)))
        })
    }

    pub(crate) fn operation(&self, name: &OperationName) -> Result<Operation, Refusal> {
        let progress = self.operations.get(name).ok_or_else(|| Refusal::no_operation(name))?;
        Ok(self.draw(name, progress))
    }

    /// When the start was accepted that an operation stands for.
    pub(crate) fn begun(&self, operation: &OperationName) -> Option<SystemTime> {
        let mut newest = self.ledger.iter().rev();
        newest.find(|start| start.operation == *operation).map(|start| start.time)
    }

    pub(crate) fn operations(
        &self,
        location: &Location,
        after: Option<Cursor>,
    ) -> impl Iterator<Item = (Cursor, Operation)> {
        let all = self.operations.newest_first(from(after));
        all.filter(move |(_, name, _)| name.location() == location)
            .map(|(serial, name, progress)| (Cursor { serial, index: 0 }, self.draw(name, progress)))
    }

    /// What only REST knows of a job, or of an execution or a task through the job that it was made from.
    pub(crate) fn rest_only(&self, name: &str) -> Option<RestOnly> {
        if let Ok(name) = name.parse::<JobName>() {
            return self.jobs.get(&name)?.rest_only.as_deref().cloned();
        }
        if let Ok(name) = name.parse::<TaskName>() {
            return self.executions.get(name.execution())?.rest_only.as_ref()?.part("template")?.part("template");
        }
        let record = self.executions.get(&name.parse::<ExecutionName>().ok()?)?;
        Some(record.rest_only.as_ref()?.part("template")?.without("delayExecution"))
    }

    /// The id of the project of this text, should that be the number of a project that has jobs.
    pub(crate) fn project_id(&self, project: &str) -> Option<&str> {
        let number: u64 = project.parse().ok()?;
        let mut projects = self.jobs.oldest_first().map(|(name, _)| name.location().project());
        projects.find(|id| synthetic::project_number(id) == number)
    }

    /// The regions in which a project has jobs, in the order of their names.
    pub(crate) fn regions(&self, project: &str) -> Vec<String> {
        let locations = self.jobs.oldest_first().map(|(name, _)| name.location());
        let regions = locations.filter(|location| location.project() == project).map(|it| it.region().to_owned());
        regions.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Forgets an operation, not what it stands for.
    pub(crate) fn delete_operation(&mut self, name: &OperationName) -> Result<(), Refusal> {
        self.operations.remove(name).map(|_| ()).ok_or_else(|| Refusal::no_operation(name))?;
        self.effects.over.push(name.clone());
        Ok(())
    }
}

fn is_within(job: &JobName, parent: &JobName) -> bool {
    job.location() == parent.location() && (parent.is_wildcard() || parent.id() == job.id())
}

/// The serial number to go on from: the one before the cursor's.
fn from(after: Option<Cursor>) -> u64 {
    after.map_or(u64::MAX, |cursor| cursor.serial.saturating_sub(1))
}
