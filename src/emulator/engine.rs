//! The machine at work: one lock around it, one driver that carries out its orders, and those who wait for operations.
//!
//! Knows no RPC. Whoever has an event calls [`Engine::apply`]; the orders go to the driver in the order of the events.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    emulator::{
        refusal::Refusal,
        runtime::{Control, Inadmissible, Runner, Stop},
        state::{AttemptId, Effects, Ending, Launch, Machine, Order},
    },
    name::OperationName,
    proto::{longrunning::Operation, run::v2::Container},
};

#[derive(Debug)]
pub(crate) struct Engine {
    state: Mutex<State>,
    clock: Clock,
    runtime: Arc<dyn Runner>,
    orders: mpsc::UnboundedSender<Order>,
}

#[derive(Debug)]
struct State {
    machine: Machine,
    /// Dropping a sender wakes everybody who waits for that operation.
    waits: HashMap<OperationName, watch::Sender<()>>,
}

/// The time of day at the start, carried on by tokio's clock, which a test can pause.
#[derive(Debug)]
struct Clock {
    day: SystemTime,
    origin: Instant,
}

impl Engine {
    /// The engine, and the driver that has to be run for anything to happen.
    pub(crate) fn new(machine: Machine, runtime: Arc<dyn Runner>) -> (Arc<Self>, Driver) {
        // Unbounded, since the machine must not wait; it gives two orders per attempt at most.
        let (orders, queue) = mpsc::unbounded_channel();
        let state = Mutex::new(State { machine, waits: HashMap::new() });
        let engine = Arc::new(Self { state, clock: Clock::start(), runtime, orders });
        let (reports, inbox) = mpsc::unbounded_channel();
        let driver = Driver {
            engine: Arc::clone(&engine),
            queue,
            reports,
            inbox,
            attempts: JoinSet::new(),
            stops: HashMap::new(),
        };
        (engine, driver)
    }

    /// Looks at the machine.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Machine) -> T) -> T {
        look(&self.lock().machine)
    }

    /// Gives the machine an event, at this moment.
    pub(crate) fn apply<T>(&self, event: impl FnOnce(&mut Machine, SystemTime) -> T) -> T {
        let mut state = self.lock();
        // Read under the lock, so that the machine's time never goes back.
        let answer = event(&mut state.machine, self.clock.now());
        let Effects { orders, over } = state.machine.take_effects();
        for order in orders {
            // Sent under the lock, so that the driver sees them in order. Without a driver nothing starts any more.
            _ = self.orders.send(order);
        }
        for operation in over {
            state.waits.remove(&operation);
        }
        answer
    }

    /// The operation when it is done, or as it is when the time is over.
    pub(crate) async fn wait(&self, name: &OperationName, limit: Duration) -> Result<Operation, Refusal> {
        if let Some(mut done) = self.register(name)? {
            // Either end is fine: the answer below says which it was.
            _ = timeout(limit, done.changed()).await;
        }
        self.read(|machine| machine.operation(name))
    }

    /// Whether a job may have this container here.
    pub(crate) fn admits(&self, container: &Container) -> Result<(), Inadmissible> {
        self.runtime.admits(container)
    }

    /// Ends all attempts by force, before it returns, and sends everybody home who waits.
    pub(crate) fn shut_down(&self) {
        self.runtime.kill_all();
        self.lock().waits.clear();
    }

    /// What changes when the operation is done; nothing if it already is.
    fn register(&self, name: &OperationName) -> Result<Option<watch::Receiver<()>>, Refusal> {
        let mut state = self.lock();
        if state.machine.operation(name)?.done {
            return Ok(None);
        }
        Ok(Some(state.waits.entry(name.clone()).or_insert_with(|| watch::Sender::new(())).subscribe()))
    }

    /// When the machine next has to be told the time.
    fn next_wake(&self) -> Option<Instant> {
        self.read(Machine::next_wake).map(|at| self.clock.instant(at))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is reported where it happened.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock {
    fn start() -> Self {
        Self { day: SystemTime::now(), origin: Instant::now() }
    }

    fn now(&self) -> SystemTime {
        self.day + self.origin.elapsed()
    }

    fn instant(&self, at: SystemTime) -> Instant {
        self.origin + at.duration_since(self.day).unwrap_or_default()
    }
}

/// What an attempt tells its driver.
#[derive(Debug)]
enum Report {
    Started(AttemptId),
    Ended(AttemptId, Ending),
}

/// Carries out the machine's orders: runs attempts, stops them, and watches the deadlines.
#[derive(Debug)]
pub(crate) struct Driver {
    engine: Arc<Engine>,
    queue: mpsc::UnboundedReceiver<Order>,
    reports: mpsc::UnboundedSender<Report>,
    inbox: mpsc::UnboundedReceiver<Report>,
    attempts: JoinSet<()>,
    stops: HashMap<AttemptId, watch::Sender<bool>>,
}

impl Driver {
    /// Runs until it is dropped, which ends all attempts by force, or until `stop` resolves, which does so in order.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let wake = self.engine.next_wake();
            tokio::select! {
                Some(order) = self.queue.recv() => self.carry_out(order),
                Some(report) = self.inbox.recv() => self.hear(report),
                Some(ended) = self.attempts.join_next() => if let Err(error) = ended {
                    // An attempt that panicked would never be heard of again: neither may this go unheard.
                    if let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                },
                () = async { sleep_until(wake.unwrap_or_else(Instant::now)).await }, if wake.is_some() => {
                    self.engine.apply(Machine::tick);
                }
                () = &mut stop => break,
            }
        }
        self.engine.shut_down();
        self.attempts.shutdown().await;
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Start(launch) => self.start(launch),
            Order::Stop(id) => {
                if let Some(stop) = self.stops.get(&id) {
                    stop.send_replace(true);
                }
            }
        }
    }

    fn start(&mut self, launch: Launch) {
        let id = launch.id.clone();
        let (started, has_started) = oneshot::channel();
        let (ask, stop) = Stop::new();
        self.stops.insert(id.clone(), ask);
        let attempt = self.engine.runtime.run(launch, Control { started, stop });
        let reports = self.reports.clone();
        self.attempts.spawn(async move {
            // A driver that is gone needs no report.
            let tell = |report| _ = reports.send(report);
            let announce = async {
                if has_started.await.is_ok() {
                    tell(Report::Started(id.clone()));
                }
            };
            let ((), ending) = tokio::join!(announce, attempt);
            tell(Report::Ended(id, ending));
        });
    }

    fn hear(&mut self, report: Report) {
        match report {
            Report::Started(id) => self.engine.apply(|machine, now| machine.attempt_started(&id, now)),
            Report::Ended(id, ending) => {
                self.stops.remove(&id);
                self.engine.apply(|machine, now| machine.attempt_ended(&id, ending, now));
            }
        }
    }
}
