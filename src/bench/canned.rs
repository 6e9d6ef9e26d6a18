//! What the neutral server answers: an operation, an execution and a list, of the size that the service's own have, as
//! protobuf and as JSON.

use bytes::Bytes;
use prost::{Message as _, Name as _};
use serde_json::{Value, json};

use super::{
    call::{Names, PAGE, retyped},
    error::{Error, Result},
};
use crate::proto::{
    longrunning::Operation,
    rest::google::cloud::run::v2 as rest,
    run::v2::{Condition, Container, EnvVar, Execution, ListExecutionsResponse, TaskTemplate, condition, env_var},
};

const JOB: &str = "projects/demo/locations/us-central1/jobs/echo";
const OPERATION: &str = "projects/demo/locations/us-central1/operations/8f8b5f1a-3d0f-4c3f-9d55-6f0c4a1f2b7e";

/// An answer in both encodings.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) protobuf: Bytes,
    pub(crate) json: Bytes,
}

/// All answers.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    pub(crate) operation: Body,
    pub(crate) execution: Body,
    pub(crate) list: Body,
}

/// What the answers are about.
pub(crate) fn names() -> Names {
    Names { job: JOB.to_owned(), operation: OPERATION.to_owned(), execution: execution_name(0), listed: PAGE }
}

impl Answers {
    pub(crate) fn new() -> Result<Self> {
        let list =
            ListExecutionsResponse { executions: (0..PAGE).map(execution).collect(), next_page_token: String::new() };
        let list_in_json = serde_json::to_value(retyped::<rest::ListExecutionsResponse>(&list));
        Ok(Self {
            operation: Body { protobuf: operation().encode_to_vec().into(), json: pretty(&operation_in_json()?)? },
            execution: Body { protobuf: execution(0).encode_to_vec().into(), json: pretty(&execution_in_json(0)?)? },
            list: Body { protobuf: list.encode_to_vec().into(), json: pretty(&list_in_json.map_err(unwritable)?)? },
        })
    }
}

/// As the service prints JSON where the request does not say otherwise: indented.
fn pretty(value: &Value) -> Result<Bytes> {
    Ok(serde_json::to_vec_pretty(value).map_err(unwritable)?.into())
}

fn unwritable(cause: serde_json::Error) -> Error {
    Error::new(format!("a canned answer has no JSON: {cause}"))
}

/// What RunJob answers for a small job.
fn operation() -> Operation {
    let metadata = prost_types::Any { type_url: Execution::type_url(), value: execution(0).encode_to_vec() };
    Operation { name: OPERATION.to_owned(), metadata: Some(metadata), ..Operation::default() }
}

fn operation_in_json() -> Result<Value> {
    let mut metadata = execution_in_json(0)?;
    metadata["@type"] = Execution::type_url().into();
    Ok(json!({ "name": OPERATION, "metadata": metadata }))
}

fn execution_in_json(number: usize) -> Result<Value> {
    serde_json::to_value(retyped::<rest::Execution>(&execution(number))).map_err(unwritable)
}

fn execution_name(number: usize) -> String {
    format!("{JOB}/executions/echo-x7k{number:02}")
}

fn execution(number: usize) -> Execution {
    let now = prost_types::Timestamp { seconds: 1_795_651_200, nanos: 123_456_000 };
    let condition = |kind: &str| Condition {
        r#type: kind.to_owned(),
        state: condition::State::ConditionPending.into(),
        message: "Waiting for the execution to start.".to_owned(),
        last_transition_time: Some(now),
        ..Condition::default()
    };
    Execution {
        name: execution_name(number),
        uid: "5b0b3a4e-54a5-4a54-a7a8-3d8f3e1c2d10".to_owned(),
        creator: "someone@example.com".to_owned(),
        generation: 1,
        labels: [("team", "pictures"), ("stage", "production")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        create_time: Some(now),
        update_time: Some(now),
        job: JOB.to_owned(),
        parallelism: 1,
        task_count: 1,
        template: Some(TaskTemplate { containers: vec![container()], ..TaskTemplate::default() }),
        conditions: ["Completed", "ResourcesAvailable", "Started"].map(condition).into(),
        observed_generation: 1,
        log_uri: "https://console.cloud.google.com/logs/viewer?project=demo".to_owned(),
        etag: "\"CIDf8rsGEMDW2AM/cHJvamVjdHMvZGVtbw\"".to_owned(),
        ..Execution::default()
    }
}

fn container() -> Container {
    let variable = |number: usize| EnvVar {
        name: format!("SETTING_{number}"),
        values: Some(env_var::Values::Value("a value of the usual length".to_owned())),
    };
    Container {
        image: "us-docker.pkg.dev/demo/images/echo@sha256:0f5a2c1e6b7d8f90".to_owned(),
        args: vec!["hello".to_owned()],
        env: (0..7).map(variable).collect(),
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_have_the_sizes_that_the_service_has() {
        let answers = Answers::new().expect("answers");
        let sizes = |body: &Body| (body.protobuf.len(), body.json.len());
        let (protobuf, json) = sizes(&answers.operation);
        assert!((1_000..1_400).contains(&protobuf) && (2_000..6_000).contains(&json), "{protobuf}, {json}");
        let (protobuf, json) = sizes(&answers.list);
        assert!(protobuf > 90 * 1_000 && json > 90 * 2_000, "{protobuf}, {json}");
    }

    #[test]
    fn both_encodings_say_the_same() {
        let answers = Answers::new().expect("answers");
        let of_json: rest::Execution = serde_json::from_slice(&answers.execution.json).expect("an execution");
        assert_eq!(retyped::<Execution>(&of_json), execution(0));
        let operation: Value = serde_json::from_slice(&answers.operation.json).expect("an operation");
        let metadata: rest::Execution = serde_json::from_value(operation["metadata"].clone()).expect("an execution");
        assert_eq!(metadata, of_json);
        assert_eq!(Operation::decode(answers.operation.protobuf.clone()).expect("an operation").name, OPERATION);
    }
}
