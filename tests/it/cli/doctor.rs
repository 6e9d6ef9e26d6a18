//! `runjob doctor`: exact output, for a caller who may do everything, and for each kind of thing that can be wrong.

use std::{fs, net::TcpListener};

use runjob::emulator::Emulator;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Ran, place::Place, ran, runjob};
use crate::client::frames;

const ALICE: &str = "user:alice@example.com";

/// An emulator at which the token `canary-alice` has these grants, and a file that holds it.
struct Clinic {
    place: Place,
    folder: TempDir,
}

impl Clinic {
    async fn new(grants: &[&str]) -> Self {
        let builder = Emulator::builder().caller("canary-alice", ALICE);
        let builder = grants.iter().fold(builder, |builder, grant| builder.grant(ALICE, *grant));
        let folder = tempfile::tempdir().expect("a directory");
        fs::write(folder.path().join("token"), "canary-alice\n").expect("a file");
        Self { place: Place::of(builder).await, folder }
    }

    fn file(&self) -> String {
        self.folder.path().join("token").to_str().expect("Unicode").to_owned()
    }

    /// This command line with Alice's token, at the emulator.
    fn ran(&self, line: &str) -> Ran {
        let address = self.place.address();
        ran(&format!(
            "{line} --project=demo --region=us-central1 --endpoint=http://{address} --access-token-file={}",
            self.file()
        ))
    }

    /// What `doctor echo` finds, without what differs from run to run.
    fn examined(&self) -> (i32, String) {
        let ran = self.ran("doctor echo");
        assert_eq!(ran.stderr, "");
        let text = ran.stdout.replace(&self.place.address(), "ADDRESS").replace(&self.file(), "FILE");
        (ran.status, untimed(&text))
    }
}

/// The text with every time as `(N ms)`.
fn untimed(text: &str) -> String {
    let mut parts = text.split(" (").peekable();
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        whole += " (";
        whole +=
            if rest.len() < part.len() && rest.starts_with(" ms)") { "N" } else { &part[..part.len() - rest.len()] };
        whole += rest;
    }
    whole
}

/// What is found of the way to an emulator that takes tokens.
const REACHED: &str = "\
ok       project      demo, from --project
ok       region       us-central1, from --region
ok       endpoint     http://ADDRESS, from --endpoint
ok       credentials  token file, from --access-token-file (FILE)
unused   proxy        none
unused   dns          127.0.0.1 is an address
ok       tcp          connected to ADDRESS (N ms)
unused   tls          the endpoint is plaintext
ok       token        there is one (N ms)
ok       permissions  asked about projects/demo/locations/us-central1/jobs/echo (N ms)
";

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_every_permission_is_well() {
    let clinic = Clinic::new(&["roles/run.jobsExecutorWithOverrides", "roles/run.viewer"]).await;
    let (status, text) = clinic.examined();
    let granted = "\
ok       start        run.jobs.run
ok       overrides    run.jobs.runWithOverrides
ok       wait         run.operations.get, run.executions.get
ok       tasks        run.tasks.list
a start with overrides and a wait would work
";
    assert_eq!((status, text), (0, format!("{REACHED}{granted}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_overrides_is_told_the_smallest_role_and_what_works_without() {
    let clinic = Clinic::new(&["roles/run.invoker", "run.executions.get"]).await;
    let (status, text) = clinic.examined();
    let granted = "\
ok       start        run.jobs.run
failed   overrides    run.jobs.runWithOverrides is missing; roles/run.jobsExecutorWithOverrides gives it
                      without it a job can be started as it is, without --args, --update-env-vars, --tasks, \
--task-timeout and --start-key
limited  wait         run.operations.get is missing; roles/run.viewer gives it
                      without it the execution is polled, and its end is seen seconds later
limited  tasks        run.tasks.list is missing; roles/run.viewer gives it
                      without it a failure is reported without its tasks, and --propagate-exit-code has no code to \
pass on
a start with overrides and a wait would not work
";
    assert_eq!((status, text), (6, format!("{REACHED}{granted}")));
    // What it says that works does.
    let waited = clinic.ran("execute echo --wait");
    assert_eq!(waited.status, 0, "{waited:#?}");
    assert_eq!(clinic.ran("execute echo --args=x").status, 6);
    let failed = clinic.ran("execute fail --wait --propagate-exit-code");
    assert_eq!(failed.status, 1, "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_needs_the_operation_or_the_execution() {
    let clinic = Clinic::new(&["roles/run.jobsExecutorWithOverrides", "run.operations.get"]).await;
    let (status, text) = clinic.examined();
    let wait = "\
limited  wait         run.executions.get is missing; roles/run.viewer gives it
                      without it `runjob execute --wait` works, and `runjob wait` and `runjob describe` do not
";
    assert!(text.contains(wait), "{text}");
    assert_eq!(status, 0);
    let waited = clinic.ran("execute echo --args=x --wait --format=json");
    assert_eq!((waited.status, &waited.json()["outcome"]), (0, &json!("SUCCEEDED")), "{waited:#?}");
    let name = clinic.place.emulator.ledger()[0].execution.to_string();
    assert_eq!(clinic.ran(&format!("describe {name}")).status, 6);

    let clinic = Clinic::new(&["roles/run.jobsExecutorWithOverrides"]).await;
    let (status, text) = clinic.examined();
    let wait = "\
failed   wait         run.operations.get and run.executions.get are missing; roles/run.viewer gives both
                      without one of them an execution can be started, and not waited for
";
    assert!(status == 6 && text.contains(wait), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_exist_grants_nothing() {
    let clinic = Clinic::new(&["roles/owner"]).await;
    let ran = clinic.ran("doctor nothing");
    assert_eq!(ran.status, 6, "{ran:#?}");
    let hint = "nothing is granted on a job that does not exist: check its name";
    assert!(ran.stdout.contains(hint), "{ran:#?}");
    assert_eq!(clinic.ran("doctor NOTHING").status, 2);
}

#[test]
fn an_emulator_in_this_process_needs_neither_network_nor_credentials() {
    let ran = ran("doctor echo --emulator");
    let expected = "\
ok       project      demo, from that of the sample jobs
ok       region       us-central1, from that of the sample jobs
unused   endpoint     an emulator inside this process
unused   credentials  an emulator takes none
unused   proxy        nothing leaves this process
unused   dns          nothing leaves this process
unused   tcp          nothing leaves this process
unused   tls          nothing leaves this process
unused   token        none is sent
ok       permissions  asked about projects/demo/locations/us-central1/jobs/echo (N ms)
ok       start        run.jobs.run
ok       overrides    run.jobs.runWithOverrides
ok       wait         run.operations.get, run.executions.get
ok       tasks        run.tasks.list
a start with overrides and a wait would work
";
    assert_eq!((ran.status, untimed(&ran.stdout).as_str(), ran.stderr.as_str()), (0, expected, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_findings_are_json_for_programs() {
    let clinic = Clinic::new(&["roles/run.invoker"]).await;
    let ran = clinic.ran("doctor projects/demo/locations/us-central1/jobs/echo --format=json");
    let report = ran.json();
    assert_eq!((ran.status, &report["works"]), (6, &json!(false)), "{ran:#?}");
    let checks = report["checks"].as_array().expect("a list");
    let names: Vec<_> = checks.iter().map(|check| check["check"].as_str().expect("a name")).collect();
    let all = [
        "project",
        "region",
        "endpoint",
        "credentials",
        "proxy",
        "dns",
        "tcp",
        "tls",
        "token",
        "permissions",
        "start",
        "overrides",
        "wait",
        "tasks",
    ];
    assert_eq!(names, all);
    let right = json!({"check": "project", "result": "ok", "detail": "demo, from the job's name", "hint": null,
                       "millis": null});
    assert_eq!(checks[0], right);
    assert!(checks[6]["millis"].is_u64() && checks[5]["millis"] == Value::Null, "{ran:#?}");
    assert_eq!(checks[11]["result"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_ends_with_8_and_the_rest_is_skipped() {
    let clinic = Clinic::new(&["roles/owner"]).await;
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").to_string();
    let line = "doctor echo --project=demo --region=us-central1";
    let ran = ran(&format!("{line} --endpoint=https://{closed} --access-token-file={}", clinic.file()));
    let expected = "\
ok       project      demo, from --project
ok       region       us-central1, from --region
ok       endpoint     https://ADDRESS, from --endpoint
ok       credentials  token file, from --access-token-file (FILE)
unused   proxy        none
unused   dns          127.0.0.1 is an address
failed   tcp          no connection to the service: Connection refused (os error 111) (N ms)
                      check the endpoint, the network and that the server is running
skipped  tls          -
ok       token        there is one (N ms)
skipped  permissions  -
skipped  start        -
skipped  overrides    -
skipped  wait         -
skipped  tasks        -
a start with overrides and a wait would not work
";
    let text = untimed(&ran.stdout.replace(&closed, "ADDRESS").replace(&clinic.file(), "FILE"));
    assert_eq!((ran.status, text.as_str()), (8, expected), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_do_not_exist_end_with_6_and_the_network_is_examined_all_the_same() {
    let clinic = Clinic::new(&["roles/owner"]).await;
    let address = clinic.place.address();
    let line = "doctor echo --project=demo --region=us-central1";
    let mut command = runjob(&format!("{line} --endpoint=http://{address}"));
    command.env("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json");
    let ran = Ran::of(command);
    let expected = "\
ok       project      demo, from --project
ok       region       us-central1, from --region
ok       endpoint     http://ADDRESS, from --endpoint
failed   credentials  credentials file /nowhere/key.json: No such file or directory (os error 2)
                      run `gcloud auth application-default login`, set GOOGLE_APPLICATION_CREDENTIALS, or use an emulator
unused   proxy        none
unused   dns          127.0.0.1 is an address
ok       tcp          connected to ADDRESS (N ms)
unused   tls          the endpoint is plaintext
skipped  token        -
skipped  permissions  -
skipped  start        -
skipped  overrides    -
skipped  wait         -
skipped  tasks        -
a start with overrides and a wait would not work
";
    assert_eq!((ran.status, untimed(&ran.stdout.replace(&address, "ADDRESS")).as_str()), (6, expected), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    let clinic = Clinic::new(&["roles/owner"]).await;
    let proxy = frames::raw(|mut socket: tokio::net::TcpStream| async move {
        let _ = socket.read(&mut [0; 4096]).await?;
        socket.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await
    })
    .await;
    let address = proxy.address.to_string();
    let line = "doctor echo --project=demo --region=us-central1 --endpoint=https://run.example";
    let ran = ran(&format!("{line} --proxy=http://me:canary@{address} --access-token-file={}", clinic.file()));
    let text = untimed(&ran.stdout.replace(&address, "ADDRESS"));
    assert_eq!((ran.status, text.contains("canary")), (8, false), "{ran:#?}");
    let found = "\
ok       proxy        ADDRESS
unused   dns          127.0.0.1 is an address
failed   tcp          no connection to the service by the proxy ADDRESS: tunnel error: unsuccessful (N ms)
";
    assert!(text.contains(found), "{text}");
}

#[test]
fn what_is_not_known_is_a_finding_and_not_the_end_of_the_examination() {
    let nothing = ran("doctor --endpoint=https://127.0.0.1:1");
    assert_eq!(nothing.status, 2, "{nothing:#?}");
    for line in [
        "failed   project      no project is known",
        "failed   region       no region is known",
        "failed   credentials  no credentials: GOOGLE_APPLICATION_CREDENTIALS is not set",
    ] {
        assert!(nothing.stdout.contains(line), "{nothing:#?}");
    }
    let plain = ran("doctor --project=p --region=r --endpoint=http://0.0.0.0:1");
    assert_eq!(plain.status, 2, "{plain:#?}");
    assert!(plain.stdout.contains("failed   credentials  endpoint http://0.0.0.0:1 is plaintext"), "{plain:#?}");
}
