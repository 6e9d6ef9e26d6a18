//! The error envelope, and what is refused before an RPC is called (api-facts 4, 4.1, 4.2).

use runjob::emulator::{Emulator, Quota, Runtime, Simulated, Simulation};
use serde_json::json;

use super::{
    super::{Api, LOCATION},
    request,
};

#[tokio::test]
async fn an_error_has_the_code_of_http_and_the_name_of_grpc() {
    let api = Api::real().await;
    let text = "Resource 'none' of kind 'JOB' in region 'us-central1' in project 'demo' does not exist.";
    let answer = api.get("jobs/none").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json(), json!({"error": {"code": 404, "message": text, "status": "NOT_FOUND"}}));
}

#[tokio::test]
async fn codes_of_grpc_have_their_statuses_of_http() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0)).await;
    let job = r#"{"template": {"template": {"containers": [{"image": "us-docker.pkg.dev/runjob/samples/echo"}]}}}"#;
    let taken = api.post("jobs?jobId=echo", job).await;
    assert_eq!((taken.status, taken.message().as_str()), (409, "Resource 'echo' already exists."));

    let operation = api.run("echo").await;
    let execution: runjob::proto::run::v2::Execution = super::super::metadata(&api.wait(&operation).await);
    let ended = request(&api.emulator, "POST", &format!("/v2/{}:cancel", execution.name), &[], "{}").await;
    assert_eq!((ended.status, &ended.json()["error"]["status"]), (400, &json!("FAILED_PRECONDITION")));

    let elsewhere = request(&api.emulator, "GET", "/v2/projects/demo/locations/-/operations", &[], "").await;
    assert_eq!((elsewhere.status, &elsewhere.json()["error"]["status"]), (501, &json!("UNIMPLEMENTED")));
    assert_eq!(elsewhere.message(), "Operation is not implemented, or supported, or enabled.");
}

/// api-facts 4.1, permission and rate: REST passes the same checks.
#[tokio::test]
async fn callers_and_quotas_count_over_rest_too() {
    let alice = "user:alice@example.com";
    let builder = Emulator::builder().runtime(Runtime::Simulated(Simulation::default()));
    let builder = builder.caller("secret", alice).grant(alice, "roles/run.invoker");
    let api = Api::start(builder.quota(Quota::default().run_requests_per_minute(1))).await;
    let job = format!("/v2/{LOCATION}/jobs/echo");
    let run = format!("{job}:run");
    let token = [("Authorization", "Bearer secret")];
    for (method, path, headers, expected) in [
        ("POST", &run, &[][..], (401, "UNAUTHENTICATED")),
        ("GET", &job, &token, (403, "PERMISSION_DENIED")),
        ("POST", &run, &token, (200, "")),
        ("POST", &run, &token, (429, "RESOURCE_EXHAUSTED")),
    ] {
        let body = if method == "POST" { "{}" } else { "" };
        let answer = request(&api.emulator, method, path, headers, body).await;
        let json = answer.json();
        assert_eq!((answer.status, json["error"]["status"].as_str().unwrap_or_default()), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn the_details_of_an_error_are_expanded() {
    let api = Api::real().await;
    let refused = api.post("jobs?jobId=NOT", r#"{"template": {}}"#).await;
    assert_eq!(refused.status, 400);
    let details = &refused.json()["error"]["details"];
    assert_eq!(details[0]["@type"], json!("type.googleapis.com/google.rpc.BadRequest"));
    assert_eq!(details[0]["fieldViolations"][0]["field"], json!("job_id"));
}

/// api-facts 4.2, last row.
#[tokio::test]
async fn a_field_that_is_not_there_is_named_with_its_place() {
    let api = Api::real().await;
    let prefix = "Invalid JSON payload received. Unknown name";
    for (body, place, text) in [
        (r#"{"override": {}}"#, None, format!("{prefix} \"override\": Cannot find field.")),
        (
            r#"{"overrides": {"containerOverrides": [{"arg": ["x"]}]}}"#,
            Some("overrides.container_overrides[0]"),
            format!("{prefix} \"arg\" at 'overrides.container_overrides[0]': Cannot find field."),
        ),
    ] {
        let refused = api.post("jobs/echo:run", body).await;
        assert_eq!((refused.status, refused.message()), (400, text.clone()));
        let violation = &refused.json()["error"]["details"][0]["fieldViolations"][0];
        assert_eq!(violation.get("field").and_then(|field| field.as_str()), place);
        assert_eq!(violation["description"], json!(text));
    }
    let refused = api.post("jobs?jobId=new", r#"{"template": {"task": 1}}"#).await;
    assert_eq!(refused.message(), format!("{prefix} \"task\" at 'job.template': Cannot find field."));
}

/// api-facts 4.2, last row.
#[tokio::test]
async fn a_value_of_another_type_is_named_with_its_place() {
    let api = Api::real().await;
    for (body, text) in [
        (r#"{"overrides": {"taskCount": "x"}}"#, "Invalid value at 'overrides.task_count' (TYPE_INT32), \"x\""),
        (r#"{"overrides": {"taskCount": 1.5}}"#, "Invalid value at 'overrides.task_count' (TYPE_INT32), 1.5"),
        (
            r#"{"overrides": {"taskCount": 3000000000}}"#,
            "Invalid value at 'overrides.task_count' (TYPE_INT32), 3000000000",
        ),
        (
            r#"{"overrides": {"containerOverrides": [{"args": ["a", 1]}]}}"#,
            "Invalid value at 'overrides.container_overrides[0].args[1]' (TYPE_STRING), 1",
        ),
        (
            r#"{"overrides": {"timeout": "5 minutes"}}"#,
            "Invalid value at 'overrides.timeout' (type.googleapis.com/google.protobuf.Duration), \"5 minutes\"",
        ),
        (r#"{"validateOnly": "yes"}"#, "Invalid value at 'validate_only' (TYPE_BOOL), \"yes\""),
    ] {
        let refused = api.post("jobs/echo:run", body).await;
        assert_eq!((refused.status, refused.message().as_str()), (400, text));
    }
    assert!(api.emulator.ledger().is_empty());
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let api = Api::real().await;
    for body in ["{", "[]", "1", "null", "{\"overrides\": {}} {}", "\u{feff}{}", &"[".repeat(1000)] {
        let refused = api.post("jobs/echo:run", body).await;
        assert_eq!((refused.status, &refused.json()["error"]["status"]), (400, &json!("INVALID_ARGUMENT")), "{body}");
    }
    for (method, path) in [("GET", "jobs/echo"), ("DELETE", "jobs/echo")] {
        assert_eq!(api.send(method, path, "{}").await.status, 400, "{method} has no body");
    }
    assert_eq!(api.send("PATCH", "jobs/echo", "[]").await.status, 400);
    assert!(api.emulator.ledger().is_empty());
}

#[tokio::test]
async fn a_query_parameter_that_is_no_field_is_refused() {
    let api = Api::real().await;
    for (method, path, name) in [
        ("GET", "jobs?page=2", "page"),
        ("GET", "jobs/echo?name=x", "name"),
        ("GET", "jobs?parent=x", "parent"),
        ("GET", "jobs?pageSize.x=1", "pageSize.x"),
        ("POST", "jobs?jobId=new&job.name=x", "job.name"),
        // All of the message is the body.
        ("POST", "jobs/echo:run?validateOnly=true", "validateOnly"),
    ] {
        let refused = api.send(method, path, "").await;
        let reason = "Cannot bind query parameter. Field";
        let text = format!("{reason} '{name}' could not be found in request message.");
        let text = format!("Invalid JSON payload received. Unknown name \"{name}\": {text}");
        assert_eq!((refused.status, refused.message()), (400, text), "{path}");
    }
    let refused = api.get("jobs?pageSize=many").await;
    assert_eq!(refused.message(), "Invalid value at 'page_size' (TYPE_INT32), \"many\"");
    assert!(api.emulator.ledger().is_empty());
}

/// Parameters of Google's front end, which all of its clients may send.
#[tokio::test]
async fn system_parameters_are_not_in_the_way() {
    let api = Api::real().await;
    let answer =
        api.get("jobs/echo?key=k&quotaUser=u&%24.xgafv=2&access_token=t&uploadType=media&$userProject=p").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}
