//! Jobs by their flags: created and changed.

use std::sync::{Arc, Mutex};

use prost::Message as _;
use runjob::proto::{
    longrunning::{Operation, operation},
    run::v2::{Container, ExecutionTemplate, Job, ResourceRequirements},
};
use serde_json::json;

use super::{JOBS, Ran, Server, runjob};
use crate::cases::Script;

const ECHO: &str = "--image=us-docker.pkg.dev/runjob/samples/echo";

#[test]
fn a_job_is_created_by_the_flags_of_gcloud() {
    let server = Server::start_with("--allow-command");
    let created = server.ran(&format!(
        "jobs create mine {ECHO} --command=echo --args=a --args=b,c --set-env-vars=A=1,B=2 --set-secrets=KEY=key:latest \
         --cpu=2 --memory=1Gi --tasks=3 --parallelism=2 --max-retries=1 --task-timeout=1h \
         --service-account=me@acme.iam.gserviceaccount.com --labels=team=red --format=json"
    ));
    assert_eq!(created.status, 0, "{created:#?}");
    let job = created.json();
    let task = &job["template"]["template"];
    let container = &task["containers"][0];
    assert_eq!(container["args"], json!(["a", "b", "c"]));
    assert_eq!(container["command"], json!(["echo"]));
    assert_eq!(container["env"][1], json!({"name": "B", "value": "***"}));
    let secret = json!({"secretKeyRef": {"secret": "key", "version": "latest"}});
    assert_eq!(container["env"][2], json!({"name": "KEY", "valueSource": secret}));
    assert_eq!(container["resources"]["limits"], json!({"cpu": "2", "memory": "1Gi"}));
    assert_eq!((&task["maxRetries"], &task["timeout"]), (&json!(1), &json!("3600s")));
    assert_eq!(task["serviceAccount"], "me@acme.iam.gserviceaccount.com");
    assert_eq!((&job["template"]["taskCount"], &job["template"]["parallelism"]), (&json!(3), &json!(2)));
    assert_eq!(job["labels"], json!({"team": "red"}));
}

#[test]
fn an_update_changes_what_its_flags_name() {
    let server = Server::start();
    let create = format!("jobs create mine {ECHO} --set-env-vars=A=1,B=2 --memory=1Gi --labels=team=red,old=1");
    assert_eq!(server.ran(&create).status, 0);
    let before = server.ran("jobs describe mine --show-env --format=json").json();
    let updated = server.ran("jobs update mine --update-env-vars=C=3 --remove-env-vars=A --remove-labels=old --cpu=2");
    assert_eq!(updated.status, 0, "{updated:#?}");
    let after = server.ran("jobs describe mine --show-env --format=json").json();
    assert_eq!(after["labels"], json!({"team": "red"}));
    let mut expected = before["template"].clone();
    let container = &mut expected["template"]["containers"][0];
    container["env"] = json!([{"name": "B", "value": "2"}, {"name": "C", "value": "3"}]);
    container["resources"]["limits"]["cpu"] = json!("2");
    assert_eq!(after["template"], expected);
    assert_eq!(after["generation"], "2");
}

#[test]
fn an_update_that_cannot_be_meant_writes_nothing() {
    let server = Server::start();
    let refused = |line: &str, status: i32, expected: &str| {
        let ran = server.ran(line);
        let note = ran.stderr.lines().filter(|line| !line.starts_with("note: ")).collect::<Vec<_>>().join("\n");
        assert_eq!((ran.status, ran.stdout.as_str(), note.as_str()), (status, "", expected), "{line}");
    };
    refused("jobs update echo", 2, "error: no flag says what to change\nhint: `runjob jobs update --help` lists them");
    refused("jobs update echo --memory=1GB", 2, "error: --memory: expected an amount such as 512Mi or 2Gi");
    refused(
        "jobs update echo --container=new --memory=1Gi",
        2,
        "error: container 'new' is not in the job, and a new one needs an image\n\
         hint: --container=new --image=IMAGE adds it",
    );
    refused("jobs create mine --memory=1Gi", 2, "error: the job has no image\nhint: add --image=IMAGE");
    let missing = format!(
        "error: could not read job {JOBS}/nothing: NOT_FOUND: Resource 'nothing' of kind 'JOB' in region 'us-central1' in \
         project 'demo' does not exist.\nhint: check the project, the region and the name"
    );
    refused("jobs update nothing --memory=1Gi", 7, &missing);
    assert_eq!(server.ran("jobs describe echo --format=json").json()["generation"], "1");
}

/// A field that no proto of ours has.
fn unknown(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::string::encode(999, &text.to_owned(), &mut bytes);
    bytes
}

fn message(field: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::bytes::encode(field, &content.to_vec(), &mut bytes);
    bytes
}

/// A job of a service that is ahead: each message has an unknown field, before those that are known.
fn newer_job(memory: &str) -> Vec<u8> {
    let resources = ResourceRequirements {
        limits: [("cpu".to_owned(), "1".to_owned()), ("memory".to_owned(), memory.to_owned())].into(),
        ..ResourceRequirements::default()
    };
    let resources = [unknown("of the resources"), resources.encode_to_vec()].concat();
    let container = Container { image: "i".to_owned(), args: vec!["a".to_owned()], ..Container::default() };
    let container = [unknown("of the container"), container.encode_to_vec(), message(6, &resources)].concat();
    let task = [unknown("of the task"), message(1, &container)].concat();
    let template = ExecutionTemplate { task_count: 3, ..ExecutionTemplate::default() };
    let template = [unknown("of the execution"), template.encode_to_vec(), message(5, &task)].concat();
    let job = Job { name: format!("{JOBS}/echo"), ..Job::default() };
    let etag = Job { etag: "\"1\"".to_owned(), ..Job::default() };
    [unknown("of the job"), job.encode_to_vec(), message(16, &template), etag.encode_to_vec()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_of_a_job_from_a_newer_service_changes_the_bytes_that_its_flag_names() {
    let written = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&written);
    let script = Script::new(move |rpc, _, message| match rpc {
        "GetJob" => Ok(newer_job("512Mi")),
        "UpdateJob" => {
            kept.lock().expect("whole").push(message.to_vec());
            let job = prost_types::Any::from_msg(&Job { name: format!("{JOBS}/echo"), ..Job::default() }).ok();
            let name = "projects/demo/locations/us-central1/operations/1".to_owned();
            let result = job.clone().map(operation::Result::Response);
            Ok(Operation { name, metadata: job, done: true, result }.encode_to_vec())
        }
        _ => Err("12"),
    });
    let address = script.listen().await;
    let mut command = runjob("jobs update echo --memory=1Gi --project=demo --region=us-central1");
    command.env("RUN_EMULATOR_HOST", address.to_string());
    let ran = tokio::task::spawn_blocking(|| Ran::of(command)).await.expect("it runs");
    assert_eq!(ran.status, 0, "{ran:#?}");
    let written = written.lock().expect("whole");
    // After what gRPC puts before a message.
    let requests: Vec<_> = written.iter().map(|request| &request[5..]).collect();
    assert_eq!(requests, [message(1, &newer_job("1Gi"))]);
}
