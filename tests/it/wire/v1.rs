//! The v1 API that gcloud speaks, as a translation of v2 (api-facts 9 and 10.3); tests/official/gcloud.sh drives gcloud itself.

use runjob::emulator::Simulated;
use serde_json::{Value, json};

use super::{
    Api,
    rest::{Answer, request},
};

const NAMESPACE: &str = "/apis/run.googleapis.com/v1/namespaces/demo";

async fn api() -> Api {
    Api::simulated(|task, _| if task == 1 { Simulated::exits(3) } else { Simulated::exits(0) }).await
}

/// A request to a region, as gcloud addresses it.
async fn send(api: &Api, region: &str, method: &str, path: &str, body: &str) -> Answer {
    let host = format!("{region}-localhost:8085");
    request(&api.emulator, method, &format!("{NAMESPACE}/{path}"), &[("Host", &host)], body).await
}

async fn get(api: &Api, path: &str) -> Value {
    send(api, "us-central1", "GET", path, "").await.json()
}

fn job(id: &str) -> Value {
    let container = json!({"image": "us-docker.pkg.dev/runjob/samples/echo", "name": ""});
    json!({
        "apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": id, "namespace": "demo"},
        "spec": {"template": {"spec": {"taskCount": 2, "template": {"spec": {"containers": [container], "maxRetries": 0}}}}},
    })
}

#[tokio::test]
async fn a_job_is_created_ready_and_shown_with_what_it_was_given() {
    let api = api().await;
    let created = send(&api, "us-central1", "POST", "jobs", &job("new").to_string()).await;
    assert_eq!(created.status, 200, "{}", created.body);
    let shown = get(&api, "jobs/new").await;
    assert_eq!((&shown["kind"], &shown["metadata"]["generation"]), (&json!("Job"), &json!(1)));
    let condition = &shown["status"]["conditions"][0];
    assert_eq!((&condition["type"], &condition["status"]), (&json!("Ready"), &json!("True")));
    assert_eq!(shown["spec"]["template"]["spec"]["taskCount"], 2);
    let again = send(&api, "us-central1", "POST", "jobs", &job("new").to_string()).await;
    assert_eq!((again.status, again.message()), (409, "Resource 'new' already exists.".to_owned()));
}

#[tokio::test]
async fn a_replacement_under_an_old_resource_version_is_a_conflict() {
    let api = api().await;
    send(&api, "us-central1", "POST", "jobs", &job("new").to_string()).await;
    let mut old = get(&api, "jobs/new").await;
    old["spec"]["template"]["spec"]["taskCount"] = json!(5);
    let replaced = send(&api, "us-central1", "PUT", "jobs/new", &old.to_string()).await;
    assert_eq!(replaced.json()["metadata"]["generation"], 2);
    assert_eq!(send(&api, "us-central1", "PUT", "jobs/new", &old.to_string()).await.status, 409);
    assert_eq!(get(&api, "jobs/new").await["spec"]["template"]["spec"]["taskCount"], 5);
}

/// A job's name can hold hyphens, and an execution's name does not say where it ends.
#[tokio::test]
async fn a_run_is_followed_from_its_execution_to_its_tasks_by_labels() {
    let api = api().await;
    send(&api, "us-central1", "POST", "jobs", &job("a-b-c").to_string()).await;
    let body = r#"{"overrides": {"taskCount": 3, "timeoutSeconds": 300}}"#;
    let run = send(&api, "us-central1", "POST", "jobs/a-b-c:run", body).await.json();
    let id = run["metadata"]["name"].as_str().expect("an execution").to_owned();
    assert_eq!(run["metadata"]["labels"]["run.googleapis.com/job"], "a-b-c");
    let completed = |execution: &Value| {
        let all = execution["status"]["conditions"].as_array().expect("conditions").clone();
        all.into_iter().find(|condition| condition["type"] == "Completed").expect("it is always there")
    };
    let mut execution = get(&api, &format!("executions/{id}")).await;
    while completed(&execution)["status"] == "Unknown" {
        tokio::task::yield_now().await;
        execution = get(&api, &format!("executions/{id}")).await;
    }
    let verdict = completed(&execution);
    assert_eq!((&verdict["status"], &verdict["reason"]), (&json!("False"), &json!("NonZeroExitCode")));
    assert_eq!(execution["spec"]["template"]["spec"]["timeoutSeconds"], "300");
    for (state, ids) in [("Failed", vec![1]), ("Succeeded", vec![0, 2]), ("Pending,Running", vec![])] {
        let selector = format!(
            "run.googleapis.com%2Fexecution+%3D+{id}%2Crun.googleapis.com%2FrunningState+in+%28{}%29",
            state.replace(',', "%2C")
        );
        let tasks = get(&api, &format!("tasks?labelSelector={selector}&limit=100")).await;
        let found: Vec<_> =
            tasks["items"].as_array().expect("a list").iter().map(|it| it["metadata"]["name"].clone()).collect();
        assert_eq!(found, ids.iter().map(|index| json!(format!("{id}-task{index}"))).collect::<Vec<_>>(), "{state}");
    }
    let active = "run.googleapis.com%2Fjob+%3D+a-b-c%2C+run.googleapis.com%2FservingState+%3D+Active";
    assert_eq!(get(&api, &format!("executions?labelSelector={active}")).await["items"], json!([]));
}

#[tokio::test]
async fn a_host_names_the_region_and_a_list_without_one_is_of_all_regions() {
    let api = api().await;
    for region in ["us-central1", "europe-west1"] {
        assert_eq!(send(&api, region, "POST", "jobs", &job("here").to_string()).await.status, 200);
    }
    let regions = |list: Value| {
        let items = list["items"].as_array().expect("a list").clone();
        let here = items.into_iter().filter(|job| job["metadata"]["name"] == "here");
        here.map(|job| job["metadata"]["labels"]["cloud.googleapis.com/location"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(regions(send(&api, "europe-west1", "GET", "jobs", "").await.json()), ["europe-west1"]);
    let all = request(&api.emulator, "GET", &format!("{NAMESPACE}/jobs?limit=100"), &[], "").await;
    assert_eq!(regions(all.json()), ["europe-west1", "us-central1"]);
}

#[tokio::test]
async fn policies_of_v1_are_those_of_v2() {
    let api = api().await;
    let path = "/v1/projects/demo/locations/us-central1/jobs/echo";
    let policy = r#"{"policy": {"bindings": [{"role": "roles/run.invoker", "members": ["user:a@example.com"]}]}}"#;
    let set = request(&api.emulator, "POST", &format!("{path}:setIamPolicy"), &[], policy).await;
    assert_eq!(set.status, 200, "{}", set.body);
    let got = request(&api.emulator, "GET", &format!("{path}:getIamPolicy"), &[], "").await.json();
    assert_eq!(got["bindings"][0]["members"], json!(["user:a@example.com"]));
}

/// Output of tasks, as Logging lists it.
#[tokio::test]
async fn the_output_of_tasks_is_found_by_job_and_execution() {
    let mut api = Api::real().await;
    let operation = api.run_with("echo", super::args(&["hello"])).await.expect("the start is accepted");
    let done = api.wait(&operation).await;
    let execution: runjob::proto::run::v2::Execution = super::response(&done);
    let id = execution.name.rsplit('/').next().expect("a name").to_owned();
    let list = |job: &str, id: &str| {
        let filter = format!(
            "resource.type = cloud_run_job AND resource.labels.job_name = {job} AND \
             labels.\"run.googleapis.com/execution_name\"=\"{id}\""
        );
        json!({"resourceNames": ["projects/demo"], "filter": filter, "orderBy": "timestamp desc"}).to_string()
    };
    let mut entries = json!([]);
    while entries == json!([]) {
        tokio::task::yield_now().await;
        entries =
            request(&api.emulator, "POST", "/v2/entries:list", &[], &list("echo", &id)).await.json()["entries"].clone();
    }
    assert_eq!(entries[0]["textPayload"], "hello");
    assert_eq!(entries[0]["resource"]["labels"]["job_name"], "echo");
    let other = request(&api.emulator, "POST", "/v2/entries:list", &[], &list("other", &id)).await.json();
    assert_eq!(other["entries"], json!([]));
}
