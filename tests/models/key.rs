//! The start key: a caller looks for its key among the job's executions, sends where it finds none, and looks again
//! after an unknown end. It never sends twice in one call.

use stateright::{Model, Property};

/// How the world may behave.
#[derive(Clone, Copy, Debug)]
struct Keys {
    callers: usize,
    /// How often a caller begins anew, after a crash or an end that it does not like.
    calls: u8,
    crashes: u8,
    /// Messages that are lost, and answers that nobody waits for any more because they are late.
    lost: u8,
    /// The service lists an execution some time after its start.
    lists_late: bool,
    /// Only one call goes on at a time, and a request that nobody waits for is never carried out: a caller has waited
    /// out the RPC timeout before it begins anew, as docs/reliability.md advises.
    takes_turns: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    callers: Vec<Caller>,
    /// Requests on their way, or held by the service.
    requests: Vec<Request>,
    executions: Vec<Execution>,
    crashes: u8,
    lost: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Caller {
    call: u8,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Phase {
    Idle,
    /// The first look was answered: with an execution, or with none. What it says may be old by now.
    Looked(Option<usize>),
    /// The request is sent.
    Waiting,
    /// The end is unknown; so many more looks.
    Settling(u8),
    Told(Claim),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Claim {
    Started(usize),
    Adopted(usize),
    NotStarted,
    Unknown,
}

/// Which call of which caller.
type Call = (usize, u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Request {
    call: Call,
    /// Nobody waits for its answer any more.
    is_held: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Execution {
    call: Call,
    is_listed: bool,
    /// Its request was still on its way when nobody waited for it any more.
    was_held: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    /// A look is served, and its answer is on its way.
    Look(usize),
    LoseLook(usize),
    Decide(usize),
    /// The service starts the job and answers.
    Carry(usize),
    /// It starts the job, and the answer is lost.
    CarryInVain(usize),
    /// The request is lost.
    Lose(usize),
    /// The caller gives up while the request is still on its way.
    GiveUp(usize),
    /// A proof comes that it was not processed.
    Refuse(usize),
    LookAgain(usize),
    Crash(usize),
    List(usize),
    /// A request that nobody waits for is carried out.
    CarryHeld(usize),
}

impl State {
    /// The oldest execution that a list shows.
    fn listed(&self) -> Option<usize> {
        self.executions.iter().position(|execution| execution.is_listed)
    }

    fn call(&self, caller: usize) -> Call {
        (caller, self.callers[caller].call)
    }

    fn request(&self, caller: usize) -> Option<usize> {
        let call = self.call(caller);
        self.requests.iter().position(|request| request.call == call && !request.is_held)
    }

    fn start(&mut self, request: usize, lists_late: bool) -> usize {
        let Request { call, is_held } = self.requests.remove(request);
        self.executions.push(Execution { call, is_listed: !lists_late, was_held: is_held });
        self.executions.len() - 1
    }

    /// What becomes of a request whose caller waits no more.
    fn abandon(&mut self, caller: usize, takes_turns: bool) {
        let Some(request) = self.request(caller) else { return };
        if takes_turns {
            self.requests.remove(request);
        } else {
            self.requests[request].is_held = true;
            self.requests.sort_unstable();
        }
    }

    /// The same with the callers in an order: they are alike, so who is who does not matter.
    fn canonical(mut self) -> Self {
        let call = |n: usize| {
            let requests: Vec<_> = self.requests.iter().filter(|request| request.call.0 == n).collect();
            let executions: Vec<_> = self.executions.iter().map(|execution| execution.call.0 == n).collect();
            (self.callers[n].clone(), requests.iter().map(|r| (r.call.1, r.is_held)).collect::<Vec<_>>(), executions)
        };
        let mut order: Vec<_> = (0..self.callers.len()).collect();
        order.sort_by_key(|n| call(*n));
        let place = |n: usize| order.iter().position(|other| *other == n).unwrap_or(n);
        let callers = order.iter().map(|n| self.callers[*n].clone()).collect();
        self.requests.iter_mut().for_each(|request| request.call.0 = place(request.call.0));
        self.executions.iter_mut().for_each(|execution| execution.call.0 = place(execution.call.0));
        self.callers = callers;
        self.requests.sort_unstable();
        self
    }

    fn is_busy(&self) -> bool {
        self.callers.iter().any(|caller| !matches!(caller.phase, Phase::Idle | Phase::Told(_)))
    }

    /// Two executions of different callers.
    fn has_two_callers(&self) -> bool {
        self.executions.windows(2).any(|pair| pair[0].call.0 != pair[1].call.0)
    }

    /// Two executions of one caller, of which one was held on the way while the caller began anew.
    fn has_held(&self) -> bool {
        self.executions.windows(2).any(|pair| pair[0].call.0 == pair[1].call.0)
            && self.executions.iter().any(|execution| execution.was_held)
    }
}

const LOOKS: u8 = 1;

impl Model for Keys {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            callers: vec![Caller { call: 0, phase: Phase::Idle }; self.callers],
            requests: Vec::new(),
            executions: Vec::new(),
            crashes: self.crashes,
            lost: self.lost,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (n, caller) in state.callers.iter().enumerate() {
            let may_begin = !(self.takes_turns && state.is_busy());
            match &caller.phase {
                // What did not start, or may not have, is tried again.
                Phase::Told(Claim::NotStarted | Claim::Unknown) if caller.call + 1 >= self.calls => {}
                Phase::Idle | Phase::Told(Claim::NotStarted | Claim::Unknown) if may_begin => {
                    actions.push(Action::Look(n));
                    if state.lost > 0 {
                        actions.push(Action::LoseLook(n));
                    }
                }
                Phase::Looked(_) => actions.push(Action::Decide(n)),
                Phase::Waiting => {
                    actions.extend([Action::Carry(n), Action::Refuse(n)]);
                    if state.lost > 0 {
                        actions.extend([Action::CarryInVain(n), Action::Lose(n), Action::GiveUp(n)]);
                    }
                }
                Phase::Settling(_) => actions.push(Action::LookAgain(n)),
                Phase::Idle | Phase::Told(_) => {}
            }
            let is_under_way = !matches!(caller.phase, Phase::Idle | Phase::Told(_));
            if state.crashes > 0 && is_under_way && caller.call + 1 < self.calls {
                actions.push(Action::Crash(n));
            }
        }
        actions.extend((0..state.executions.len()).filter(|n| !state.executions[*n].is_listed).map(Action::List));
        actions.extend((0..state.requests.len()).filter(|n| state.requests[*n].is_held).map(Action::CarryHeld));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let mut become_ = |n: usize, phase| state.callers[n].phase = phase;
        match action {
            Action::Look(n) | Action::LoseLook(n) => {
                if matches!(last.callers[n].phase, Phase::Told(_)) {
                    state.callers[n].call += 1;
                }
                state.callers[n].phase = if matches!(action, Action::Look(_)) {
                    Phase::Looked(last.listed())
                } else {
                    state.lost -= 1;
                    Phase::Told(Claim::NotStarted)
                };
            }
            Action::Decide(n) => match last.callers[n].phase {
                Phase::Looked(Some(execution)) => become_(n, Phase::Told(Claim::Adopted(execution))),
                _ => {
                    become_(n, Phase::Waiting);
                    state.requests.push(Request { call: last.call(n), is_held: false });
                    state.requests.sort_unstable();
                }
            },
            Action::Carry(n) => {
                let execution = state.start(last.request(n)?, self.lists_late);
                state.callers[n].phase = Phase::Told(Claim::Started(execution));
            }
            Action::CarryInVain(n) => {
                state.start(last.request(n)?, self.lists_late);
                state.callers[n].phase = Phase::Settling(LOOKS);
                state.lost -= 1;
            }
            Action::Lose(n) => {
                state.requests.remove(last.request(n)?);
                state.callers[n].phase = Phase::Settling(LOOKS);
                state.lost -= 1;
            }
            Action::GiveUp(n) => {
                // It waits for as long as the service may take: what is late is abandoned or held.
                state.abandon(n, self.takes_turns);
                state.callers[n].phase = Phase::Settling(LOOKS);
                state.lost -= 1;
            }
            Action::Refuse(n) => {
                state.requests.remove(last.request(n)?);
                state.callers[n].phase = Phase::Told(Claim::NotStarted);
            }
            Action::LookAgain(n) => {
                let Phase::Settling(looks) = last.callers[n].phase else { return None };
                become_(
                    n,
                    match (last.listed(), looks) {
                        (Some(execution), _) => Phase::Told(Claim::Adopted(execution)),
                        (None, 0) => Phase::Told(Claim::Unknown),
                        (None, looks) => Phase::Settling(looks - 1),
                    },
                );
            }
            Action::Crash(n) => {
                state.abandon(n, self.takes_turns);
                state.callers[n] = Caller { call: last.callers[n].call + 1, phase: Phase::Idle };
                state.crashes -= 1;
            }
            Action::List(n) => state.executions[n].is_listed = true,
            Action::CarryHeld(n) => _ = state.start(n, self.lists_late),
        }
        Some(state.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("what is told as started is there", |_: &Self, state: &State| {
                state.callers.iter().all(|caller| match caller.phase {
                    Phase::Told(Claim::Started(n) | Claim::Adopted(n)) => n < state.executions.len(),
                    _ => true,
                })
            }),
            Property::always(
                "what is told as not started is not there and never will be",
                |_: &Self, state: &State| {
                    (0..state.callers.len()).filter(|n| state.callers[*n].phase == Phase::Told(Claim::NotStarted)).all(
                        |n| {
                            let call = state.call(n);
                            state.executions.iter().all(|execution| execution.call != call)
                                && state.requests.iter().all(|request| request.call != call)
                        },
                    )
                },
            ),
            Property::always("one call starts once at the most", |_: &Self, state: &State| {
                let calls: std::collections::HashSet<_> = state.executions.iter().map(|e| e.call).collect();
                calls.len() == state.executions.len()
            }),
        ];
        if self.takes_turns && !self.lists_late {
            properties.push(Property::always("one key, one execution", |_: &Self, state: &State| {
                state.executions.len() <= 1
            }));
        }
        if !self.takes_turns && !self.lists_late {
            properties
                .push(Property::always("one key, one execution, but for the exceptions", |_: &Self, state: &State| {
                    state.executions.len() <= 1 || state.has_two_callers() || state.has_held()
                }));
            properties
                .push(Property::sometimes("a request that was held starts a second one", |_: &Self, state: &State| {
                    state.has_held() && !state.has_two_callers()
                }));
        }
        if !self.takes_turns && self.callers > 1 {
            properties.push(Property::sometimes(
                "two callers at the same moment both start",
                |_: &Self, state: &State| {
                    state.executions.len() == 2
                        && state.has_two_callers()
                        && !state.executions.iter().any(|e| e.was_held)
                },
            ));
        }
        if self.takes_turns && self.lists_late {
            properties.push(Property::sometimes(
                "an execution that is not listed yet is started again",
                |_: &Self, state: &State| state.executions.len() > 1,
            ));
        }
        properties
    }
}

const THREE: Keys = Keys { callers: 3, calls: 2, crashes: 2, lost: 2, lists_late: false, takes_turns: false };

#[test]
#[ignore = "minutes unless built for release"]
fn one_key_starts_twice_only_for_two_callers_at_once_or_for_a_request_that_was_held() {
    crate::explore("start key, three callers at once", THREE);
}

#[test]
fn one_key_starts_once_for_callers_that_take_turns_and_wait_out_the_timeout() {
    crate::explore("start key, three callers in turn", Keys { takes_turns: true, calls: 3, ..THREE });
}

#[test]
fn a_late_list_is_the_exception_that_taking_turns_leaves() {
    crate::explore("start key, in turn, listed late", Keys { takes_turns: true, calls: 2, lists_late: true, ..THREE });
}
