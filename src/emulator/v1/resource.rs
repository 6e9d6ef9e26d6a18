//! Jobs, executions and tasks as v1 shows them, from v2 JSON.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::{
    definition::{annotations_of, spec_of_job, task_to_v1},
    fields::{camel, id, prune, unprefixed},
};

const JOB: &str = "run.googleapis.com/job";
const EXECUTION: &str = "run.googleapis.com/execution";
const RUNNING_STATE: &str = "run.googleapis.com/runningState";
const SERVING_STATE: &str = "run.googleapis.com/servingState";
/// gRPC's code of what was cancelled.
const CANCELLED: i64 = 1;

pub(super) fn job(job: &Value) -> Value {
    let latest = &job["latestCreatedExecution"];
    let labels = job["labels"].as_object().cloned().unwrap_or_default();
    let mut annotations = job["annotations"].as_object().cloned().unwrap_or_default();
    annotations.insert("run.googleapis.com/lastModifier".into(), job["lastModifier"].clone());
    if job["launchStage"] != "GA" {
        annotations.insert("run.googleapis.com/launch-stage".into(), job["launchStage"].clone());
    }
    finished(
        "Job",
        job,
        labels,
        annotations,
        spec_of_job(job),
        json!({
            "conditions": [condition(&json!({"type": "Ready"}), &job["terminalCondition"])],
            "executionCount": job["executionCount"],
            "latestCreatedExecution": {
                "name": latest["name"],
                "creationTimestamp": latest["createTime"],
                "completionTimestamp": latest["completionTime"],
                "completionStatus": latest["completionStatus"],
            },
        }),
    )
}

pub(super) fn execution(execution: &Value) -> Value {
    let mut labels = execution["labels"].as_object().cloned().unwrap_or_default();
    labels.insert(JOB.into(), execution["job"].clone());
    let serving = if execution["completionTime"].is_null() { "Active" } else { "Reserved" };
    labels.insert(SERVING_STATE.into(), serving.into());
    let mut annotations = annotations_of(&execution["template"]);
    annotations.extend(execution["annotations"].as_object().cloned().unwrap_or_default());
    let spec = json!({
        "parallelism": execution["parallelism"],
        "taskCount": execution["taskCount"],
        "template": {"spec": task_to_v1(&execution["template"])},
    });
    finished(
        "Execution",
        execution,
        labels,
        annotations,
        spec,
        json!({
            "conditions": conditions(execution),
            "startTime": execution["startTime"],
            "completionTime": execution["completionTime"],
            "runningCount": execution["runningCount"],
            "succeededCount": execution["succeededCount"],
            "failedCount": execution["failedCount"],
            "cancelledCount": execution["cancelledCount"],
            "retriedCount": execution["retriedCount"],
            "logUri": execution["logUri"],
        }),
    )
}

pub(super) fn task(task: &Value) -> Value {
    let mut labels = task["labels"].as_object().cloned().unwrap_or_default();
    labels.insert(JOB.into(), task["job"].clone());
    labels.insert(EXECUTION.into(), task["execution"].clone());
    labels.insert(RUNNING_STATE.into(), running_state(task).into());
    let annotations = task["annotations"].as_object().cloned().unwrap_or_default();
    finished(
        "Task",
        task,
        labels,
        annotations,
        task_to_v1(task),
        json!({
            "conditions": conditions(task),
            "index": task["index"].as_i64().unwrap_or_default(),
            "retried": task["retried"],
            "startTime": task["startTime"],
            "completionTime": task["completionTime"],
            "lastAttemptResult": task["lastAttemptResult"],
            "logUri": task["logUri"],
        }),
    )
}

/// One of those that gcloud can ask for.
fn running_state(task: &Value) -> &'static str {
    let result = &task["lastAttemptResult"]["status"];
    match (task["completionTime"].is_null(), task["startTime"].is_null(), result["code"].as_i64()) {
        (true, true, _) => "Pending",
        (true, false, _) => "Running",
        (false, true, _) => "Abandoned",
        (false, false, None) => "Succeeded",
        (false, false, Some(CANCELLED)) => "Cancelled",
        (false, false, Some(_)) => "Failed",
    }
}

/// What all three have in common.
fn finished(
    kind: &str,
    resource: &Value,
    mut labels: Map<String, Value>,
    mut annotations: Map<String, Value>,
    spec: Value,
    mut status: Value,
) -> Value {
    let name = resource["name"].as_str().unwrap_or_default();
    let segment = |index| name.split('/').nth(index).unwrap_or_default();
    labels.insert("cloud.googleapis.com/location".into(), segment(3).into());
    annotations.insert("run.googleapis.com/creator".into(), resource["creator"].clone());
    annotations.insert("run.googleapis.com/client-name".into(), resource["client"].clone());
    annotations.insert("run.googleapis.com/client-version".into(), resource["clientVersion"].clone());
    status["observedGeneration"] = number(&resource["observedGeneration"]);
    let mut object = json!({
        "apiVersion": "run.googleapis.com/v1",
        "kind": kind,
        "metadata": {
            "name": id(&resource["name"]),
            "namespace": segment(1),
            "uid": resource["uid"],
            "generation": number(&resource["generation"]),
            "resourceVersion": resource["etag"].as_str().map(|etag| BASE64_STANDARD.encode(etag)),
            "creationTimestamp": resource["createTime"],
            "deletionTimestamp": resource["deleteTime"],
            "labels": labels,
            "annotations": annotations,
        },
        "spec": spec,
        "status": status,
    });
    prune(&mut object);
    object
}

/// The v2 etag of a resource version, which is nothing else in another form.
pub(super) fn etag(version: &Value) -> Value {
    let etag = version.as_str().and_then(|version| BASE64_STANDARD.decode(version).ok());
    // A version that is not ours matches nothing.
    let known = etag.and_then(|etag| String::from_utf8(etag).ok());
    known.map_or_else(|| version.clone(), Value::from)
}

/// v2 writes 64-bit numbers as text, v1 as numbers.
fn number(value: &Value) -> Value {
    value.as_str().and_then(|text| text.parse::<i64>().ok()).map_or_else(|| value.clone(), Value::from)
}

fn conditions(resource: &Value) -> Vec<Value> {
    let all = resource["conditions"].as_array().into_iter().flatten();
    all.map(|it| condition(&Value::Null, it)).collect()
}

/// A v2 condition in v1; `base` says what it leaves out.
fn condition(base: &Value, condition: &Value) -> Value {
    let status = match condition["state"].as_str() {
        Some("CONDITION_SUCCEEDED") => "True",
        Some("CONDITION_FAILED") => "False",
        _ => "Unknown",
    };
    let reasons = ["executionReason", "reason", "revisionReason"];
    let reason = reasons.into_iter().find_map(|kind| condition[kind].as_str()).map(camel);
    let kind = condition["type"].as_str().or_else(|| base["type"].as_str());
    let severity = condition["severity"].as_str().map(|severity| camel(unprefixed(severity, "SEVERITY_")));
    json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": condition["message"],
        "severity": severity,
        "lastTransitionTime": condition["lastTransitionTime"],
    })
}
