//! The machine, its clock, and all that is due: what happens next, and in which order. No lock, no timer, no task.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use tokio::sync::oneshot;

use crate::{
    emulator::{
        clock::Timekeeper,
        runtime::{AttemptReport, simulated::Agenda},
        state::{Effects, Machine, Order, StateChange},
    },
    name::JobName,
};

#[derive(Debug)]
pub(super) struct Schedule {
    machine: Machine,
    timekeeper: Timekeeper,
    /// The steps of simulated attempts; without it the orders are for somebody outside.
    agenda: Option<Agenda>,
    /// In the order in which they fire. One whose receiver was dropped does no harm.
    alarms: BTreeMap<(SystemTime, u64), oneshot::Sender<()>>,
    serial: u64,
}

impl Schedule {
    pub(super) fn new(machine: Machine, timekeeper: Timekeeper, agenda: Option<Agenda>) -> Self {
        Self { machine, timekeeper, agenda, alarms: BTreeMap::new(), serial: 0 }
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(super) fn timekeeper(&self) -> &Timekeeper {
        &self.timekeeper
    }

    /// An event at this moment, after all that was due before it; and what is to be done outside.
    pub(super) fn apply<T>(&mut self, event: impl FnOnce(&mut Machine, SystemTime) -> T) -> (T, Effects) {
        let now = self.timekeeper.now();
        let mut outside = Effects::default();
        self.settle(now, &mut outside);
        let answer = event(&mut self.machine, now);
        self.carry_out(now, &mut outside);
        self.settle(now, &mut outside);
        (answer, outside)
    }

    /// What an attempt tells, as an event.
    pub(super) fn hear(&mut self, report: AttemptReport) -> Effects {
        self.apply(|machine, now| happen(machine, report, now)).1
    }

    /// Lets so much time pass.
    pub(super) fn advance(&mut self, by: Duration) -> Effects {
        let until = self.timekeeper.later(by);
        let mut outside = Effects::default();
        self.settle(until, &mut outside);
        self.timekeeper.move_to(until);
        outside
    }

    /// Lets time pass up to the next thing that is due.
    pub(super) fn jump(&mut self) -> Effects {
        let wait = self.next_due().and_then(|due| due.duration_since(self.timekeeper.now()).ok());
        self.advance(wait.unwrap_or_default())
    }

    /// Rings after this time. It rings as well when the time is forgotten in a reset.
    pub(super) fn alarm(&mut self, after: Duration) -> oneshot::Receiver<()> {
        let (ring, rung) = oneshot::channel();
        self.alarms.insert((self.timekeeper.later(after), self.serial), ring);
        self.serial += 1;
        rung
    }

    /// Maintains the host of the simulated attempts of a job, or of all.
    pub(super) fn maintain(&mut self, job: Option<&JobName>) -> Effects {
        let now = self.timekeeper.now();
        let mut outside = Effects::default();
        self.settle(now, &mut outside);
        self.agenda.iter_mut().for_each(|agenda| agenda.maintain(job, now));
        self.settle(now, &mut outside);
        outside
    }

    /// When the next thing is due.
    pub(super) fn next_due(&self) -> Option<SystemTime> {
        let step = self.agenda.as_ref().and_then(Agenda::next);
        let alarm = self.alarms.first_key_value().map(|((at, _), _)| *at);
        [step, self.machine.next_wake(), alarm].into_iter().flatten().min()
    }

    /// Starts again with this machine and this time, and nothing due but what the machine says.
    pub(super) fn reset(&mut self, machine: Machine, timekeeper: Timekeeper) {
        (self.machine, self.timekeeper) = (machine, timekeeper);
        self.agenda.iter_mut().for_each(Agenda::clear);
        self.alarms.clear();
    }

    /// What the machine has changed since the last call, or all of it.
    pub(super) fn take_changes(&mut self, afresh: bool) -> Vec<StateChange> {
        if !afresh {
            return self.machine.take_changes();
        }
        self.machine.touch_all();
        let mut changes = vec![StateChange::Clear];
        changes.extend(self.machine.take_changes());
        changes
    }

    /// Forgets what the machine has changed.
    pub(super) fn drop_changes(&mut self) {
        self.machine.drop_changes();
    }

    /// Lets everything happen that is due until then, each thing at its own time.
    fn settle(&mut self, until: SystemTime, outside: &mut Effects) {
        while let Some(due) = self.next_due().filter(|due| *due <= until) {
            // An attempt that ends when its time is over has ended in time.
            if let Some(agenda) = self.agenda.as_mut().filter(|agenda| agenda.next() == Some(due)) {
                if let Some(report) = agenda.pop() {
                    happen(&mut self.machine, report, due);
                }
            } else if self.machine.next_wake() == Some(due) {
                self.machine.tick(due);
            } else if let Some((_, alarm)) = self.alarms.pop_first() {
                // Whoever set it may be gone.
                _ = alarm.send(());
            }
            self.carry_out(due, outside);
        }
    }

    /// Gives the machine's orders to the agenda, or outside.
    fn carry_out(&mut self, now: SystemTime, outside: &mut Effects) {
        let Effects { orders, over } = self.machine.take_effects();
        outside.over.extend(over);
        match &mut self.agenda {
            None => outside.orders.extend(orders),
            Some(agenda) => orders.into_iter().for_each(|order| match order {
                Order::Start(launch) => agenda.start(launch, now),
                Order::Stop(id) => agenda.stop(&id, now),
            }),
        }
    }
}

fn happen(machine: &mut Machine, report: AttemptReport, now: SystemTime) {
    match report {
        AttemptReport::Started(id) => machine.attempt_started(&id, now),
        AttemptReport::Ended(id, ending) => machine.attempt_ended(&id, ending, now),
    }
}
