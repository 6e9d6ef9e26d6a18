//! Which request is which RPC (api-facts 5; `google.api.http` in the protos).

use runjob::{
    emulator::Simulated,
    proto::{
        longrunning::GetOperationRequest,
        run::v2::{ListExecutionsRequest, RunJobRequest},
    },
};
use serde_json::json;

use super::{super::job_name, Api, LOCATION, request};

/// A route that is not there has a text of its own.
const NO_METHOD: &str = "is no method of this API.";

#[tokio::test]
async fn every_rpc_of_the_service_has_its_route() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0)).await;
    let operation = api.run("echo").await;
    api.wait(&operation).await;
    let request = ListExecutionsRequest { parent: job_name("echo"), ..ListExecutionsRequest::default() };
    let executions = api.executions.list_executions(request).await.expect("the job is there").into_inner().executions;
    let execution = executions[0].name.strip_prefix(&format!("{LOCATION}/")).expect("it is there");
    let operation = operation.name.strip_prefix(&format!("{LOCATION}/")).expect("it is there");
    for (method, path, status) in [
        ("GET", "jobs", 200),
        ("GET", "jobs/echo", 200),
        ("POST", "jobs?jobId=new", 400),
        ("PATCH", "jobs/echo", 400),
        ("POST", "jobs/echo:run", 200),
        ("GET", "jobs/echo/executions", 200),
        ("GET", execution, 200),
        ("POST", &format!("{execution}:cancel"), 400),
        ("GET", &format!("{execution}/tasks"), 200),
        ("GET", &format!("{execution}/tasks/none"), 404),
        ("DELETE", execution, 200),
        ("GET", "operations", 200),
        ("GET", operation, 200),
        ("POST", &format!("{operation}:wait"), 200),
        ("POST", &format!("{operation}:cancel"), 501),
        ("DELETE", operation, 200),
        ("DELETE", "jobs/echo", 200),
    ] {
        let answer = api.send(method, path, "").await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert!(!answer.body.contains(NO_METHOD), "{method} {path}: {}", answer.body);
    }
}

/// The IAM RPCs have routes whatever the emulator answers.
#[tokio::test]
async fn the_verbs_of_iam_are_routed() {
    let api = Api::real().await;
    for (method, verb) in [("GET", "getIamPolicy"), ("POST", "setIamPolicy"), ("POST", "testIamPermissions")] {
        let answer = api.send(method, &format!("jobs/echo:{verb}"), "").await;
        assert!(!answer.body.contains(NO_METHOD), "{verb}: {}", answer.body);
    }
}

/// api-facts 5: what the service does not publish is not there, nor are the defaults of shared interfaces.
#[tokio::test]
async fn what_is_not_published_is_not_found() {
    let api = Api::real().await;
    for (method, path) in [
        ("GET", "/v1/operations/x".to_owned()),
        ("POST", format!("/v1/{LOCATION}/jobs/echo:getIamPolicy")),
        ("PUT", format!("/v2/{LOCATION}/jobs/echo")),
        ("GET", format!("/v2/{LOCATION}/jobs/echo:run")),
        ("POST", format!("/v2/{LOCATION}/jobs/echo:stop")),
        ("GET", format!("/v2/{LOCATION}/jobs/")),
        ("GET", format!("/v2/{LOCATION}/jobs/echo/")),
        ("GET", "/".to_owned()),
    ] {
        let answer = request(&api.emulator, method, &path, &[], "").await;
        assert_eq!(answer.status, 404, "{method} {path}");
        assert_eq!(answer.message(), format!("{method} {path} {NO_METHOD}"));
    }
}

#[tokio::test]
async fn a_job_created_over_rest_runs_over_grpc_and_its_operation_is_read_over_rest() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0)).await;
    let job = json!({"template": {"template": {"containers": [{"image": "us-docker.pkg.dev/runjob/samples/echo"}]}}});
    let created = api.post("jobs?jobId=both", &job.to_string()).await;
    assert_eq!(created.status, 200, "{}", created.body);
    let operation = api.jobs.run_job(RunJobRequest { name: job_name("both"), ..RunJobRequest::default() }).await;
    let operation = operation.expect("it is there").into_inner();
    api.wait(&operation).await;
    let path = operation.name.strip_prefix(&format!("{LOCATION}/")).expect("it is there");
    let read = api.get(path).await.json();
    assert_eq!(read["done"], json!(true));
    assert_eq!(read["response"]["succeededCount"], json!(1));
}

/// POST …:wait with a timeout in its body; one that runs out gives the operation as it is.
#[tokio::test]
async fn waiting_ends_with_the_operation_or_the_timeout() {
    let mut api = Api::real().await;
    let operation = api.run_with("sleep", super::super::args(&["60"])).await.expect("it starts");
    let path = operation.name.strip_prefix(&format!("{LOCATION}/")).expect("it is there").to_owned();
    let waited = api.post(&format!("{path}:wait"), r#"{"timeout": "0.001s"}"#).await.json();
    assert_eq!(waited.get("done"), None, "{waited}");
    let read = api.operations.get_operation(GetOperationRequest { name: operation.name.clone() }).await;
    let execution: runjob::proto::run::v2::Execution = super::super::metadata(&read.expect("it is there").into_inner());
    let execution = execution.name.strip_prefix(&format!("{LOCATION}/")).expect("it is there").to_owned();
    assert_eq!(api.post(&format!("{execution}:cancel"), "{}").await.status, 200);
    let waited = api.post(&format!("{path}:wait"), r#"{"timeout": "60s"}"#).await.json();
    assert_eq!(waited["response"]["cancelledCount"], json!(1), "{waited}");
}

#[tokio::test]
async fn a_path_is_decoded_a_segment_at_a_time() {
    let api = Api::real().await;
    assert_eq!(api.get("jobs/ech%6F").await.json()["name"], json!(job_name("echo")));
    for path in ["jobs/a%2Fb", "jobs%2Fecho", "jobs/%FF"] {
        let answer = api.get(path).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
    }
    for path in ["jobs/..", "jobs/%2e%2e", "jobs/a%0D%0Ab", "jobs/echo%3Arun"] {
        let answer = api.get(path).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["status"].clone()),
            (400, json!("INVALID_ARGUMENT")),
            "{path}"
        );
    }
}

/// A REST call needs no routing header, and one that a client sends is not asked about.
#[tokio::test]
async fn a_routing_header_is_neither_needed_nor_in_the_way() {
    let api = Api::real().await;
    for headers in [&[][..], &[("X-Goog-Request-Params", "location=elsewhere")]] {
        let answer = request(&api.emulator, "GET", &format!("/v2/{LOCATION}/jobs/echo"), headers, "").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}
