//! How the machine is written down, change by change, and read back: rows of JSON, with protobuf messages as base64 in
//! them. Knows no file.
//!
//! What an event changes is what it reached for writing. A task is a row of its own, so that a change to one of ten
//! thousand does not write them all.

use std::{collections::HashMap, error::Error as StdError, sync::Arc, time::SystemTime};

use prost::Message as _;
use serde::Serialize;

use super::{
    AttemptEnd, AttemptId, Machine, Start,
    execution::ExecutionRecord,
    job::JobRecord,
    operation::OperationSubject,
    task::{TaskPhase, TaskRecord},
};
use crate::{name::OperationName, proto::run::v2::ExecutionTemplate};

/// Where a row belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Table {
    Jobs,
    Executions,
    /// Of an execution, which never changes.
    Templates,
    Tasks,
    Operations,
    Ledger,
}

impl Table {
    /// All of them, in the order in which they are read back.
    pub(crate) const ALL: [Self; 6] =
        [Self::Jobs, Self::Executions, Self::Templates, Self::Tasks, Self::Operations, Self::Ledger];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Executions => "executions",
            Self::Templates => "templates",
            Self::Tasks => "tasks",
            Self::Operations => "operations",
            Self::Ledger => "ledger",
        }
    }
}

/// One step from what was written down before to what is true now.
#[derive(Debug)]
pub(crate) enum StateChange {
    /// The row's new content. The index is that of a task, and 0 elsewhere.
    Put { table: Table, serial: u64, index: u32, value: Vec<u8> },
    /// All rows of that serial number are gone.
    Remove { table: Table, serial: u64 },
    /// Everything is removed.
    Clear,
}

impl Machine {
    /// What the events since the last call have changed.
    pub(crate) fn take_changes(&mut self) -> Vec<StateChange> {
        let mut changes = Vec::new();
        for serial in self.jobs.take_touched() {
            changes.push(put_or_remove(Table::Jobs, serial, self.jobs.at_mut(serial)));
        }
        for serial in self.executions.take_touched() {
            match self.executions.at_mut(serial) {
                Some(record) => write_execution(serial, record, &mut changes),
                None => changes.extend(
                    [Table::Executions, Table::Templates, Table::Tasks]
                        .map(|table| StateChange::Remove { table, serial }),
                ),
            }
        }
        for serial in self.operations.take_touched() {
            changes.push(put_or_remove(Table::Operations, serial, self.operations.at(serial)));
        }
        for (index, start) in self.ledger.iter().enumerate().skip(self.recorded) {
            changes.push(put(Table::Ledger, index as u64, 0, start));
        }
        self.recorded = self.ledger.len();
        changes
    }

    /// Forgets the changes, because the state is not saved.
    pub(crate) fn drop_changes(&mut self) {
        self.jobs.take_touched();
        self.operations.take_touched();
        for serial in self.executions.take_touched() {
            if let Some(record) = self.executions.at_mut(serial) {
                record.tasks.take_touched();
            }
        }
    }

    /// Has everything count as changed.
    pub(crate) fn touch_all(&mut self) {
        _ = self.jobs.touch_all();
        _ = self.operations.touch_all();
        for record in self.executions.touch_all() {
            record.template_recorded = false;
            record.tasks.touch_all();
        }
        self.recorded = 0;
    }

    /// The last moment that anything here knows of.
    pub(crate) fn last_moment(&self) -> Option<SystemTime> {
        let executions = self.executions.newest_first(u64::MAX).map(|(_, _, record)| record.updated);
        let jobs = self.jobs.newest_first(u64::MAX).map(|(_, _, record)| record.updated);
        executions.chain(jobs).max()
    }

    /// Accounts for the attempts that were under way when the one who carried them out was lost: each has failed, and its
    /// task is tried again if it may be. None of them is started as if nothing had been.
    pub(crate) fn lose_attempts(&mut self, now: SystemTime) {
        let mut lost = Vec::new();
        for (_, name, record) in self.executions.newest_first(u64::MAX).filter(|(_, _, record)| !record.is_done()) {
            let active = |task: &TaskRecord| !matches!(task.phase, TaskPhase::Pending | TaskPhase::Done);
            let active = (0..).zip(record.tasks.iter()).filter(|(_, task)| active(task));
            lost.extend(active.map(|(task_index, task)| AttemptId {
                execution: name.clone(),
                task_index,
                attempt: task.retried,
            }));
        }
        for id in lost.into_iter().rev() {
            self.attempt_ended(&id, AttemptEnd::Lost, now);
        }
    }
}

/// A machine in the making, from the rows of one.
#[derive(Debug)]
pub(crate) struct Restoration {
    machine: Machine,
    /// Equal templates are shared, as they were before.
    templates: HashMap<Vec<u8>, Arc<ExecutionTemplate>>,
}

impl Restoration {
    /// From a machine to which nothing has happened.
    pub(crate) fn new(machine: Machine) -> Self {
        Self { machine, templates: HashMap::new() }
    }

    /// Takes a row; they come in the order of [`Table::ALL`], and of their numbers.
    pub(crate) fn add(
        &mut self,
        table: Table,
        serial: u64,
        value: &[u8],
    ) -> Result<(), Box<dyn StdError + Send + Sync>> {
        let machine = &mut self.machine;
        match table {
            Table::Jobs => {
                let mut record: JobRecord = serde_json::from_slice(value)?;
                record.template = shared(&mut self.templates, record.template.encode_to_vec())?;
                machine.jobs.restore(serial, record.name.clone(), record);
            }
            Table::Executions => {
                let record: ExecutionRecord = serde_json::from_slice(value)?;
                machine.executions.restore(serial, record.name.clone(), record);
            }
            Table::Templates => {
                let record = machine.executions.at_mut(serial).ok_or("a template without its execution")?;
                record.template = shared(&mut self.templates, value.to_vec())?;
                record.template_recorded = true;
            }
            Table::Tasks => {
                let record = machine.executions.at_mut(serial).ok_or("a task without its execution")?;
                record.tasks.restore(serde_json::from_slice(value)?);
            }
            Table::Operations => {
                let (name, progress): (OperationName, OperationSubject) = serde_json::from_slice(value)?;
                machine.operations.restore(serial, name, progress);
            }
            Table::Ledger => {
                machine.ledger.push(serde_json::from_slice::<Start>(value)?);
                machine.recorded += 1;
            }
        }
        Ok(())
    }

    /// The machine, if the rows make one.
    pub(crate) fn finish(self) -> Result<Machine, Box<dyn StdError + Send + Sync>> {
        let broken = |record: &ExecutionRecord| record.tasks.is_empty() || !record.template_recorded;
        let mut executions = self.machine.executions.newest_first(u64::MAX);
        if let Some((_, name, _)) = executions.find(|(_, _, record)| broken(record)) {
            return Err(format!("{name} is without its tasks or its template").into());
        }
        drop(executions);
        let Self { mut machine, .. } = self;
        let waiting = machine.executions.oldest_first().filter(|(_, record)| !record.is_done());
        let alarms = waiting.filter_map(|(name, record)| Some((record.plan.as_ref()?.alarm()?, name.clone())));
        machine.alarms = alarms.collect();
        Ok(machine)
    }
}

fn shared(
    templates: &mut HashMap<Vec<u8>, Arc<ExecutionTemplate>>,
    bytes: Vec<u8>,
) -> Result<Arc<ExecutionTemplate>, prost::DecodeError> {
    if let Some(present) = templates.get(&bytes) {
        return Ok(Arc::clone(present));
    }
    let template = Arc::new(ExecutionTemplate::decode(bytes.as_slice())?);
    templates.insert(bytes, Arc::clone(&template));
    Ok(template)
}

fn write_execution(serial: u64, record: &mut ExecutionRecord, changes: &mut Vec<StateChange>) {
    changes.push(put(Table::Executions, serial, 0, record));
    if !record.template_recorded {
        let value = record.template.encode_to_vec();
        changes.push(StateChange::Put { table: Table::Templates, serial, index: 0, value });
        record.template_recorded = true;
    }
    for index in record.tasks.take_touched() {
        changes.push(put(Table::Tasks, serial, index, &record.tasks[index]));
    }
}

fn put_or_remove(table: Table, serial: u64, value: Option<impl Serialize>) -> StateChange {
    value.map_or(StateChange::Remove { table, serial }, |value| put(table, serial, 0, &value))
}

fn put(table: Table, serial: u64, index: u32, value: &impl Serialize) -> StateChange {
    let value = serde_json::to_vec(value).expect("records are plain data, of times after 1970");
    StateChange::Put { table, serial, index, value }
}
