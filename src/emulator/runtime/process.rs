//! Tasks as processes of this machine.
//!
//! A container is one process in a group of its own, with an environment that holds nothing of ours and a home that is
//! removed afterwards. Which program an image stands for is the allow-list's business; what its end means is the
//! machine's.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process_group};
#[cfg(target_os = "linux")]
use rustix::process::{Resource, Rlimit, prlimit};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use super::{
    Control, Directive, Directives, Inadmissible, Runner,
    images::Images,
    output::{AttemptOutput, OutputSender, Stream},
    spawner::Spawner,
    survivors::{self, Watchdog},
    variables,
};
use crate::{
    emulator::{
        EmulatorError,
        state::{AttemptEnd, Launch},
    },
    proto::run::v2::{Container, EnvVar, env_var::Values},
};

/// The PATH of a task whose job sets none.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// How long a pipe is read after its writers were killed: only a process that left its group still holds it then.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// Bytes of one file of a task: twice the memory that a job gets by default, where its files are on the service.
#[cfg(target_os = "linux")]
const MAX_FILE: u64 = 1024 * 1024 * 1024;

/// Tasks as processes.
#[derive(Debug)]
pub(crate) struct ProcessRuntime {
    images: Images,
    /// Whether a container's own `command` is run.
    allow_command: bool,
    output: OutputSender,
    grace: Duration,
    turns: Turns,
    /// Holds the homes of all tasks.
    root: TempDir,
    groups: Arc<Groups>,
    spawner: Arc<Spawner>,
}

/// What a process runtime is made of.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) images: Images,
    pub(crate) allow_command: bool,
    pub(crate) output: OutputSender,
    pub(crate) grace: Duration,
    /// Processes at a time; more wait for their turn.
    pub(crate) processes: usize,
    /// Becomes the place of all homes.
    pub(crate) root: TempDir,
}

impl Runner for ProcessRuntime {
    fn admits(&self, container: &Container) -> Result<(), Inadmissible> {
        match (self.images.command(&container.image), container.command.is_empty()) {
            (None, _) => Err(Inadmissible::ImageMissing),
            (Some(_), false) if !self.allow_command => Err(Inadmissible::CommandNotAllowed),
            (Some(_), _) => self.admits_variables(&container.env),
        }
    }

    fn admits_variables(&self, variables: &[EnvVar]) -> Result<(), Inadmissible> {
        let names = variables.iter().filter(|_| !self.allow_command).map(|variable| &variable.name);
        let refused = names.filter_map(|name| Some((name, variables::refusal(name)?))).next();
        refused.map_or(Ok(()), |(name, why)| Err(Inadmissible::Variable { name: name.clone(), why }))
    }

    fn run(&self, launch: Launch, control: Control) -> BoxFuture<'static, AttemptEnd> {
        let containers = launch.template.template.iter().flat_map(|task| &task.containers);
        let commands: Result<Vec<_>, _> = containers.map(|container| self.command(&launch, container)).collect();
        let output = self.output.of(launch.id);
        let (turns, groups, spawner) = (self.turns.clone(), Arc::clone(&self.groups), Arc::clone(&self.spawner));
        let grace = self.grace;
        Box::pin(async move {
            let Control { started, mut directives } = control;
            let begin = async {
                let commands = commands?;
                let turn = turns.take(commands.len()).await;
                let home = Home::new(&groups.homes)?;
                let processes = spawner.spawn(home.give_to(commands), &groups).await;
                Ok::<_, String>((turn, home, processes?))
            };
            let (turn, home, processes) = tokio::select! {
                biased;
                begun = begin => match begun {
                    Ok(begun) => begun,
                    Err(why) => return AttemptEnd::NotStarted(why),
                },
                () = directives.stop() => return AttemptEnd::NotStarted("it was stopped while it waited for its turn".to_owned()),
            };
            // A driver that is gone needs no report.
            _ = started.send(());
            let ending = watch_all(processes, &output, &directives, grace).await;
            home.clean().await;
            // Cleaning needs files as well.
            drop(turn);
            ending
        })
    }

    fn kill_all(&self) {
        self.groups.close();
        survivors::kill(self.root.path());
        // Here too, since others may hold on to this runtime; what a dying task still writes goes when it is dropped.
        _ = fs::remove_dir_all(self.root.path());
    }
}

impl ProcessRuntime {
    pub(crate) fn new(setup: Setup) -> Result<Self, EmulatorError> {
        let Setup { images, allow_command, output, grace, processes, root } = setup;
        let spawner = Arc::new(Spawner::start().map_err(EmulatorError::thread)?);
        let groups = Arc::new(Groups::new(root.path()));
        Ok(Self { images, allow_command, output, grace, turns: Turns::new(processes), root, groups, spawner })
    }

    /// The command line and the environment of a container, and nothing of this process's own.
    fn command(&self, launch: &Launch, container: &Container) -> Result<Command, String> {
        let mapped = self.images.command(&container.image);
        let own = Some(container.command.as_slice()).filter(|own| self.allow_command && !own.is_empty());
        let entrypoint = own.or(mapped).unwrap_or_default();
        let Some((program, arguments)) = entrypoint.split_first() else {
            return Err(format!("image '{}' is not mapped to a command", container.image));
        };
        // Asked again: the job can be from a time when more was allowed.
        if let Err(refused @ Inadmissible::Variable { .. }) = self.admits_variables(&container.env) {
            return Err(refused.to_string());
        }
        let mut command = Command::new(program);
        command.args(arguments).args(&container.args).env_clear().env("PATH", PATH);
        for variable in &container.env {
            let name = &variable.name;
            match &variable.values {
                Some(Values::ValueSource(_)) => return Err(format!("{name} is a secret, and the emulator has none")),
                Some(Values::Value(value)) => command.env(name, value),
                None => command.env(name, ""),
            };
        }
        command
            .env("CLOUD_RUN_JOB", launch.id.execution.job().id())
            .env("CLOUD_RUN_EXECUTION", launch.id.execution.id())
            .env("CLOUD_RUN_TASK_INDEX", launch.id.task_index.to_string())
            .env("CLOUD_RUN_TASK_ATTEMPT", launch.id.attempt.to_string())
            .env("CLOUD_RUN_TASK_COUNT", launch.task_count.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }
}

/// How many processes run at a time. The tasks that wait get their turn in order.
#[derive(Clone, Debug)]
struct Turns {
    free: Arc<Semaphore>,
    total: usize,
}

impl Turns {
    fn new(processes: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(processes)), total: processes }
    }

    /// Waits until this many processes may run. A task that needs more than the limit runs alone.
    async fn take(&self, processes: usize) -> OwnedSemaphorePermit {
        let count = u32::try_from(processes.min(self.total)).unwrap_or(u32::MAX);
        Arc::clone(&self.free).acquire_many_owned(count).await.expect("it is never closed")
    }
}

/// The home of one task, and what has it for its own.
#[derive(Debug)]
struct Home(TempDir);

impl Home {
    fn new(homes: &Path) -> Result<Self, String> {
        TempDir::new_in(homes).map(Self).map_err(|error| format!("there is no place for its home: {error}"))
    }

    /// The job may have set a HOME; the one it gets is its own.
    fn give_to(&self, mut commands: Vec<Command>) -> Vec<Command> {
        for command in &mut commands {
            command.env("HOME", self.0.path()).current_dir(self.0.path());
        }
        commands
    }

    /// Ends what is left of the task, and removes what it left.
    async fn clean(self) {
        // On a separate thread, since removing may take long; what cannot be removed goes with the root.
        let clean = move || {
            survivors::kill(self.0.path());
            drop(self);
        };
        _ = spawn_blocking(clean).await;
    }
}

/// The process groups that are alive, so that all of them can be killed at once and without waiting.
#[derive(Debug)]
pub(crate) struct Groups {
    /// Holds the homes of all of them.
    homes: PathBuf,
    registry: Mutex<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    alive: BTreeSet<i32>,
    /// There from the first group on.
    watchdog: Option<Watchdog>,
    closed: bool,
}

impl Groups {
    pub(crate) fn new(homes: &Path) -> Self {
        Self { homes: homes.to_owned(), registry: Mutex::default() }
    }

    /// Starts a process as the leader of a new group, unless the runtime has been stopped.
    pub(super) fn spawn(self: &Arc<Self>, command: &mut Command) -> io::Result<Process> {
        // Held over the spawn: a group is either refused or seen by `close`.
        let mut registry = self.lock();
        if registry.closed {
            return Err(io::Error::other("the emulator has stopped"));
        }
        let watchdog = match &mut registry.watchdog {
            Some(watchdog) => watchdog,
            none => none.insert(Watchdog::start(&self.homes)?),
        };
        let child = command.spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| io::Error::other("the process has no id"))?;
        watchdog.began(pid.as_raw_nonzero().get());
        registry.alive.insert(pid.as_raw_nonzero().get());
        limit(pid);
        Ok(Process { child, group: Group { pid, groups: Arc::clone(self) } })
    }

    /// Kills all groups and refuses new ones.
    fn close(&self) {
        let mut registry = self.lock();
        registry.closed = true;
        for pid in std::mem::take(&mut registry.alive) {
            kill(pid);
        }
        registry.watchdog = None;
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a task from filling the disk with one file, or with what is left of it when it crashes.
#[cfg(target_os = "linux")]
fn limit(pid: Pid) {
    let at_most = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    for (resource, limit) in [(Resource::Core, at_most(0)), (Resource::Fsize, at_most(MAX_FILE))] {
        // One that is already gone needs no limit.
        _ = prlimit(Some(pid), resource, limit);
    }
}

/// Other systems cannot limit another process.
#[cfg(not(target_os = "linux"))]
fn limit(_: Pid) {}

fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // A group that is already gone is what was wanted.
        _ = kill_process_group(pid, Signal::KILL);
    }
}

/// A running process that does not outlive this value.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Group,
}

/// A process group that does not outlive this value.
#[derive(Debug)]
struct Group {
    pid: Pid,
    groups: Arc<Groups>,
}

impl Group {
    /// To all of the group. One that is already gone needs none.
    fn signal(&self, signal: Signal) {
        _ = kill_process_group(self.pid, signal);
    }
}

impl Drop for Group {
    /// Mostly right after its leader was reaped, when the id may only by then belong to another group if the system has
    /// gone through all other ids in between.
    fn drop(&mut self) {
        let pid = self.pid.as_raw_nonzero().get();
        let mut registry = self.groups.lock();
        if registry.alive.remove(&pid) {
            kill(pid);
            registry.watchdog.iter_mut().for_each(|watchdog| watchdog.ended(pid));
        }
    }
}

/// Waits for all containers of a task; the first that fails ends the others by force and speaks for the task.
async fn watch_all(
    processes: Vec<Process>,
    output: &AttemptOutput,
    directives: &Directives,
    grace: Duration,
) -> AttemptEnd {
    let mut running = JoinSet::new();
    for process in processes {
        running.spawn(watch_one(process, output.clone(), directives.clone(), grace));
    }
    while let Some(ended) = running.join_next().await {
        match ended.unwrap_or_else(|error| AttemptEnd::NotStarted(error.to_string())) {
            AttemptEnd::Exited(0) => {}
            failure => {
                running.shutdown().await;
                return failure;
            }
        }
    }
    AttemptEnd::Exited(0)
}

/// One process from start to end, with all of its group and all of its output.
async fn watch_one(process: Process, output: AttemptOutput, mut directives: Directives, grace: Duration) -> AttemptEnd {
    let Process { mut child, group } = process;
    let mut pumps = JoinSet::new();
    if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
        pumps.spawn(output.clone().pump(Stream::Stdout, stdout));
        pumps.spawn(output.pump(Stream::Stderr, stderr));
    }
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            directive = directives.next() => match directive {
                Directive::Stop => break terminate(&mut child, &group, grace).await,
                Directive::Pause => group.signal(Signal::TSTP),
                Directive::Run => group.signal(Signal::CONT),
            },
        }
    };
    // The leader is gone: whatever it left behind goes with it.
    drop(group);
    _ = timeout(DRAIN_LIMIT, async { while pumps.join_next().await.is_some() {} }).await;
    status.map_or_else(|error| AttemptEnd::NotStarted(format!("its end could not be seen: {error}")), ending)
}

/// SIGTERM to all of the group, and SIGKILL when the grace is over.
async fn terminate(child: &mut Child, group: &Group, grace: Duration) -> io::Result<ExitStatus> {
    group.signal(Signal::TERM);
    // A paused process handles SIGTERM only once it runs again.
    group.signal(Signal::CONT);
    match timeout(grace, child.wait()).await {
        Ok(status) => status,
        Err(_) => {
            group.signal(Signal::KILL);
            child.wait().await
        }
    }
}

fn ending(status: ExitStatus) -> AttemptEnd {
    match (status.code(), status.signal()) {
        (Some(code), _) => AttemptEnd::Exited(code),
        (None, Some(signal)) => AttemptEnd::Signalled(signal),
        (None, None) => AttemptEnd::NotStarted(format!("it ended in an unknown way: {status}")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        sync::oneshot,
        time::{Instant, timeout},
    };

    use super::*;
    use crate::{
        emulator::{
            runtime::{GRACE, output::Output},
            state::AttemptId,
        },
        name::Location,
        proto::run::v2::{ExecutionTemplate, TaskTemplate},
    };

    fn runtime(script: &str, grace: Duration) -> ProcessRuntime {
        let mut images = Images::default();
        images.insert("shell".to_owned(), ["/bin/sh", "-c", script].map(str::to_owned).to_vec());
        let root = tempfile::tempdir().expect("a place");
        let output = OutputSender::new();
        ProcessRuntime::new(Setup { images, allow_command: false, output, grace, processes: 1, root })
            .expect("a thread")
    }

    fn launch() -> Launch {
        let job = Location::new("p", "r").and_then(|location| location.job("j")).expect("valid");
        let id = AttemptId { execution: job.execution("j-1").expect("valid"), task_index: 0, attempt: 0 };
        let container = Container { image: "shell".to_owned(), ..Container::default() };
        let task = TaskTemplate { containers: vec![container], ..TaskTemplate::default() };
        let template = Arc::new(ExecutionTemplate { template: Some(task), ..ExecutionTemplate::default() });
        Launch { id, task_count: 1, template }
    }

    #[tokio::test]
    async fn a_task_that_ignores_sigterm_is_killed_after_the_grace() {
        let grace = Duration::from_millis(50);
        let runtime = runtime("trap '' TERM; echo ready; while :; do sleep 100; done", grace);
        let mut output = runtime.output.reader();
        let (started, _) = oneshot::channel();
        let (ask, directives) = Directives::new();
        let attempt = tokio::spawn(runtime.run(launch(), Control { started, directives }));
        assert!(matches!(output.recv().await, Some(Output::Line(_))));
        let asked = Instant::now();
        ask.send_replace(Directive::Stop);
        assert_eq!(attempt.await.expect("no panic"), AttemptEnd::Signalled(9));
        assert!(asked.elapsed() >= grace);
    }

    #[tokio::test]
    async fn an_attempt_waits_for_its_turn_and_can_be_stopped_meanwhile() {
        let runtime = runtime("exec sleep 1000", GRACE);
        let begin = || {
            let (started, has_started) = oneshot::channel();
            let (ask, directives) = Directives::new();
            (tokio::spawn(runtime.run(launch(), Control { started, directives })), has_started, ask)
        };
        let (first, first_started, end_first) = begin();
        first_started.await.expect("it has its turn");
        let (second, mut second_started, end_second) = begin();
        let (third, third_started, end_third) = begin();
        end_second.send_replace(Directive::Stop);
        assert!(matches!(second.await.expect("no panic"), AttemptEnd::NotStarted(why) if why.contains("its turn")));
        assert!(second_started.try_recv().is_err());
        end_first.send_replace(Directive::Stop);
        first.await.expect("no panic");
        third_started.await.expect("it has its turn");
        end_third.send_replace(Directive::Stop);
        third.await.expect("no panic");
    }

    #[tokio::test]
    async fn a_task_of_more_processes_than_may_run_still_gets_its_turn() {
        let turns = Turns::new(2);
        let all = turns.take(5).await;
        assert_eq!(turns.free.available_permits(), 0);
        drop(all);
        assert_eq!(turns.free.available_permits(), 2);
    }

    #[tokio::test]
    async fn nothing_starts_after_everything_was_killed() {
        let runtime = runtime("echo never", GRACE);
        runtime.kill_all();
        let (started, has_started) = oneshot::channel();
        let (_ask, directives) = Directives::new();
        let ending = runtime.run(launch(), Control { started, directives }).await;
        assert!(matches!(ending, AttemptEnd::NotStarted(_)), "{ending:?}");
        assert!(has_started.await.is_err());
    }

    #[tokio::test]
    async fn an_abandoned_attempt_is_killed() {
        let runtime = runtime("echo ready; exec sleep 1000", GRACE);
        let mut output = runtime.output.reader();
        let (started, _) = oneshot::channel();
        let (_ask, directives) = Directives::new();
        let mut attempt = Box::pin(runtime.run(launch(), Control { started, directives }));
        tokio::select! {
            ending = &mut attempt => panic!("it ended: {ending:?}"),
            _ = output.recv() => {}
        }
        drop(attempt);
        // Its task is dropped when tokio comes to it, and its group with it.
        let gone = async {
            while !runtime.groups.lock().alive.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(GRACE, gone).await.expect("it was killed");
    }
}
