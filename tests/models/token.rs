//! The token: a caller reads the job, looks for the execution that the token names, and writes the job back with the
//! token under the etag that it has read. What may be lost is sent again as long as the job has that etag.

use stateright::{Model, Property};

#[derive(Clone, Copy, Debug)]
struct Tokens {
    /// The token of each caller.
    callers: &'static [u8],
    calls: u8,
    crashes: u8,
    lost: u8,
    /// How many executions may be deleted.
    deletions: u8,
    /// Whether the service heeds the etag: where it does not, the model has to find what goes wrong.
    heeds_etag: bool,
    /// Whether the service refuses a second execution of one name.
    heeds_names: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    callers: Vec<Caller>,
    /// Updates on their way, each once for each copy.
    updates: Vec<Update>,
    etag: u8,
    token: Option<u8>,
    /// How often the execution of each token was started, and whether it is there.
    started: [u8; 2],
    exists: [bool; 2],
    deleted: [bool; 2],
    crashes: u8,
    lost: u8,
    deletions: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Caller {
    call: u8,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Phase {
    Idle,
    /// An update came too late, and all begins anew.
    Conflicted {
        conflicts: u8,
    },
    /// The job was read: its etag, and whether it has the token.
    Read {
        etag: u8,
        is_asked_for: bool,
        conflicts: u8,
    },
    /// The execution is not there.
    Absent {
        etag: u8,
        is_asked_for: bool,
        conflicts: u8,
    },
    Waiting {
        etag: u8,
        conflicts: u8,
    },
    /// The end is unknown, or the execution has not shown yet. `lost` is the etag of an update that may be sent again.
    Settling {
        lost: Option<u8>,
        looks: u8,
    },
    /// The job was read once more.
    SettlingRead {
        lost: Option<u8>,
        etag: u8,
        looks: u8,
    },
    /// A copy is on its way.
    Resent {
        etag: u8,
        looks: u8,
    },
    Told(Claim),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Claim {
    /// Started or adopted.
    Runs,
    NotStarted,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Update {
    caller: usize,
    call: u8,
    etag: u8,
    /// Nobody waits for its answer any more.
    is_late: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    ReadJob(usize),
    ReadExecution(usize),
    Send(usize),
    Carry(usize),
    CarryInVain(usize),
    Lose(usize),
    GiveUp(usize),
    Refuse(usize),
    SettleReadJob(usize),
    SettleReadExecution(usize),
    Crash(usize),
    CarryLate(usize),
    Delete(usize),
}

const MOST_CONFLICTS: u8 = 2;
const LOOKS: u8 = 1;

impl Tokens {
    /// Carries an update out. Returns whether it took effect.
    fn carry(&self, state: &mut State, update: Update) -> bool {
        let token = self.callers[update.caller];
        let n = usize::from(token);
        if self.heeds_etag && update.etag != state.etag {
            return false;
        }
        // The token that the job has already is no change, and starts nothing.
        let is_change = state.token != Some(token);
        if is_change && state.exists[n] && self.heeds_names {
            return false;
        }
        if self.heeds_etag || is_change {
            state.etag += 1;
        }
        state.token = Some(token);
        if is_change || !self.heeds_names {
            state.started[n] += 1;
            state.exists[n] = true;
        }
        true
    }
}

impl State {
    fn update(&self, n: usize) -> Option<usize> {
        let call = self.callers[n].call;
        self.updates.iter().position(|update| update.caller == n && update.call == call && !update.is_late)
    }

    fn send(&mut self, caller: usize, etag: u8) {
        let call = self.callers[caller].call;
        self.updates.push(Update { caller, call, etag, is_late: false });
        self.updates.sort_unstable();
    }

    /// The same with the callers of one token in an order: they are alike, so who is who does not matter.
    fn canonical(mut self, tokens: &[u8]) -> Self {
        let updates = |n: usize| {
            let own = self.updates.iter().filter(move |update| update.caller == n);
            own.map(|update| (update.call, update.etag, update.is_late)).collect::<Vec<_>>()
        };
        let mut order: Vec<_> = (0..self.callers.len()).collect();
        order.sort_by_key(|n| (tokens[*n], self.callers[*n].clone(), updates(*n)));
        let place = |n: usize| order.iter().position(|other| *other == n).unwrap_or(n);
        let callers = order.iter().map(|n| self.callers[*n].clone()).collect();
        self.updates.iter_mut().for_each(|update| update.caller = place(update.caller));
        self.callers = callers;
        self.updates.sort_unstable();
        self
    }

    fn abandon(&mut self, n: usize) {
        if let Some(update) = self.update(n) {
            self.updates[update].is_late = true;
            self.updates.sort_unstable();
        }
    }
}

impl Model for Tokens {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            callers: vec![Caller { call: 0, phase: Phase::Idle }; self.callers.len()],
            updates: Vec::new(),
            etag: 0,
            token: None,
            started: [0; 2],
            exists: [false; 2],
            deleted: [false; 2],
            crashes: self.crashes,
            lost: self.lost,
            deletions: self.deletions,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (n, caller) in state.callers.iter().enumerate() {
            match caller.phase {
                Phase::Idle | Phase::Conflicted { .. } => actions.push(Action::ReadJob(n)),
                Phase::Told(_) if caller.call + 1 < self.calls => actions.push(Action::ReadJob(n)),
                Phase::Read { .. } => actions.push(Action::ReadExecution(n)),
                Phase::Absent { .. } => actions.push(Action::Send(n)),
                Phase::Waiting { .. } | Phase::Resent { .. } => {
                    actions.extend([Action::Carry(n), Action::Refuse(n)]);
                    if state.lost > 0 {
                        actions.extend([Action::CarryInVain(n), Action::Lose(n), Action::GiveUp(n)]);
                    }
                }
                Phase::Settling { .. } => actions.push(Action::SettleReadJob(n)),
                Phase::SettlingRead { .. } => actions.push(Action::SettleReadExecution(n)),
                Phase::Told(_) => {}
            }
            let is_under_way = !matches!(caller.phase, Phase::Idle | Phase::Told(_));
            if state.crashes > 0 && is_under_way && caller.call + 1 < self.calls {
                actions.push(Action::Crash(n));
            }
        }
        actions.extend((0..state.updates.len()).filter(|n| state.updates[*n].is_late).map(Action::CarryLate));
        if state.deletions > 0 {
            actions.extend((0..2).filter(|n| state.exists[*n]).map(Action::Delete));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let token = |n: usize| self.callers[n];
        let exists = |n: usize| last.exists[usize::from(token(n))];
        let phase = |n: usize| last.callers[n].phase;
        match action {
            Action::ReadJob(n) => {
                let conflicts = if let Phase::Conflicted { conflicts } = phase(n) { conflicts } else { 0 };
                if matches!(phase(n), Phase::Told(_)) {
                    state.callers[n].call += 1;
                }
                let is_asked_for = last.token == Some(token(n));
                state.callers[n].phase = Phase::Read { etag: last.etag, is_asked_for, conflicts };
            }
            Action::ReadExecution(n) => {
                let Phase::Read { etag, is_asked_for, conflicts } = phase(n) else { return None };
                state.callers[n].phase =
                    if exists(n) { Phase::Told(Claim::Runs) } else { Phase::Absent { etag, is_asked_for, conflicts } };
            }
            Action::Send(n) => {
                let Phase::Absent { etag, is_asked_for, conflicts } = phase(n) else { return None };
                if is_asked_for {
                    state.callers[n].phase = Phase::Settling { lost: None, looks: LOOKS };
                } else {
                    state.callers[n].phase = Phase::Waiting { etag, conflicts };
                    state.send(n, etag);
                }
            }
            Action::Carry(n) => {
                let update = state.updates.remove(last.update(n)?);
                let took_effect = self.carry(&mut state, update);
                state.callers[n].phase = match phase(n) {
                    Phase::Waiting { .. } if took_effect => Phase::Settling { lost: None, looks: LOOKS },
                    Phase::Waiting { conflicts, .. } if conflicts < MOST_CONFLICTS => {
                        Phase::Conflicted { conflicts: conflicts + 1 }
                    }
                    Phase::Waiting { .. } => Phase::Told(Claim::NotStarted),
                    Phase::Resent { looks, .. } if took_effect => Phase::Settling { lost: None, looks },
                    // A refusal of a copy says nothing of the first one.
                    Phase::Resent { etag, looks } => Phase::Settling { lost: Some(etag), looks },
                    _ => return None,
                };
            }
            Action::Refuse(n) => {
                state.updates.remove(last.update(n)?);
                state.callers[n].phase = match phase(n) {
                    Phase::Resent { etag, looks } => Phase::Settling { lost: Some(etag), looks },
                    _ => Phase::Told(Claim::NotStarted),
                };
            }
            Action::CarryInVain(n) | Action::Lose(n) | Action::GiveUp(n) => {
                match action {
                    Action::GiveUp(_) => state.abandon(n),
                    _ => {
                        let update = state.updates.remove(last.update(n)?);
                        if matches!(action, Action::CarryInVain(_)) {
                            self.carry(&mut state, update);
                        }
                    }
                }
                state.lost -= 1;
                state.callers[n].phase = match phase(n) {
                    Phase::Waiting { etag, .. } => Phase::Settling { lost: Some(etag), looks: LOOKS },
                    Phase::Resent { etag, looks } => Phase::Settling { lost: Some(etag), looks },
                    _ => return None,
                };
            }
            Action::SettleReadJob(n) => {
                let Phase::Settling { lost, looks } = phase(n) else { return None };
                state.callers[n].phase = Phase::SettlingRead { lost, etag: last.etag, looks };
            }
            Action::SettleReadExecution(n) => {
                let Phase::SettlingRead { lost, etag, looks } = phase(n) else { return None };
                state.callers[n].phase = match (lost, looks) {
                    _ if exists(n) => Phase::Told(Claim::Runs),
                    (_, 0) => Phase::Told(Claim::Unknown),
                    (Some(lost), looks) if lost == etag => {
                        state.send(n, lost);
                        Phase::Resent { etag: lost, looks: looks - 1 }
                    }
                    (lost, looks) => Phase::Settling { lost, looks: looks - 1 },
                };
            }
            Action::Crash(n) => {
                state.abandon(n);
                state.callers[n] = Caller { call: last.callers[n].call + 1, phase: Phase::Idle };
                state.crashes -= 1;
            }
            Action::CarryLate(n) => {
                let update = state.updates.remove(n);
                self.carry(&mut state, update);
            }
            Action::Delete(n) => {
                (state.exists[n], state.deleted[n]) = (false, true);
                state.deletions -= 1;
            }
        }
        if self.heeds_etag {
            // An etag does not come back: what has an old one, and nobody waits for, is as good as lost.
            let etag = state.etag;
            state.updates.retain(|update| !update.is_late || update.etag == etag);
        }
        Some(state.canonical(self.callers))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("what is told to run has been started", |model: &Self, state: &State| {
                state.callers.iter().zip(model.callers).all(|(caller, token)| {
                    caller.phase != Phase::Told(Claim::Runs) || state.started[usize::from(*token)] > 0
                })
            }),
            Property::always("what is told as not started has no request on its way", |_: &Self, state: &State| {
                (0..state.callers.len()).filter(|n| state.callers[*n].phase == Phase::Told(Claim::NotStarted)).all(
                    |n| {
                        let call = state.callers[n].call;
                        state.updates.iter().all(|update| (update.caller, update.call) != (n, call) || update.is_late)
                    },
                )
            }),
        ];
        if !self.heeds_etag || !self.heeds_names {
            properties.push(Property::sometimes(
                "without both promises of the service a token starts twice",
                |_: &Self, state: &State| state.started.iter().any(|starts| *starts > 1),
            ));
            return properties;
        }
        properties.push(Property::always(
            "one token, one execution, unless it was deleted",
            |_: &Self, state: &State| {
                state.started.iter().zip(state.deleted).all(|(starts, deleted)| *starts <= 1 || deleted)
            },
        ));
        if self.deletions > 0 {
            properties.push(Property::always(
                "a deleted execution stays away as long as the job has its token",
                |_: &Self, state: &State| {
                    let own = state.token.map(usize::from);
                    own.is_none_or(|own| state.started[own] <= 1 || state.started[1 - own] > 0)
                },
            ));
            properties.push(Property::sometimes(
                "after another token a deleted execution is started again",
                |_: &Self, state: &State| state.started.iter().any(|starts| *starts > 1),
            ));
        }
        properties
    }
}

const THREE: Tokens =
    Tokens { callers: &[0, 0, 1], calls: 2, crashes: 2, lost: 2, deletions: 0, heeds_etag: true, heeds_names: true };

#[test]
#[ignore = "minutes unless built for release"]
fn one_token_starts_once() {
    crate::explore("token, three callers and two tokens", THREE);
}

#[test]
fn one_token_starts_once_for_three_callers_with_the_same() {
    crate::explore("token, three callers and one token", Tokens { callers: &[0, 0, 0], ..THREE });
}

#[test]
#[ignore = "minutes unless built for release"]
fn a_deleted_execution_is_the_exception() {
    crate::explore("token, one deletion", Tokens { deletions: 1, crashes: 1, lost: 1, ..THREE });
}

#[test]
#[ignore = "minutes unless built for release"]
fn without_etag_and_names_a_token_starts_twice() {
    crate::explore(
        "token, a service that heeds neither",
        Tokens { heeds_etag: false, heeds_names: false, crashes: 1, lost: 1, ..THREE },
    );
}
