//! Events of attempts: how tasks get their turn, start, end, run out of time and are retried.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    AttemptEnd, AttemptId, Launch, Machine, Order,
    execution::{ExecutionRecord, StopCause},
    milestone::Milestone,
    task::{AttemptResult, StopReason, TaskPhase, TaskRecord},
};
use crate::{
    name::ExecutionName,
    proto::run::v2::{ExecutionTemplate, task_template::Retries},
};

impl Machine {
    /// The attempt runs: its time counts from now.
    pub(crate) fn attempt_started(&mut self, id: &AttemptId, now: SystemTime) {
        let Some(record) = self.executions.get_mut(&id.execution) else { return };
        let timeout = timeout(&record.template);
        let first = record.started.is_none();
        let Some(task) = current(record, id) else { return };
        task.started.get_or_insert(now);
        task.updated = now;
        if task.phase == TaskPhase::Starting {
            let deadline = now + timeout;
            task.phase = TaskPhase::Running { deadline };
            self.deadlines.insert((deadline, id.clone()));
        }
        record.updated = now;
        if first {
            record.started = Some(now);
            self.refer(&id.execution);
            self.reach(&id.execution, Milestone::Started, now);
        }
    }

    /// The attempt is over: its task is done, or tries again at once.
    pub(crate) fn attempt_ended(&mut self, id: &AttemptId, ending: AttemptEnd, now: SystemTime) {
        let Some(record) = self.executions.get_mut(&id.execution) else { return };
        let retries = if record.is_stopping() { 0 } else { max_retries(&record.template) };
        let Some(task) = current(record, id) else { return };
        if let TaskPhase::Running { deadline } = task.phase {
            self.deadlines.remove(&(deadline, id.clone()));
        }
        let result = match task.phase {
            TaskPhase::Stopping(StopReason::Execution(cause)) => AttemptResult::Stopped(cause),
            TaskPhase::Stopping(StopReason::Timeout) => AttemptResult::TimedOut,
            _ => AttemptResult::Ended(ending),
        };
        task.updated = now;
        task.last = Some(result.clone());
        let again = !result.succeeded() && task.retried < retries;
        if again {
            task.phase = TaskPhase::Starting;
            task.retried += 1;
            record.counts.retried += u32::from(id.attempt == 0);
        } else {
            (task.phase, task.completed) = (TaskPhase::Done, Some(now));
            record.settle_task(id.task_index, &result);
        }
        record.updated = now;
        if again {
            self.effects.orders.push(Order::Start(launch(record, id.task_index)));
        } else {
            self.schedule(&id.execution, now);
            self.complete(&id.execution, now);
        }
    }

    /// Lets executions come further whose next stage is due, and stops the attempts whose time is over.
    pub(crate) fn tick(&mut self, now: SystemTime) {
        while let Some((_, name)) = self.alarms.first().filter(|(at, _)| *at <= now).cloned() {
            self.alarms.pop_first();
            self.proceed(&name, now);
        }
        while let Some((_, id)) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now).cloned() {
            self.deadlines.pop_first();
            let record = self.executions.get_mut(&id.execution);
            if let Some(task) = record.and_then(|record| current(record, &id)) {
                task.phase = TaskPhase::Stopping(StopReason::Timeout);
                self.effects.orders.push(Order::Stop(id));
            }
        }
    }

    /// When [`Machine::tick`] has something to do.
    pub(crate) fn next_wake(&self) -> Option<SystemTime> {
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        let alarm = self.alarms.first().map(|(at, _)| *at);
        deadline.into_iter().chain(alarm).min()
    }

    /// The next stage of an execution's start-up, or the end of a delayed one that has taken too long.
    fn proceed(&mut self, name: &ExecutionName, now: SystemTime) {
        let Some(record) = self.executions.get_mut(name) else { return };
        let Some(plan) = record.plan.as_mut() else { return };
        if plan.limit().is_some_and(|limit| limit <= now) {
            self.stop(name, StopCause::Limit, now);
            self.complete(name, now);
            return;
        }
        plan.advance(now);
        record.updated = now;
        self.alarms.extend(plan.alarm().map(|at| (at, name.clone())));
        self.schedule(name, now);
    }

    /// Gives as many tasks their turn as may run at a time.
    pub(super) fn schedule(&mut self, name: &ExecutionName, now: SystemTime) {
        let Some(record) = self.executions.get_mut(name) else { return };
        while record.has_room() {
            let index = record.counts.scheduled;
            record.counts.scheduled += 1;
            record.counts.running += 1;
            let task = &mut record.tasks[index];
            task.phase = TaskPhase::Starting;
            task.scheduled = Some(now);
            task.updated = now;
            self.effects.orders.push(Order::Start(launch(record, index)));
        }
    }

    /// Ends an execution early: stops its attempts, and lets no other task start.
    pub(super) fn stop(&mut self, name: &ExecutionName, cause: StopCause, now: SystemTime) {
        let Some(record) = self.executions.get_mut(name).filter(|record| record.can_cancel()) else { return };
        for index in record.stop(cause, now) {
            let id = attempt(record, index);
            let task = &mut record.tasks[index];
            if let TaskPhase::Running { deadline } = task.phase {
                self.deadlines.remove(&(deadline, id.clone()));
            }
            if task.phase != TaskPhase::Stopping(StopReason::Timeout) {
                self.effects.orders.push(Order::Stop(id));
            }
            task.phase = TaskPhase::Stopping(StopReason::Execution(cause));
            task.updated = now;
        }
    }
}

/// The task of an attempt, unless that attempt is already over.
fn current<'a>(record: &'a mut ExecutionRecord, id: &AttemptId) -> Option<&'a mut TaskRecord> {
    let task = record.tasks.get_mut(id.task_index)?;
    let active = !matches!(task.phase, TaskPhase::Pending | TaskPhase::Done);
    (active && task.retried == id.attempt).then_some(task)
}

fn attempt(record: &ExecutionRecord, task_index: u32) -> AttemptId {
    AttemptId { execution: record.name.clone(), task_index, attempt: record.tasks[task_index].retried }
}

fn launch(record: &ExecutionRecord, task_index: u32) -> Launch {
    Launch { id: attempt(record, task_index), task_count: record.task_count(), template: Arc::clone(&record.template) }
}

/// Of one attempt; a valid template has one.
fn timeout(template: &ExecutionTemplate) -> Duration {
    let timeout = template.template.as_ref().and_then(|task| task.timeout);
    timeout.and_then(|timeout| timeout.try_into().ok()).unwrap_or_default()
}

fn max_retries(template: &ExecutionTemplate) -> u32 {
    match template.template.as_ref().and_then(|task| task.retries) {
        Some(Retries::MaxRetries(retries)) => u32::try_from(retries).unwrap_or_default(),
        None => 0,
    }
}
