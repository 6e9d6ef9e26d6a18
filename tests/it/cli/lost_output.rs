//! Output that cannot be written, files that cannot be trusted, answers that cannot be read: a started execution is named
//! all the same.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{PermissionsExt, symlink},
    process::{Command, Stdio},
};

use runjob::emulator::{Fault, Rpc};
use rustix::{
    fs::{CWD, FileType, FlockOperation, Mode, flock, mknodat},
    process::Signal,
};
use serde_json::json;
use tonic::{Code, Status};

use super::{
    JOBS, Ran, Running,
    place::{HELD, Place},
};

/// The program with a stdout that cannot be written to.
fn to_full_disk(mut command: Command) -> Ran {
    let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    Ran::from(command.stdout(full).output().expect("the program runs"))
}

fn to_closed_pipe(mut command: Command) -> Ran {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    Ran::from(command.stdout(writer).output().expect("the program runs"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_started_execution_is_named_on_stderr_when_stdout_is_full() {
    let place = Place::new().await;
    let name = format!("{JOBS}/echo/executions/echo-ID");
    for line in ["execute echo", "execute echo --wait", "execute echo --wait --wait-limit=1h"] {
        let ran = to_full_disk(place.command(line));
        assert_eq!(ran.status, 5, "{line}: {ran:#?}");
        assert!(ran.stderr.contains(&name), "{line}: {ran:#?}");
        assert!(ran.stderr.contains("error: could not write the result: No space left"), "{line}: {ran:#?}");
    }
    let ran = to_full_disk(place.command("execute echo --format=json"));
    assert_eq!(ran.status, 5, "{ran:#?}");
    let report = ran.stderr.split_once('{').and_then(|(_, rest)| rest.split_once("\n}")).expect("JSON").0;
    let report: serde_json::Value = serde_json::from_str(&format!("{{{report}}}")).expect("JSON");
    assert_eq!(report["execution"], json!(name));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_started_execution_is_named_on_stderr_when_the_pipe_is_closed() {
    let place = Place::new().await;
    let started = to_closed_pipe(place.command("execute echo"));
    assert_eq!(started.status, 5, "{started:#?}");
    let finished = to_closed_pipe(place.command("execute echo --wait"));
    assert_eq!(finished.status, 0, "the outcome is known: {finished:#?}");
    for ran in [started, finished] {
        assert!(ran.stderr.contains(&format!("{JOBS}/echo/executions/echo-ID")), "{ran:#?}");
        assert!(!ran.stderr.contains("error:"), "a quiet end: {ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_grow_is_an_error_and_no_signal() {
    let place = Place::new().await;
    let output = place.home.path().join("output");
    let line = format!("ulimit -f 0; exec {} execute echo >{}", env!("CARGO_BIN_EXE_runjob"), output.display());
    let mut command = Command::new("/bin/sh");
    command.env_clear().args(["-c", &line]).env("RUN_EMULATOR_HOST", place.address()).stdin(Stdio::null());
    let ran = Ran::of(command);
    assert_eq!(ran.status, 5, "{ran:#?}");
    assert!(ran.stderr.contains(&format!("{JOBS}/echo/executions/echo-ID")), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_recover_has_found_is_found_again_until_it_could_be_written() {
    let place = Place::new().await;
    place.emulator.fault(Fault::after(Rpc::RunJob).delay(HELD));
    let killed = place.sending("execute echo --start-key=order-1").await;
    while place.starts() == 0 {
        tokio::task::yield_now().await;
    }
    drop(killed);
    place.emulator.clear_faults();
    for lost in [to_full_disk(place.command("recover")), to_closed_pipe(place.command("recover --format=json"))] {
        assert_eq!(lost.status, 5, "{lost:#?}");
        assert!(lost.stderr.contains(&format!("STARTED {JOBS}/echo/executions/echo-ID")), "{lost:#?}");
    }
    let found = place.ran("recover");
    assert!(found.stdout.starts_with(&format!("STARTED {JOBS}/echo/executions/echo-ID")), "{found:#?}");
    assert_eq!(place.ran("recover").stdout, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_breaks_the_wait_of_a_start_is_status_5_and_names_it() {
    let place = Place::new().await;
    for code in [
        Code::InvalidArgument,
        Code::NotFound,
        Code::PermissionDenied,
        Code::Unauthenticated,
        Code::FailedPrecondition,
        Code::Unimplemented,
        Code::DataLoss,
    ] {
        place.emulator.reset();
        for rpc in [Rpc::WaitOperation, Rpc::GetOperation, Rpc::GetExecution, Rpc::ListTasks] {
            place.emulator.fault(Fault::before(rpc).answer(Status::new(code, "no\nhint: run this")));
        }
        let ran = place.ran("execute echo --wait --wait-limit=2s");
        assert!(matches!(ran.status, 0 | 1 | 5), "{code:?}: {ran:#?}");
        assert!(ran.stdout.contains(&format!("{JOBS}/echo/executions/echo-ID")), "{code:?}: {ran:#?}");
        assert!(!ran.stderr.lines().any(|line| line.starts_with("hint: run this")), "{code:?}: {ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_on_the_state_directory_costs_a_second_and_no_start() {
    let place = Place::new().await;
    let lock = locked(&place);
    let ran = place.ran("execute echo");
    assert_eq!((ran.status, place.starts()), (0, 1), "{ran:#?}");
    assert!(ran.stderr.contains("warning: no start log is kept"), "{ran:#?}");
    assert!(ran.stderr.contains("another process holds a lock on it"), "{ran:#?}");
    drop(lock);
}

/// The start log's directory, locked.
fn locked(place: &Place) -> File {
    let folder = place.home.path().join("runjob");
    fs::create_dir(&folder).expect("it is ours");
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).expect("it is ours");
    let folder = File::open(folder).expect("there");
    flock(&folder, FlockOperation::LockExclusive).expect("free");
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_are_heard_while_a_lock_is_waited_for() {
    let place = Place::new().await;
    let _lock = locked(&place);
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let running = Running::start(place.command("execute echo"));
        while !is_caught(&running, signal) {
            tokio::task::yield_now().await;
        }
        running.signal(signal);
        let ran = running.end();
        assert_eq!((ran.status, place.starts()), (130, 0), "{signal:?}: {ran:#?}");
        assert!(ran.stderr.ends_with("error: interrupted: nothing was started\n"), "{ran:#?}");
    }
}

/// Whether the program handles this signal by now.
fn is_caught(running: &Running, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", running.child.id())).expect("it runs");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("Linux tells");
    let mask = u64::from_str_radix(mask.trim(), 16).expect("hexadecimal");
    mask & (1 << (signal.as_raw() - 1)) != 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_log_that_others_control_is_left_alone_and_named() {
    let place = Place::new().await;
    let folder = place.home.path().join("runjob");
    let log = folder.join("journal");
    let elsewhere = place.home.path().join("elsewhere");
    let make: [&dyn Fn(); 3] = [
        &|| mknodat(CWD, &log, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO"),
        &|| symlink(&elsewhere, &log).expect("a link"),
        &|| {
            fs::write(&log, "").expect("a file");
            fs::set_permissions(&log, PermissionsExt::from_mode(0o666)).expect("it is ours");
        },
    ];
    fs::create_dir(&folder).expect("it is ours");
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).expect("it is ours");
    for (index, make) in make.iter().enumerate() {
        make();
        let ran = place.ran("execute echo");
        assert_eq!((ran.status, place.starts()), (0, index + 1), "{ran:#?}");
        assert!(ran.stderr.contains(&format!("know of this start: {}: ", log.display())), "{ran:#?}");
        assert!(!elsewhere.exists(), "the link was followed");
        fs::remove_file(&log).expect("ours");
    }
}

#[test]
fn no_error_repeats_what_a_variable_holds() {
    let secret = "{\"private_key\":\"hunter2\"}";
    for variable in [
        "RUN_EMULATOR_HOST",
        "CLOUD_RUN_EMULATOR_HOST",
        "GOOGLE_CLOUD_PROJECT",
        "CLOUDSDK_CORE_PROJECT",
        "GOOGLE_CLOUD_REGION",
        "CLOUDSDK_RUN_REGION",
    ] {
        let mut command = super::runjob("execute echo");
        command.env("GOOGLE_CLOUD_PROJECT", "p").env("GOOGLE_CLOUD_REGION", "r").env(variable, secret);
        let ran = Ran::of(command);
        assert_eq!(ran.status, 2, "{variable}: {ran:#?}");
        assert!(ran.stderr.contains(variable) && !ran.stderr.contains("hunter2"), "{variable}: {ran:#?}");
    }
}
