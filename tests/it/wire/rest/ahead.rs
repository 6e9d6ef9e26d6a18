//! Fields that REST has and the protos do not (api-facts 10.1), and parts of answers.

use serde_json::{Value, json};

use super::{Api, LOCATION, request};
use runjob::emulator::Simulated;

async fn api() -> Api {
    Api::simulated(|_, _| Simulated::exits(0)).await
}

fn job() -> Value {
    json!({
        "functionalType": "FUNCTIONAL_TYPE_AGENT",
        "template": {"client": "tool", "clientVersion": "1", "template": {
            "containers": [{"name": "main", "image": "us-docker.pkg.dev/runjob/samples/echo", "sandboxLauncher": true}],
            "volumes": [{"name": "disk", "emptyDir": {"medium": "DISK", "sizeLimit": "10Gi"}}],
            "workloadIdentityConfig": {"pool": "x", "nested": {"a": [1, 2.5, "b"]}},
        }},
    })
}

async fn create(api: &Api, job: &Value) -> Value {
    let answer = api.post("jobs?jobId=new", &job.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// cases 6.2.
#[tokio::test]
async fn what_only_rest_has_is_kept_and_shown_in_jobs_operations_executions_and_tasks() {
    let api = api().await;
    let created = create(&api, &job()).await;
    let shown = api.get("jobs/new").await.json();
    for shown in [&created["metadata"], &shown] {
        let task = &shown["template"]["template"];
        assert_eq!(shown["functionalType"], "FUNCTIONAL_TYPE_AGENT");
        assert_eq!(task["workloadIdentityConfig"], job()["template"]["template"]["workloadIdentityConfig"]);
        assert_eq!(task["volumes"], job()["template"]["template"]["volumes"]);
        assert_eq!(task["containers"][0]["sandboxLauncher"], true);
    }
    let operation = api.post("jobs/new:run", "{}").await.json();
    let execution = &operation["metadata"];
    assert_eq!((&execution["client"], &execution["clientVersion"]), (&json!("tool"), &json!("1")));
    assert_eq!(execution["template"]["volumes"][0]["emptyDir"]["medium"], "DISK");
    let path = format!("/v2/{}/tasks", execution["name"].as_str().expect("a name"));
    let task = &request(&api.emulator, "GET", &path, &[], "").await.json()["tasks"][0];
    assert_eq!(task["workloadIdentityConfig"]["pool"], "x");
    assert_eq!(task["volumes"][0]["emptyDir"], json!({"medium": "DISK", "sizeLimit": "10Gi"}));
}

#[tokio::test]
async fn an_update_over_rest_replaces_what_only_rest_has() {
    let api = api().await;
    create(&api, &job()).await;
    let mut other = job();
    other["template"]["template"]["workloadIdentityConfig"] = json!({"pool": "y"});
    other["template"]["template"]["containers"][0].as_object_mut().expect("an object").remove("sandboxLauncher");
    let answer = api.send("PATCH", "jobs/new", &other.to_string()).await.json();
    assert_eq!(answer["metadata"]["generation"], "2");
    let task = &api.get("jobs/new").await.json()["template"]["template"];
    assert_eq!(task["workloadIdentityConfig"], json!({"pool": "y"}));
    assert_eq!(task["containers"][0].get("sandboxLauncher"), None);
}

#[tokio::test]
async fn a_field_that_only_rest_has_is_of_its_type_and_all_others_are_unknown() {
    let api = api().await;
    for (field, value, text) in [
        ("delayExecution", json!("yes"), "Invalid value at 'job.template.delayExecution' (TYPE_BOOL), \"yes\""),
        ("delayedExecution", json!(true), "Cannot find field"),
    ] {
        let mut job = job();
        job["template"][field] = value;
        let answer = api.post("jobs?jobId=new", &job.to_string()).await;
        assert_eq!(answer.status, 400);
        assert!(answer.message().contains(text), "{}", answer.body);
    }
}

#[tokio::test]
async fn an_ephemeral_disk_has_at_least_ten_gibibytes() {
    let api = api().await;
    let mut job = job();
    let field = "template.template.volumes[0].empty_dir.size_limit";
    for (disk, status, text) in [
        (json!({"medium": "DISK"}), 400, "An ephemeral disk has a size of at least 10Gi."),
        (json!({"medium": "DISK", "sizeLimit": "9.9Gi"}), 400, "An ephemeral disk has a size of at least 10Gi."),
        (json!({"medium": "DISK", "sizeLimit": "much"}), 400, "Could not parse Quantity 'much'."),
        (json!({"medium": "MEMORY", "sizeLimit": "1Gi"}), 200, ""),
        (json!({"medium": "DISK", "sizeLimit": "100Gi"}), 200, ""),
    ] {
        job["template"]["template"]["volumes"][0]["emptyDir"] = disk.clone();
        let answer = api.post("jobs?jobId=new&validateOnly=true", &job.to_string()).await;
        assert_eq!(answer.status, status, "{disk}: {}", answer.body);
        assert!(answer.body.contains(text) && (status == 200 || answer.body.contains(field)), "{}", answer.body);
    }
}

/// api-facts 10.1: at most 12 hours for a task that may be delayed.
#[tokio::test]
async fn a_delayed_task_has_at_most_twelve_hours() {
    let api = api().await;
    let mut job = job();
    job["template"]["delayExecution"] = json!(true);
    for (timeout, status) in [("43201s", 400), ("43200s", 200)] {
        job["template"]["template"]["timeout"] = json!(timeout);
        assert_eq!(api.post("jobs?jobId=new", &job.to_string()).await.status, status, "{timeout}");
    }
}

#[tokio::test]
async fn an_answer_has_the_parts_that_are_asked_for() {
    let api = api().await;
    create(&api, &job()).await;
    let name = json!(format!("{LOCATION}/jobs/new"));
    let part = api.get("jobs/new?fields=name,template(template/volumes/emptyDir/medium)").await.json();
    let medium = json!({"template": {"volumes": [{"emptyDir": {"medium": "DISK"}}]}});
    assert_eq!(part, json!({"name": name, "template": medium}));
    assert_eq!(api.get("jobs?fields=jobs.name&pageSize=1").await.json(), json!({"jobs": [{"name": name}]}));
    assert_eq!(api.get("jobs/new?fields=a(").await.status, 400);
}

#[tokio::test]
async fn a_project_is_known_by_its_number_too() {
    let api = api().await;
    create(&api, &job()).await;
    let account = &api.get("jobs/new").await.json()["template"]["template"]["serviceAccount"];
    let number = account.as_str().and_then(|account| account.split('-').next()).expect("a number").to_owned();
    let path = format!("/v2/projects/{number}/locations/us-central1/jobs/new");
    let shown = request(&api.emulator, "GET", &path, &[], "").await.json();
    assert_eq!(shown["name"], format!("{LOCATION}/jobs/new"));
}
