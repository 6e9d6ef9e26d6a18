//! Tasks as processes: what they see, what they print, and that nothing of them stays (api-facts 7; DESIGN 7.4, 7.5).

use std::{collections::BTreeMap, env, fs, path::Path};

use runjob::{
    emulator::{AttemptId, Emulator, Output, OutputLine, OutputReader, Simulated, Stream},
    proto::run::v2::{
        CancelExecutionRequest, Execution,
        run_job_request::{Overrides, overrides::ContainerOverride},
    },
};
use rustix::process::{Pid, test_kill_process};
use tonic::Code;

use super::{Api, args, error, job, metadata, response, retries, scripted, seconds, variable};

pub(super) async fn next_line(reader: &mut OutputReader) -> OutputLine {
    match reader.recv().await {
        Some(Output::Line(line)) => line,
        other => panic!("no line but {other:?}"),
    }
}

/// What is there already.
fn lines(reader: &mut OutputReader) -> Vec<OutputLine> {
    let line = |output| match output {
        Output::Line(line) => line,
        other => panic!("no line but {other:?}"),
    };
    std::iter::from_fn(|| reader.try_recv()).map(line).collect()
}

fn text(lines: &[OutputLine]) -> Vec<&str> {
    lines.iter().map(|line| line.line.as_str()).collect()
}

async fn cancel(api: &mut Api, name: &str) {
    let request = CancelExecutionRequest { name: name.to_owned(), ..CancelExecutionRequest::default() };
    api.executions.cancel_execution(request).await.expect("it runs");
}

/// A process by a number that it printed.
fn process(text: &str) -> Pid {
    text.parse().ok().and_then(Pid::from_raw).expect("a process id")
}

#[tokio::test]
async fn a_task_runs_the_command_of_its_image_with_the_jobs_args() {
    let mut api = Api::real().await;
    let mut output = api.emulator.output();
    let operation = api.run_with("echo", args(&["hello", "rust; $(exit)"])).await.expect("accepted");
    let execution: Execution = response(&api.wait(&operation).await);
    let lines = lines(&mut output);
    assert_eq!(text(&lines), ["hello rust; $(exit)"]);
    let AttemptId { execution: name, task_index, attempt, .. } = &lines[0].attempt;
    assert_eq!((name.to_string(), *task_index, *attempt, lines[0].stream), (execution.name, 0, 0, Stream::Stdout));
}

/// DESIGN 7.5: nothing of the host's environment reaches a task.
#[tokio::test]
async fn a_task_sees_its_own_environment_and_nothing_else() {
    let mut api = Api::real().await;
    let mut output = api.emulator.output();
    let change = ContainerOverride {
        env: vec![variable("MODE", "full"), variable("EMPTY", "")],
        ..ContainerOverride::default()
    };
    let overrides = Overrides { container_overrides: vec![change], task_count: 2, ..Overrides::default() };
    let operation = api.run_with("env", overrides).await.expect("accepted");
    let execution: Execution = response(&api.wait(&operation).await);
    let lines = lines(&mut output);
    let mut seen: BTreeMap<&str, &str> = lines
        .iter()
        .filter(|line| line.attempt.task_index == 1)
        .map(|line| line.line.split_once('=').expect("a variable"))
        .collect();
    let home = seen.remove("HOME").expect("it has a home");
    assert_ne!(Some(home.into()), env::var_os("HOME"));
    assert!(!Path::new(home).exists(), "{home} is still there");
    let id = execution.name.rsplit('/').next().expect("a name");
    let expected = [
        ("CLOUD_RUN_EXECUTION", id),
        ("CLOUD_RUN_JOB", "env"),
        ("CLOUD_RUN_TASK_ATTEMPT", "0"),
        ("CLOUD_RUN_TASK_COUNT", "2"),
        ("CLOUD_RUN_TASK_INDEX", "1"),
        ("EMPTY", ""),
        ("MODE", "full"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ];
    assert_eq!(seen, BTreeMap::from(expected));
}

/// DESIGN 7.4: a variable that chooses code to load never reaches the program, and nothing starts.
#[tokio::test]
async fn a_job_cannot_load_code_into_a_mapped_command() {
    let mut api = Api::real().await;
    let change = ContainerOverride { env: vec![variable("LD_PRELOAD", "/tmp/x.so")], ..ContainerOverride::default() };
    let overrides = Overrides { container_overrides: vec![change], ..Overrides::default() };
    let refused = api.run_with("fail", overrides).await.expect_err("it could load code");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("LD_PRELOAD is refused"), "{}", refused.message());
    assert!(refused.message().contains("--allow-command"), "{}", refused.message());
    assert_eq!(api.emulator.ledger(), []);
}

/// DESIGN 7.4: also where the job is from an emulator that allowed more.
#[tokio::test]
async fn a_job_from_before_cannot_load_code_either() {
    let dir = tempfile::tempdir().expect("a place");
    let mut definition = job("echo", |_, task| task.retries = retries(0));
    let task = definition.template.as_mut().and_then(|template| template.template.as_mut()).expect("it has one");
    task.containers[0].env = vec![variable("BASH_ENV", "/tmp/x")];
    let mut open = Api::start(Emulator::builder().data_dir(dir.path()).allow_command(true)).await;
    open.create("open", definition).await.expect("it is allowed");
    open.emulator.stop().await.expect("it did not panic");

    let mut strict = Api::start(Emulator::builder().data_dir(dir.path())).await;
    let operation = strict.run("open").await;
    let done = strict.wait(&operation).await;
    assert!(error(&done).1.contains("BASH_ENV is refused"), "{}", error(&done).1);
}

/// On the service any name will do, and a simulation has nothing that could take code from it.
#[tokio::test]
async fn a_simulated_job_has_any_variable() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0)).await;
    let env = vec![variable("BASH_ENV", "/tmp/x"), variable("a.b-c", "d")];
    let change = ContainerOverride { env, ..ContainerOverride::default() };
    let overrides = Overrides { container_overrides: vec![change], ..Overrides::default() };
    let operation = api.run_with("echo", overrides).await.expect("accepted");
    response::<Execution>(&api.wait(&operation).await);
}

#[tokio::test]
async fn the_fail_sample_exits_with_its_first_argument_and_is_not_retried() {
    let mut api = Api::real().await;
    let operation = api.run_with("fail", args(&["7"])).await.expect("accepted");
    let done = api.wait(&operation).await;
    let execution: Execution = metadata(&done);
    assert_eq!((error(&done).0, execution.failed_count, execution.retried_count), (Code::Aborted as i32, 1, 0));
    let tasks = api.tasks(&execution.name).await;
    assert_eq!(tasks[0].last_attempt_result.as_ref().map(|result| result.exit_code), Some(7));
}

#[tokio::test]
async fn the_flaky_sample_succeeds_at_its_second_attempt() {
    let mut api = Api::real().await;
    let mut output = api.emulator.output();
    let operation = api.run("flaky").await;
    let execution: Execution = response(&api.wait(&operation).await);
    assert_eq!((execution.succeeded_count, execution.retried_count), (1, 1));
    let attempts: Vec<_> = lines(&mut output).iter().map(|line| (line.attempt.attempt, line.stream)).collect();
    assert_eq!(attempts, [(0, Stream::Stderr), (1, Stream::Stdout)]);
}

/// api-facts 7: SIGTERM first, so that a task can end in its own way.
#[tokio::test]
async fn a_task_over_its_time_is_told_to_end() {
    let mut api = scripted("trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.01; done").await;
    let mut output = api.emulator.output();
    let operation =
        api.run_with("script", Overrides { timeout: seconds(1), ..Overrides::default() }).await.expect("accepted");
    let done = api.wait(&operation).await;
    assert_eq!(error(&done).0, Code::DeadlineExceeded as i32);
    // Some shells note on standard error that their child was terminated.
    let mut printed = lines(&mut output);
    printed.retain(|line| line.stream == Stream::Stdout);
    assert_eq!(text(&printed), ["ready", "told"]);
}

/// api-facts 2.2, 3: whatever the exit code, a cancelled task is cancelled; and its children go with it.
#[tokio::test]
async fn a_cancelled_task_goes_with_all_its_children() {
    let mut api = scripted("sleep 1000 & echo $!; trap '' TERM; sleep 1000 & echo $!; trap 'exit 0' TERM; wait").await;
    let mut output = api.emulator.output();
    let operation = api.run("script").await;
    let children = [next_line(&mut output).await, next_line(&mut output).await];
    let name = metadata::<Execution>(&operation).name;
    cancel(&mut api, &name).await;
    let execution: Execution = response(&api.wait(&operation).await);
    assert_eq!((execution.cancelled_count, execution.succeeded_count), (1, 0));
    for child in text(&children) {
        assert!(is_gone(process(child)), "{child} is still there");
    }
}

/// A task that ends by itself takes along what it left behind.
#[tokio::test]
async fn a_finished_task_leaves_no_child_behind() {
    let mut api = scripted("(trap '' TERM; exec sleep 1000) & echo $!").await;
    let mut output = api.emulator.output();
    let operation = api.run("script").await;
    api.wait(&operation).await;
    let printed = lines(&mut output);
    assert!(is_gone(process(&printed[0].line)), "{} is still there", printed[0].line);
}

/// DESIGN 7.5: no process outlives the emulator.
#[tokio::test]
async fn a_dropped_emulator_kills_its_tasks_at_once() {
    let mut api = scripted("trap '' TERM; sleep 1000 & echo \"$! $HOME\"; wait").await;
    let mut output = api.emulator.output();
    api.run("script").await;
    let printed = next_line(&mut output).await;
    let (child, home) = printed.line.split_once(' ').expect("both");
    drop(api);
    assert!(is_gone(process(child)), "{child} is still there");
    assert!(!Path::new(home).exists(), "{home} is still there");
}

#[tokio::test]
async fn a_stopped_emulator_has_waited_for_its_tasks_and_its_reader_ends() {
    let mut api = scripted("trap '' TERM; echo \"$$ $HOME\"; while :; do sleep 1000; done").await;
    let mut output = api.emulator.output();
    api.run("script").await;
    let printed = next_line(&mut output).await;
    let (leader, home) = printed.line.split_once(' ').expect("both");
    let Api { emulator, .. } = api;
    emulator.stop().await.expect("it did not panic");
    assert!(is_gone(process(leader)), "{leader} is still there");
    let homes = Path::new(home).parent().expect("it is not the root");
    assert!(!homes.exists(), "{} is still there", homes.display());
    assert_eq!(output.recv().await, None);
}

/// DESIGN 7.5: bounded output, and a chatty task is never blocked by it.
#[tokio::test]
async fn a_flood_of_output_is_cut_and_the_task_goes_on() {
    let mut api = scripted("head -c 20000000 /dev/zero | tr '\\0' x; exit 5").await;
    let mut output = api.emulator.output();
    let operation = api.run("script").await;
    let done = api.wait(&operation).await;
    assert!(error(&done).1.contains("exit code: 5"), "{}", error(&done).1);
    let lines = lines(&mut output);
    let bytes: usize = lines.iter().map(|line| line.line.len()).sum();
    assert!(bytes <= 1024 * 1024, "{bytes} bytes were kept");
    assert!(lines.last().is_some_and(|last| last.line.contains("left out")));
}

/// A task of several containers needs all of them; the first failure speaks for it and ends the others.
#[tokio::test]
async fn one_failed_container_fails_the_task_and_ends_the_others() {
    let mut api = Api::real().await;
    let mut definition = job("sleep", |_, task| task.retries = retries(0));
    let task = definition.template.as_mut().and_then(|template| template.template.as_mut()).expect("it has one");
    (task.containers[0].name, task.containers[0].args) = ("main".to_owned(), vec!["1000".to_owned()]);
    let mut second = task.containers[0].clone();
    second.image = second.image.replace("sleep", "fail");
    (second.name, second.args) = ("side".to_owned(), vec!["9".to_owned()]);
    task.containers.push(second);
    api.create("two", definition).await.expect("valid");
    let operation = api.run("two").await;
    assert!(error(&api.wait(&operation).await).1.contains("exit code: 9"));
}

/// DESIGN 7.4: an API caller cannot choose the program.
#[tokio::test]
async fn a_jobs_own_command_runs_only_where_it_is_allowed() {
    let mut definition = job("echo", |_, _| {});
    let task = definition.template.as_mut().and_then(|template| template.template.as_mut()).expect("it has one");
    (task.containers[0].command, task.containers[0].args) = (vec!["/bin/echo".to_owned()], vec!["own".to_owned()]);

    let mut strict = Api::real().await;
    let status = strict.create("own", definition.clone()).await.expect_err("it is not allowed");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("--allow-command"), "{}", status.message());

    let mut open = Api::start(Emulator::builder().allow_command(true)).await;
    let mut output = open.emulator.output();
    open.create("own", definition).await.expect("it is allowed");
    let operation = open.run("own").await;
    open.wait(&operation).await;
    assert_eq!(text(&lines(&mut output)), ["own"]);
}

/// A program that went away since the start is a failed attempt that says so.
#[tokio::test]
async fn a_program_that_cannot_be_started_fails_the_attempt() {
    let folder = tempfile::tempdir().expect("a place");
    let program = folder.path().join("program");
    fs::copy("/bin/echo", &program).expect("a copy");
    let command = vec![program.to_string_lossy().into_owned()];
    let mut api = Api::start(Emulator::builder().image("us-docker.pkg.dev/runjob/samples/fail", command)).await;
    fs::remove_file(&program).expect("it was there");
    let operation = api.run("fail").await;
    let done = api.wait(&operation).await;
    let (code, message) = error(&done);
    assert_eq!(code, Code::Aborted as i32);
    assert!(message.contains("could not be started") && message.contains("program"), "{message}");
}

/// Gone, or dead and only waiting for its new parent to notice.
fn is_gone(pid: Pid) -> bool {
    let zombie = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
    };
    // A signal is delivered at once, but a process needs a moment to die of it.
    (0..1000).any(|_| {
        test_kill_process(pid).is_err() || zombie() || {
            std::thread::sleep(std::time::Duration::from_millis(2));
            false
        }
    })
}
