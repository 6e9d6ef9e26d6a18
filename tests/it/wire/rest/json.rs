//! Messages as canonical JSON (api-facts 4, REST dialect; the JSON mapping of proto3).

use runjob::{
    emulator::Simulated,
    proto::run::v2::{CreateJobRequest, ExecutionTemplate},
};
use serde_json::{Value, json};

use super::{
    super::{job, job_name, metadata, seconds},
    Api, LOCATION,
};

fn echo() -> Value {
    json!({"template": {"template": {"containers": [{"image": "us-docker.pkg.dev/runjob/samples/echo"}]}}})
}

#[tokio::test]
async fn zero_values_are_left_out_and_64_bit_integers_are_strings() {
    let api = Api::real().await;
    let echo = api.get("jobs/echo").await.json();
    assert_eq!(echo["generation"], json!("1"));
    assert_eq!(echo["template"]["taskCount"], json!(1));
    assert_eq!(echo["template"]["template"]["timeout"], json!("600s"));
    assert_eq!(echo["latestCreatedExecution"], json!({}));
    let created = echo["createTime"].as_str().expect("a string");
    assert!(created.starts_with("20") && created.contains('T') && created.ends_with('Z'), "{created}");
    for absent in ["executionCount", "reconciling", "labels", "deleteTime"] {
        assert_eq!(echo.get(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn enums_are_names_unless_numbers_are_asked_for() {
    let api = Api::real().await;
    for (query, state) in [
        ("", json!("CONDITION_SUCCEEDED")),
        ("?alt=json", json!("CONDITION_SUCCEEDED")),
        ("?$alt=json", json!("CONDITION_SUCCEEDED")),
        ("?$alt=json;enum-encoding=int", json!(4)),
        ("?%24alt=json%3Benum-encoding%3Dint", json!(4)),
    ] {
        let echo = api.get(&format!("jobs/echo{query}")).await.json();
        assert_eq!(echo["terminalCondition"]["state"], state, "{query}");
    }
    assert_eq!(api.get("jobs/echo?alt=media").await.status, 400);
}

#[tokio::test]
async fn an_answer_is_indented_unless_it_is_asked_not_to_be() {
    let api = Api::real().await;
    assert!(api.get("jobs/echo").await.body.starts_with("{\n  \""));
    assert_eq!(api.get("jobs/echo?prettyPrint=false").await.body.lines().count(), 1);
    assert_eq!(api.get("jobs/none?$prettyPrint=false").await.body.lines().count(), 1);
}

/// api-facts 1.1: the execution is in `metadata` from the first answer on, with its type beside its fields.
#[tokio::test]
async fn the_resource_in_an_operation_is_expanded() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0)).await;
    let started = api.post("jobs/echo:run", "").await.json();
    assert_eq!(started.get("done"), None);
    assert_eq!(started["metadata"]["@type"], json!("type.googleapis.com/google.cloud.run.v2.Execution"));
    assert_eq!(started["metadata"]["job"], json!("echo"));
    let name = started["name"].as_str().expect("a name").to_owned();
    api.wait(&runjob::proto::longrunning::Operation { name: name.clone(), ..Default::default() }).await;
    let ended = api.get(name.strip_prefix(&format!("{LOCATION}/")).expect("it is there")).await.json();
    assert_eq!(ended["done"], json!(true));
    assert_eq!(ended["response"]["@type"], json!("type.googleapis.com/google.cloud.run.v2.Execution"));
    assert_eq!(ended["response"]["succeededCount"], json!(1));
}

#[tokio::test]
async fn an_empty_answer_is_an_empty_object() {
    let api = Api::simulated(|_, _| Simulated::exits(0)).await;
    let started = api.post("jobs/echo:run", "{}").await.json();
    let name = started["name"].as_str().expect("a name");
    let deleted = api.send("DELETE", name.strip_prefix(&format!("{LOCATION}/")).expect("it is there"), "").await;
    assert_eq!((deleted.status, deleted.json()), (200, json!({})));
}

#[tokio::test]
async fn a_body_may_spell_its_fields_either_way() {
    let api = Api::simulated(|_, _| Simulated::exits(0)).await;
    for body in [
        json!({"overrides": {"containerOverrides": [{"clearArgs": true}], "taskCount": 2, "timeout": "1.5s"}}),
        json!({"overrides": {"container_overrides": [{"clear_args": true}], "task_count": "2", "timeout": "1.500s"}}),
    ] {
        let started = api.post("jobs/echo:run", &body.to_string()).await.json();
        assert_eq!(started["metadata"]["taskCount"], json!(2), "{started}");
        assert_eq!(started["metadata"]["template"]["timeout"], json!("1.500s"), "{started}");
    }
}

#[tokio::test]
async fn fields_outside_the_body_are_in_the_query() {
    let mut api = Api::real().await;
    let validated = api.post("jobs?jobId=one&validateOnly=true", &echo().to_string()).await;
    assert_eq!(validated.status, 200, "{}", validated.body);
    assert_eq!(api.get("jobs/one").await.status, 404);
    for (query, id) in [("jobId=one&validateOnly=false", "one"), ("job_id=two", "two")] {
        let created = api.post(&format!("jobs?{query}"), &echo().to_string()).await;
        assert_eq!(created.status, 200, "{}", created.body);
        api.job(id).await.expect("it is there");
    }
    for query in ["pageSize=2", "page_size=2"] {
        let page = api.get(&format!("jobs?{query}")).await.json();
        assert_eq!(page["jobs"].as_array().map(Vec::len), Some(2), "{query}");
        let next = page["nextPageToken"].as_str().expect("there is more");
        let next = api.get(&format!("jobs?{query}&pageToken={next}")).await.json();
        assert_ne!(next["jobs"][0]["name"], page["jobs"][0]["name"]);
    }
}

/// PATCH /v2/{job.name=…}: the name is in the path, whatever the body says.
#[tokio::test]
async fn the_path_wins_over_the_body() {
    let mut api = Api::real().await;
    let mut body = echo();
    body["name"] = json!(job_name("other"));
    body["template"]["taskCount"] = json!(3);
    let patched = api.send("PATCH", "jobs/echo", &body.to_string()).await;
    assert_eq!(patched.status, 200, "{}", patched.body);
    assert_eq!(api.job("echo").await.expect("it is there").template.map(|template| template.task_count), Some(3));
    assert_eq!(api.get("jobs/other").await.status, 404);
}

/// The same job by both ways is the same job.
#[tokio::test]
async fn rest_and_grpc_create_the_same_job() {
    let mut api = Api::real().await;
    let labels = |template: &mut ExecutionTemplate| template.labels = [("team".to_owned(), "a".to_owned())].into();
    let by_grpc = job("echo", |template, task| {
        labels(template);
        task.timeout = seconds(90);
    });
    let mut by_rest = echo();
    by_rest["template"]["labels"] = json!({"team": "a"});
    by_rest["template"]["template"]["timeout"] = json!("90s");
    let request =
        CreateJobRequest { parent: LOCATION.into(), job: Some(by_grpc), job_id: "g".into(), validate_only: true };
    let by_grpc: runjob::proto::run::v2::Job =
        metadata(&api.jobs.create_job(request).await.expect("it is valid").into_inner());
    assert_eq!(api.post("jobs?jobId=r", &by_rest.to_string()).await.status, 200);
    assert_eq!(api.job("r").await.expect("it is there").template, by_grpc.template);
}
