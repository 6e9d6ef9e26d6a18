//! Changing jobs and their policies, against the emulator in this process and against a scripted peer.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use prost::Message as _;
use runjob::{
    ErrorKind,
    emulator::{Fault, Rpc},
    proto::{
        iam::v1::{Binding, Policy, TestIamPermissionsResponse},
        longrunning::Operation,
        run::v2::{Job, UpdateJobRequest},
    },
};
use tonic::Status;

use super::runs::{job, setup};
use crate::cases::Script;

fn label(job: &mut Job, value: &str) {
    job.labels.insert("team".to_owned(), value.to_owned());
}

#[tokio::test]
async fn an_edit_changes_what_it_says_and_nothing_else() {
    let (client, _emulator) = setup().await;
    let before = client.job(&job("echo")).await.expect("the job");
    let mut edit = client.edit_job(&job("echo"), |job| label(job, "red")).await.expect("accepted");
    let after = edit.wait().await.expect("changed");
    assert_eq!((after.labels["team"].as_str(), &after.template), ("red", &before.template));
    assert_eq!(after.generation, before.generation + 1);
}

#[tokio::test(start_paused = true)]
async fn an_edit_that_meets_another_is_made_again_on_the_job_as_it_is_then() {
    let (client, emulator) = setup().await;
    let calls = AtomicU32::new(0);
    emulator.fault(Fault::before(Rpc::UpdateJob).answer(Status::aborted("the etag is old")).times(2));
    let count = |job: &mut Job| label(job, &calls.fetch_add(1, Relaxed).to_string());
    let edited = client.edit_job(&job("echo"), count).await.expect("accepted").wait().await.expect("changed");
    assert_eq!(edited.labels["team"], "2");

    emulator.fault(Fault::before(Rpc::UpdateJob).answer(Status::aborted("the etag is old")).times(100));
    let error = client.edit_job(&job("echo"), |job| label(job, "blue")).await.expect_err("never");
    assert_eq!((error.kind(), error.resource()), (ErrorKind::Conflict, Some(&*job("echo").to_string())));
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_unknown_outcome_is_not_made_again() {
    let (client, emulator) = setup().await;
    emulator.fault(Fault::after(Rpc::UpdateJob).answer(Status::unavailable("lost")).times(1));
    let error = client.edit_job(&job("echo"), |job| label(job, "red")).await.expect_err("lost");
    assert_eq!(error.kind(), ErrorKind::Service);
    let now = client.job(&job("echo")).await.expect("the job");
    assert_eq!((now.labels["team"].as_str(), now.generation), ("red", 2), "{error}");
}

/// Answers GetJob with this job and its unknown field, and keeps the jobs that UpdateJob is sent.
fn keeping(answered: Job, written: &Arc<Mutex<Vec<Vec<u8>>>>) -> Script {
    let written = Arc::clone(written);
    Script::new(move |rpc, _, message| match rpc {
        "GetJob" => Ok([answered.encode_to_vec(), UNKNOWN.to_vec()].concat()),
        _ => {
            written.lock().expect("whole").push(message.to_vec());
            let metadata = prost_types::Any::from_msg(&Job { name: job("echo").to_string(), ..Job::default() });
            let name = format!("{}/operations/1", job("echo").location());
            Ok(Operation { name, metadata: metadata.ok(), ..Operation::default() }.encode_to_vec())
        }
    })
}

/// What gRPC puts before a message.
const PREFIX: usize = 5;

/// Field 999, a string "new", that no proto of ours has.
const UNKNOWN: [u8; 6] = [0xba, 0x3e, 3, b'n', b'e', b'w'];

#[tokio::test]
async fn an_edit_keeps_fields_that_our_protos_do_not_know_and_writes_under_the_etag() {
    let read = Job { name: job("echo").to_string(), etag: "\"1\"".to_owned(), ..Job::default() };
    let written = Arc::default();
    let client = keeping(read, &written).client().build().await.expect("a client");
    let change = |job: &mut Job| {
        label(job, "red");
        job.etag.clear();
    };
    client.edit_job(&job("echo"), change).await.expect("accepted");
    let written = written.lock().expect("whole");
    let [message] = &written[..] else { panic!("one update") };
    assert!(message.windows(UNKNOWN.len()).any(|window| window == UNKNOWN), "{message:?}");
    let job = UpdateJobRequest::decode(&message[PREFIX..]).expect("a request").job.expect("a job");
    assert_eq!((job.labels["team"].as_str(), job.etag.as_str()), ("red", "\"1\""));
}

#[tokio::test]
async fn an_edit_writes_nothing_where_it_cannot_be_safe() {
    let echo = job("echo").to_string();
    for (name, etag, kind) in [
        (job("other").to_string(), "\"1\"", ErrorKind::Protocol),
        (echo.clone(), "", ErrorKind::Protocol),
        (echo, "\"1\"", ErrorKind::InvalidInput),
    ] {
        let written = Arc::default();
        let read = Job { name, etag: etag.to_owned(), ..Job::default() };
        let client = keeping(read, &written).client().build().await.expect("a client");
        let rename = |edited: &mut Job| edited.name = job("other").to_string();
        let error = client.edit_job(&job("echo"), rename).await.expect_err("not safe");
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(written.lock().expect("whole").len(), 0);
    }
}

#[tokio::test]
async fn a_policy_is_read_changed_and_tested_and_a_stale_one_is_refused() {
    let (client, _emulator) = setup().await;
    let mut policy = client.get_iam_policy(&job("echo")).await.expect("a policy");
    let stale = policy.clone();
    let members = vec!["user:alice@example.com".to_owned()];
    policy.bindings.push(Binding { role: "roles/run.invoker".to_owned(), members, condition: None });
    let set = client.set_iam_policy(&job("echo"), policy.clone()).await.expect("set");
    assert_eq!(set.bindings, policy.bindings);
    assert_eq!(client.get_iam_policy(&job("echo")).await.expect("a policy"), set);

    let stale = Policy { etag: b"stale".to_vec(), ..stale };
    assert_eq!(client.set_iam_policy(&job("echo"), stale).await.expect_err("stale").kind(), ErrorKind::Conflict);

    let granted = client.test_iam_permissions(&job("echo"), ["run.jobs.run", "run.jobs.get"]).await.expect("tested");
    assert_eq!(granted, ["run.jobs.run", "run.jobs.get"], "the emulator's only caller may do everything");
    let error = client.test_iam_permissions(&job("echo"), ["run.jobs.*"]).await.expect_err("a wildcard");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_permission_that_was_not_asked_about_is_no_answer() {
    let script = Script::new(|_, _, _| {
        let permissions = vec!["run.jobs.delete".to_owned()];
        Ok(TestIamPermissionsResponse { permissions }.encode_to_vec())
    });
    let client = script.client().build().await.expect("a client");
    let error = client.test_iam_permissions(&job("echo"), ["run.jobs.run"]).await.expect_err("another one");
    assert_eq!(error.kind(), ErrorKind::Protocol);
}
