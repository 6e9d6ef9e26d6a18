//! The machine at work: one lock around it and its time, one driver that carries out its orders, and those who wait.
//!
//! Knows no RPC. Whoever has an event calls [`Engine::apply`]. Everything happens in the order of its time: what was due
//! before an event comes before it. The steps of a simulated attempt are such events, so that nothing depends on which
//! thread was faster; the orders for other attempts go to the driver in the order of the events.

mod schedule;

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::{JoinSet, yield_now},
    time::{Instant, sleep_until, timeout},
};

use self::schedule::Schedule;
use crate::{
    emulator::{
        clock::{Clock, Timekeeper},
        refusal::Refusal,
        runtime::{
            AttemptReport, Backend, Control, Directive, Directives, GRACE, Inadmissible, Runner, simulated::Agenda,
        },
        state::{AttemptId, Effects, Launch, Machine, Order},
        store::{Store, StoredState},
    },
    name::{JobName, OperationName},
    proto::{
        longrunning::Operation,
        run::v2::{Container, EnvVar},
    },
};

#[derive(Debug)]
pub(crate) struct Engine {
    state: Mutex<EngineState>,
    backend: Arc<Backend>,
    outlet: Arc<Outlet>,
    /// Without one nothing lasts, and what follows from an event follows at once.
    store: Option<Store<Step>>,
    /// Told when the next thing that is due is another one.
    due: Notify,
}

#[derive(Debug)]
struct EngineState {
    schedule: Schedule,
    /// What a reset goes back to.
    origin: Machine,
}

/// What follows from an event, or from a reset, after which nothing of before counts.
#[derive(Debug)]
struct Step {
    afresh: bool,
    effects: Effects,
}

/// Where what follows from an event goes: to the driver, and to those who wait.
#[derive(Debug)]
struct Outlet {
    commands: mpsc::UnboundedSender<DriverCommand>,
    /// Dropping a sender wakes everybody who waits for that operation.
    waits: Mutex<HashMap<OperationName, watch::Sender<()>>>,
}

/// A command for the driver.
#[derive(Debug)]
enum DriverCommand {
    CarryOut(Order),
    /// Pause the attempts of a job, or of all; stop those with a GPU.
    Suspend(Option<JobName>),
    /// Resume the paused ones.
    Resume(Option<JobName>),
    /// End all attempts by force, and forget them.
    Forget,
}

/// When the driver has to look at the schedule.
#[derive(Clone, Copy, Debug)]
enum Wake {
    At(Instant),
    AtOnce,
    Never,
}

impl Engine {
    /// The engine, and the driver that has to be run for anything to happen. A reset goes back to the machine given here.
    /// With a place to keep it the machine lasts.
    pub(crate) fn new(
        machine: Machine,
        clock: Clock,
        backend: Backend,
        kept: Option<StoredState>,
    ) -> (Arc<Self>, Driver) {
        // Unbounded, since the machine must not wait; it gives two orders per attempt at most.
        let (commands, queue) = mpsc::unbounded_channel();
        let agenda = match &backend {
            Backend::Simulated(script) => Some(Agenda::new(script.clone())),
            Backend::Live(_) => None,
        };
        let origin = machine.clone();
        let mut timekeeper = Timekeeper::new(clock);
        // Time does not go back over a restart either.
        machine.last_moment().into_iter().for_each(|last| timekeeper.move_to(last));
        let schedule = Schedule::new(machine, timekeeper, agenda);
        let state = Mutex::new(EngineState { schedule, origin });
        let backend = Arc::new(backend);
        let outlet = Arc::new(Outlet { commands, waits: Mutex::default() });
        let release = Arc::clone(&outlet);
        let store = kept.map(|kept| Store::start(kept, move |step| release.pass_on(step)));
        let engine = Arc::new(Self { state, backend: Arc::clone(&backend), outlet, store, due: Notify::new() });
        let (reports, inbox) = mpsc::unbounded_channel();
        let attempts = Attempts { tasks: JoinSet::new(), running: HashMap::new(), reports };
        let driver = Driver { engine: Arc::clone(&engine), backend, queue, inbox, attempts };
        (engine, driver)
    }

    /// Looks at the machine, as it is at this moment.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Machine) -> T) -> T {
        look(self.lock().schedule.machine())
    }

    /// Gives the machine an event, at this moment.
    pub(crate) fn apply<T>(&self, event: impl FnOnce(&mut Machine, SystemTime) -> T) -> T {
        self.change(|schedule| schedule.apply(event))
    }

    /// The operation when it is done, or as it is when the time is over. The time is the caller's own, and real.
    pub(crate) async fn wait(&self, name: &OperationName, limit: Duration) -> Result<Operation, Refusal> {
        if let Some(mut done) = self.register(name)? {
            // Either end is fine: the answer below says which it was.
            _ = timeout(limit, done.changed()).await;
        }
        self.read(|machine| machine.operation(name))
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.lock().schedule.timekeeper().now()
    }

    pub(crate) fn clock(&self) -> Clock {
        self.lock().schedule.timekeeper().clock()
    }

    /// Lets so much time pass at once.
    pub(crate) fn advance(&self, by: Duration) {
        self.change(|schedule| ((), schedule.advance(by)));
    }

    /// Waits for so much time to pass.
    pub(crate) async fn sleep(&self, time: Duration) {
        let alarm = self.change(|schedule| (schedule.alarm(time), Effects::default()));
        // The alarm is dropped when the driver has ended, and then there is nothing to wait for.
        _ = alarm.await;
    }

    /// Maintains the host of the running tasks of a job, or of all. It takes ten seconds of the emulator's time.
    pub(crate) fn maintain(&self, job: Option<JobName>) {
        let over = self.change(|schedule| {
            let effects = schedule.maintain(job.as_ref());
            (schedule.alarm(GRACE), effects)
        });
        // Without a driver nothing is running.
        let commands = self.outlet.commands.clone();
        _ = commands.send(DriverCommand::Suspend(job.clone()));
        tokio::spawn(async move {
            // Dropped by a reset or at the end, and then there is nothing left to resume.
            _ = over.await;
            _ = commands.send(DriverCommand::Resume(job));
        });
    }

    /// Makes the machine of this moment the one that a reset goes back to.
    pub(crate) fn settle_in(&self) {
        let mut state = self.lock();
        state.origin = state.schedule.machine().clone();
    }

    /// Ends all attempts, and is again as it was in the beginning: its things, its ids, and its time.
    pub(crate) fn reset(&self) {
        let mut state = self.lock();
        let EngineState { schedule, origin } = &mut *state;
        let timekeeper = Timekeeper::new(schedule.timekeeper().clock());
        schedule.reset(origin.clone(), timekeeper);
        let ((), effects) = schedule.apply(Machine::lose_attempts);
        self.keep(schedule, Step { afresh: true, effects });
    }

    /// Accounts for the attempts that were under way when the machine was last kept.
    pub(crate) fn lose_attempts(&self) {
        self.apply(Machine::lose_attempts);
    }

    /// Waits until all that was changed before is on disk, if anything is kept at all: what a caller is told is so from
    /// then on, whatever happens to the emulator.
    ///
    /// # Errors
    /// When it cannot be kept; says why.
    pub(crate) async fn flushed(&self) -> Result<(), Arc<str>> {
        match &self.store {
            Some(store) => store.flushed().await,
            None => Ok(()),
        }
    }

    /// Resolves with the reason once the state can no longer be saved.
    pub(crate) async fn failed(&self) -> Arc<str> {
        match &self.store {
            Some(store) => store.failed().await,
            None => pending().await,
        }
    }

    /// Lets go of the place where the state is kept; gives the reason if it could not be kept.
    pub(crate) fn close(&self) -> Option<Arc<str>> {
        let store = self.store.as_ref()?;
        store.close();
        store.failure()
    }

    /// Whether a job may have this container here.
    pub(crate) fn admits(&self, container: &Container) -> Result<(), Inadmissible> {
        self.backend.admits(container)
    }

    /// Whether a caller may set these variables here.
    pub(crate) fn admits_variables(&self, variables: &[EnvVar]) -> Result<(), Inadmissible> {
        self.backend.admits_variables(variables)
    }

    /// Ends all attempts by force, before it returns, and sends everybody home who waits.
    pub(crate) fn shut_down(&self) {
        // First, so that no attempt is kept as failed because of this: the next emulator accounts for it.
        self.store.iter().for_each(Store::seal);
        self.backend.kill_all();
        self.outlet.waits().clear();
    }

    /// What changes when the operation is done; nothing if it already is.
    fn register(&self, name: &OperationName) -> Result<Option<watch::Receiver<()>>, Refusal> {
        let state = self.lock();
        if state.schedule.machine().operation(name)?.done {
            return Ok(None);
        }
        Ok(Some(self.outlet.waits().entry(name.clone()).or_insert_with(|| watch::Sender::new(())).subscribe()))
    }

    /// Changes the schedule, and passes on what follows from it.
    fn change<T>(&self, change: impl FnOnce(&mut Schedule) -> (T, Effects)) -> T {
        let mut state = self.lock();
        let before = state.schedule.next_due();
        // The time is read under the lock, so that the machine's never goes back.
        let (answer, effects) = change(&mut state.schedule);
        // Under the lock, so that everything goes on in the order of the events.
        self.keep(&mut state.schedule, Step { afresh: false, effects });
        if state.schedule.next_due() != before {
            self.due.notify_one();
        }
        answer
    }

    /// Passes on what follows from an event, after what it has changed is kept, if anything is.
    fn keep(&self, schedule: &mut Schedule, step: Step) {
        match &self.store {
            Some(store) => store.write(schedule.take_changes(step.afresh), step),
            None => {
                schedule.drop_changes();
                self.outlet.pass_on(step);
            }
        }
    }

    fn next_wake(&self) -> Wake {
        let state = self.lock();
        let timekeeper = state.schedule.timekeeper();
        match (state.schedule.next_due(), timekeeper.clock()) {
            (None, _) | (_, Clock::Virtual) => Wake::Never,
            (Some(_), Clock::Fast) => Wake::AtOnce,
            (Some(due), Clock::Real) => Wake::At(timekeeper.instant(due)),
        }
    }

    /// Lets happen what is due.
    fn wake(&self, wake: Wake) {
        let jumps = matches!(wake, Wake::AtOnce);
        self.change(|schedule| ((), if jumps { schedule.jump() } else { schedule.advance(Duration::ZERO) }));
    }

    fn lock(&self) -> MutexGuard<'_, EngineState> {
        // A panic under the lock is reported where it happened.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outlet {
    fn pass_on(&self, Step { afresh, effects: Effects { orders, over } }: Step) {
        // Without a driver nothing is running, and nothing will start.
        if afresh {
            _ = self.commands.send(DriverCommand::Forget);
            self.waits().clear();
        }
        for order in orders {
            _ = self.commands.send(DriverCommand::CarryOut(order));
        }
        let mut waits = self.waits();
        for operation in over {
            waits.remove(&operation);
        }
    }

    fn waits(&self) -> MutexGuard<'_, HashMap<OperationName, watch::Sender<()>>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries out the machine's orders: runs attempts, stops them, and watches the clock.
#[derive(Debug)]
pub(crate) struct Driver {
    engine: Arc<Engine>,
    backend: Arc<Backend>,
    queue: mpsc::UnboundedReceiver<DriverCommand>,
    inbox: mpsc::UnboundedReceiver<AttemptReport>,
    attempts: Attempts,
}

impl Driver {
    /// Runs until it is dropped, which ends all attempts by force, or until `stop` resolves, which does so in order.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let engine = Arc::clone(&self.engine);
        loop {
            let wake = engine.next_wake();
            tokio::select! {
                Some(command) = self.queue.recv() => self.obey(command).await,
                Some(report) = self.inbox.recv() => self.hear(report),
                Some(ended) = self.attempts.tasks.join_next() => if let Err(error) = ended {
                    // An attempt that panicked would never be heard of again: neither may this go unheard.
                    if let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                },
                () = engine.due.notified() => {}
                () = wake.come() => engine.wake(wake),
                () = &mut stop => break,
            }
        }
        self.engine.shut_down();
        self.attempts.tasks.shutdown().await;
    }

    async fn obey(&mut self, command: DriverCommand) {
        match command {
            // A simulation has nothing started: the schedule does it all.
            DriverCommand::CarryOut(Order::Start(launch)) => {
                if let Backend::Live(runtime) = &*self.backend {
                    self.attempts.start(&**runtime, launch);
                }
            }
            DriverCommand::CarryOut(Order::Stop(id)) => self.attempts.stop(&id),
            DriverCommand::Suspend(job) => self.attempts.suspend(job.as_ref()),
            DriverCommand::Resume(job) => self.attempts.resume(job.as_ref()),
            DriverCommand::Forget => {
                self.attempts.forget().await;
                while self.inbox.try_recv().is_ok() {}
            }
        }
    }

    fn hear(&mut self, report: AttemptReport) {
        if let AttemptReport::Ended(id, _) = &report {
            self.attempts.running.remove(id);
        }
        self.engine.change(|schedule| ((), schedule.hear(report)));
    }
}

impl Wake {
    async fn come(self) {
        match self {
            Self::At(instant) => sleep_until(instant).await,
            // Calls that are under way have their turn first.
            Self::AtOnce => yield_now().await,
            Self::Never => pending().await,
        }
    }
}

/// The attempts under way in the runtime.
#[derive(Debug)]
struct Attempts {
    tasks: JoinSet<()>,
    running: HashMap<AttemptId, RunningAttempt>,
    reports: mpsc::UnboundedSender<AttemptReport>,
}

/// An attempt from the outside.
#[derive(Debug)]
struct RunningAttempt {
    has_gpu: bool,
    directive: watch::Sender<Directive>,
}

impl Attempts {
    fn start(&mut self, runtime: &dyn Runner, launch: Launch) {
        let id = launch.id.clone();
        let (started, has_started) = oneshot::channel();
        let (directive, directives) = Directives::new();
        self.running.insert(id.clone(), RunningAttempt { has_gpu: launch.has_gpu(), directive });
        let attempt = runtime.run(launch, Control { started, directives });
        let reports = self.reports.clone();
        self.tasks.spawn(async move {
            // A driver that is gone needs no report.
            let tell = |report| _ = reports.send(report);
            let announce = async {
                if has_started.await.is_ok() {
                    tell(AttemptReport::Started(id.clone()));
                }
            };
            let ((), ending) = tokio::join!(announce, attempt);
            tell(AttemptReport::Ended(id, ending));
        });
    }

    fn stop(&self, id: &AttemptId) {
        if let Some(attempt) = self.running.get(id) {
            attempt.directive.send_replace(Directive::Stop);
        }
    }

    fn suspend(&self, job: Option<&JobName>) {
        for attempt in self.of(job) {
            attempt.turn(Directive::Run, if attempt.has_gpu { Directive::Stop } else { Directive::Pause });
        }
    }

    fn resume(&self, job: Option<&JobName>) {
        self.of(job).for_each(|attempt| attempt.turn(Directive::Pause, Directive::Run));
    }

    fn of(&self, job: Option<&JobName>) -> impl Iterator<Item = &RunningAttempt> {
        let running = self.running.iter().filter(move |(id, _)| job.is_none_or(|job| id.execution.job() == job));
        running.map(|(_, attempt)| attempt)
    }

    async fn forget(&mut self) {
        self.tasks.shutdown().await;
        self.running.clear();
    }
}

impl RunningAttempt {
    /// Sends another directive if this is the current one.
    fn turn(&self, from: Directive, to: Directive) {
        self.directive.send_if_modified(|directive| {
            let turns = *directive == from;
            if turns {
                *directive = to;
            }
            turns
        });
    }
}
