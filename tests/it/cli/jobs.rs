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
        assert_eq!((ran.status, ran.stdout.as_str(), told(&ran).as_str()), (status, "", expected), "{line}");
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

/// What was written to stderr, without the note about the emulator.
fn told(ran: &Ran) -> String {
    ran.stderr.lines().filter(|line| !line.starts_with("note: RUN_EMULATOR_HOST")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_job_that_was_stored_and_is_not_ready_says_so_and_what_mends_it() {
    let server = Server::start();
    let created = server.ran("jobs create broken --image=nope/x:1");
    assert_eq!((created.status, created.stdout.as_str()), (7, ""), "{created:#?}");
    let mend = format!("runjob jobs update {JOBS}/broken --image=IMAGE");
    let expected = format!(
        "error: job {JOBS}/broken was created and is not ready: Image 'nope/x:1' not found.\n\
         hint: the job is stored; this mends it: {mend}"
    );
    assert_eq!(told(&created), expected);
    let described = server.ran("jobs describe broken").stdout;
    let row = |name: &str| {
        let value = described.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or_else(|| panic!("no {name} in {described}")).trim().to_owned()
    };
    assert_eq!((row("state"), row("reason")), ("failed".to_owned(), "Image 'nope/x:1' not found.".to_owned()));
    assert_eq!(row("mended by"), mend);
    assert_eq!(server.ran(&format!("jobs update broken {ECHO}")).status, 0);
    assert!(!server.ran("jobs describe broken").stdout.contains("mended by"));
}

#[test]
fn a_deployed_job_is_created_and_then_changed() {
    let server = Server::start();
    let created = server.ran(&format!("jobs deploy mine {ECHO} --args=one"));
    assert_eq!((created.status, told(&created)), (0, format!("note: created; `runjob execute {JOBS}/mine` starts it")));
    let updated = server.ran("jobs deploy mine --tasks=2 --format=json");
    assert_eq!((updated.status, told(&updated)), (0, format!("note: updated; `runjob execute {JOBS}/mine` starts it")));
    let template = &updated.json()["template"];
    assert_eq!((&template["taskCount"], &template["template"]["containers"][0]["args"]), (&json!(2), &json!(["one"])));
    let imageless = server.ran("jobs deploy other --tasks=2");
    assert_eq!(
        (imageless.status, told(&imageless)),
        (2, "error: the job has no image\nhint: add --image=IMAGE".into())
    );
}

#[test]
fn a_job_is_started_as_soon_as_it_is_defined() {
    let server = Server::start();
    let created = server.ran(&format!("jobs create mine {ECHO} --args=hello --execute-now"));
    assert_eq!((created.status, created.stdout.lines().count()), (0, 1), "{created:#?}");
    assert!(created.stdout.starts_with(&format!("{JOBS}/mine/executions/mine-")), "{created:#?}");
    let updated = server.ran("jobs update mine --tasks=2 --wait --format=json");
    assert_eq!((updated.status, &updated.json()["outcome"]), (0, &json!("SUCCEEDED")), "{updated:#?}");
    assert_eq!(updated.json()["tasks"]["succeeded"], 2);
    let limited = server.ran("jobs update mine --tasks=3 --wait-limit=5s");
    assert_eq!((limited.status, told(&limited)), (2, "error: --wait-limit says how to wait\nhint: add --wait".into()));
}

#[test]
fn with_async_nothing_is_waited_for() {
    let server = Server::start();
    let created = server.ran("jobs create broken --image=nope/x:1 --async");
    assert_eq!(created.status, 0, "{created:#?}");
    let operation = "projects/demo/locations/us-central1/operations/";
    assert!(
        told(&created).starts_with(&format!("note: accepted; `runjob operations wait {operation}")),
        "{created:#?}"
    );
    assert_eq!(server.ran("jobs deploy broken --tasks=2 --async --wait").status, 2);
}

#[test]
fn a_diff_says_what_an_update_would_change_and_changes_nothing() {
    let server = Server::start();
    let create = format!("jobs create mine {ECHO} --set-env-vars=A=hunter1,B=2 --labels=team=red");
    assert_eq!(server.ran(&create).status, 0);
    let flags = "--update-env-vars=A=hunter2 --remove-env-vars=B --memory=1Gi --args=x --labels=team=red,new=1";
    let diff = server.ran(&format!("jobs diff mine {flags}"));
    let container = "template.template.containers[0]";
    let expected = format!(
        "labels.new: - -> \"1\"\n\
         {container}.args: - -> [\"x\"]\n\
         {container}.env[A].value: \"***\" -> \"***\"\n\
         {container}.env[B].name: \"B\" -> -\n\
         {container}.env[B].value: \"***\" -> -\n\
         {container}.resources.limits.memory: \"512Mi\" -> \"1Gi\"\n"
    );
    assert_eq!((diff.status, diff.stdout), (0, expected));
    let shown = server.ran(&format!("jobs diff mine {flags} --show-env --format=json")).json();
    let value = json!({"path": format!("{container}.env[A].value"), "before": "hunter1", "after": "hunter2"});
    assert!(shown.as_array().expect("a list").contains(&value), "{shown}");
    let none = server.ran("jobs diff mine --labels=team=red");
    assert_eq!((none.status, none.stdout.as_str(), told(&none).as_str()), (0, "", "note: nothing would change"));
    assert_eq!(server.ran("jobs diff mine").status, 2);
    assert_eq!(server.ran("jobs describe mine --format=json").json()["generation"], "1");
}

#[test]
fn a_job_is_described_with_everything_that_is_set() {
    let server = Server::start();
    let create = format!("jobs create mine {ECHO} --labels=team=red --service-account=me@x --cpu=2 --memory=1Gi");
    assert_eq!(server.ran(&create).status, 0);
    let described = server.ran("jobs describe mine").stdout;
    let rows: Vec<Vec<_>> = described.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in [
        ["labels.team", "red"],
        ["template.template.serviceAccount", "me@x"],
        ["template.template.containers[0].resources.limits.cpu", "2"],
        ["template.template.containers[0].resources.limits.memory", "1Gi"],
    ] {
        assert!(rows.iter().any(|known| known == &row), "{row:?} in {described}");
    }
    assert!(!described.contains("etag") && described.matches("samples/echo").count() == 1, "{described}");
}

#[test]
fn rarer_flags_have_their_fields_too() {
    let server = Server::start();
    let created = server.ran(&format!(
        "jobs create mine --set-cloudsql-instances=p:r:i --container=a {ECHO} --cpu=4 --memory=16Gi --gpu=1 --add-volume-mount=volume=v,mount-path=/v \
         --container=b {ECHO} --depends-on=a --add-volume=name=v,type=cloud-storage,bucket=bkt,readonly=true \
         --gpu-type=nvidia-l4 --no-gpu-zonal-redundancy --network=n --subnet=s \
         --network-tags=t,u --vpc-egress=private-ranges-only --binary-authorization=default --format=json \
         --key=projects/p/locations/r/keyRings/k/cryptoKeys/c"
    ));
    assert_eq!(created.status, 0, "{created:#?}");
    let job = created.json();
    let task = &job["template"]["template"];
    let (a, b) = (&task["containers"][0], &task["containers"][1]);
    assert_eq!(a["resources"]["limits"], json!({"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}));
    let sockets = json!({"name": "cloudsql", "mountPath": "/cloudsql"});
    assert_eq!(a["volumeMounts"], json!([sockets, {"name": "v", "mountPath": "/v"}]));
    assert_eq!((&b["dependsOn"], &b["volumeMounts"]), (&json!(["a"]), &json!([sockets])));
    assert_eq!(task["volumes"][1], json!({"name": "v", "gcs": {"bucket": "bkt", "readOnly": true}}));
    assert_eq!(task["volumes"][0], json!({"name": "cloudsql", "cloudSqlInstance": {"instances": ["p:r:i"]}}));
    let interfaces = json!([{"network": "n", "subnetwork": "s", "tags": ["t", "u"]}]);
    assert_eq!(task["vpcAccess"], json!({"egress": "PRIVATE_RANGES_ONLY", "networkInterfaces": interfaces}));
    assert_eq!(task["nodeSelector"], json!({"accelerator": "nvidia-l4"}));
    assert_eq!(task["encryptionKey"], "projects/p/locations/r/keyRings/k/cryptoKeys/c");
    assert_eq!(job["binaryAuthorization"], json!({"useDefault": true}));

    let updated = server.ran(
        "jobs update mine --remove-containers=b --clear-cloudsql-instances --clear-network --clear-binary-authorization \
         --format=json",
    );
    assert_eq!(updated.status, 0, "{updated:#?}");
    let job = updated.json();
    let task = &job["template"]["template"];
    assert_eq!(task["containers"].as_array().map(Vec::len), Some(1));
    assert_eq!(task["volumes"].as_array().map(Vec::len), Some(1));
    assert_eq!(task["vpcAccess"], json!({"egress": "PRIVATE_RANGES_ONLY"}));
    assert!(job["binaryAuthorization"].is_null());
}

#[test]
fn a_job_is_replaced_by_a_file_and_created_where_it_is_missing() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let export = "apiVersion: run.googleapis.com/v1\nkind: Job\nmetadata: {name: mine}\nspec: {template: {spec: \
                  {taskCount: 2, template: {spec: {containers: [{image: us-docker.pkg.dev/runjob/samples/echo}]}}}}}\n";
    let export = file("v1.yaml", export);
    let created = server.ran(&format!("jobs replace {export} --format=json"));
    assert_eq!((created.status, &created.json()["template"]["taskCount"]), (0, &json!(2)), "{created:#?}");

    let mut job = server.ran("jobs describe mine --format=json").json();
    job["template"]["taskCount"] = json!(5);
    job["labels"] = json!({"team": "red"});
    let own = file("v2.json", &job.to_string());
    let diff = server.ran(&format!("jobs diff --file={own}"));
    let expected = "labels.team: - -> \"red\"\ntemplate.taskCount: 2 -> 5\n";
    assert_eq!((diff.status, diff.stdout.as_str()), (0, expected), "{diff:#?}");
    let replaced = server.ran(&format!("jobs replace {own}"));
    assert_eq!(
        (replaced.status, told(&replaced)),
        (0, format!("note: updated; `runjob execute {JOBS}/mine` starts it"))
    );
    assert_eq!(told(&server.ran(&format!("jobs diff --file={own}"))), "note: nothing would change");

    let wrong = file("wrong.yaml", "name: mine\ntemplate: {template: {containers: [{imag: x}]}}\n");
    let refused = server.ran(&format!("jobs replace {wrong}"));
    assert_eq!((refused.status, refused.stdout.as_str()), (2, ""));
    assert!(
        refused.stderr.contains("template.template.containers[0]") && refused.stderr.contains("imag"),
        "{refused:#?}"
    );
    assert_eq!(server.ran("jobs replace /nowhere/job.yaml").status, 2);
    assert_eq!(server.ran(&format!("jobs diff --file={own} --tasks=2")).status, 2);
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
