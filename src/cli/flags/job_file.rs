//! Files that hold a job, in YAML or JSON: as run/v2 has it, or as gcloud exports it (`apiVersion: run.googleapis.com/v1`).
//!
//! Reads up to bounds of size, depth and aliases, takes no field that it does not know, and calls nothing.

mod v1;

use std::path::Path;

use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::Value;
use serde_path_to_error::Track;

use super::file;
use crate::{
    cli::{
        failure::Failure,
        show::{json, mask::MASK},
    },
    proto::run::v2::{Job, env_var::Values},
};

/// The most that is read: a job that the service takes is far smaller.
const LARGEST: usize = 1024 * 1024;

/// A job as a file holds it.
#[derive(Debug)]
pub(in crate::cli) struct JobFile {
    /// Its id or its full name.
    pub(in crate::cli) name: String,
    definition: Job,
}

impl JobFile {
    /// Reads a file. An error says where in it something is wrong.
    pub(in crate::cli) fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let text =
            file::read(path, LARGEST).map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
        Self::parse(&text).map_err(|reason| Failure::usage(format!("{shown}: {reason}")))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let read = tree(text)?;
        let (name, json) = match read.get("apiVersion").or_else(|| read.get("kind")) {
            Some(_) => v1::job(read)?,
            None => {
                let name = read.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
                (name.ok_or("name: it is missing; it says which job this is")?.to_owned(), read)
            }
        };
        let definition = decode(json)?;
        no_masks(&definition)?;
        Ok(Self { name, definition })
    }

    /// What a user defines about a job, in place of what the job has. What the service keeps for itself stays.
    pub(in crate::cli) fn replace(&self, job: &mut Job) {
        let new = self.definition.clone();
        job.labels = new.labels;
        job.annotations = new.annotations;
        job.client = new.client;
        job.client_version = new.client_version;
        job.launch_stage = new.launch_stage;
        job.binary_authorization = new.binary_authorization;
        job.template = new.template;
    }
}

/// The text as a tree, within bounds: an alias repeats what was written once, without end if it is made to.
fn tree(text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_aliases: 0, max_anchors: 0, max_documents: 1, max_depth: 64, max_nodes: 100_000 },
        with_snippet: false,
    };
    let tree: Value = serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())?;
    if tree.is_object() { Ok(tree) } else { Err("it holds no job: expected fields and their values".to_owned()) }
}

/// A job by its JSON, each field of which has to be known.
fn decode(json: Value) -> Result<Job, String> {
    let descriptor = json::descriptor::<Job>().map_err(|failure| failure.message().to_owned())?;
    let mut track = Track::new();
    let message = DynamicMessage::deserialize(descriptor, serde_path_to_error::Deserializer::new(json, &mut track));
    let message = message.map_err(|error| match track.path().to_string().as_str() {
        "." | "?" => error.to_string(),
        path => format!("{path}: {error}"),
    })?;
    Job::decode(message.encode_to_vec().as_slice()).map_err(|error| error.to_string())
}

/// Refuses what was shown in place of a value, which would be written as the value.
fn no_masks(job: &Job) -> Result<(), String> {
    let containers = job.template.iter().flat_map(|template| &template.template).flat_map(|task| &task.containers);
    let mut variables = containers.flat_map(|container| &container.env);
    match variables.find(|variable| variable.values == Some(Values::Value(MASK.to_owned()))) {
        Some(masked) => Err(format!(
            "the value of {} is masked; `runjob jobs describe JOB --show-env --format=json` writes values out",
            masked.name
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::show::json;

    const V1: &str = r#"
apiVersion: run.googleapis.com/v1
kind: Job
metadata:
  name: shot
  namespace: '123456'
  uid: abc
  generation: 3
  resourceVersion: AAA
  labels: {team: red, cloud.googleapis.com/location: us-central1}
  annotations:
    run.googleapis.com/creator: me@x
    run.googleapis.com/launch-stage: BETA
    own/note: hello
spec:
  template:
    metadata:
      labels: {client.knative.dev/nonce: n}
      annotations:
        run.googleapis.com/execution-environment: gen2
        run.googleapis.com/vpc-access-egress: private-ranges-only
        run.googleapis.com/network-interfaces: '[{"network":"n","subnetwork":"s","tags":["t"]}]'
        run.googleapis.com/cloudsql-instances: p:r:i
        run.googleapis.com/container-dependencies: '{"b":["a"]}'
    spec:
      parallelism: 2
      taskCount: 3
      template:
        spec:
          maxRetries: 0
          timeoutSeconds: '600'
          serviceAccountName: me@x
          containers:
          - name: a
            image: i
            command: [c]
            args: [x]
            env:
            - {name: A, value: '1'}
            - {name: B, valueFrom: {secretKeyRef: {name: s, key: latest}}}
            resources: {limits: {cpu: 1000m, memory: 512Mi}}
            volumeMounts: [{name: v, mountPath: /v}]
          - {name: b, image: j}
          volumes:
          - name: v
            secret: {secretName: s, items: [{key: '1', path: p}]}
          - name: g
            csi: {driver: gcsfuse.run.googleapis.com, readOnly: true, volumeAttributes: {bucketName: bkt}}
status: {conditions: []}
"#;

    #[test]
    fn an_export_of_gcloud_is_the_job_that_v2_has() {
        let file = JobFile::parse(V1).expect("a job");
        assert_eq!(file.name, "shot");
        let expected = json!({
            "labels": {"team": "red"},
            "annotations": {"own/note": "hello"},
            "launchStage": "BETA",
            "template": {"parallelism": 2, "taskCount": 3, "template": {
                "maxRetries": 0,
                "timeout": "600s",
                "serviceAccount": "me@x",
                "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
                "vpcAccess": {
                    "egress": "PRIVATE_RANGES_ONLY",
                    "networkInterfaces": [{"network": "n", "subnetwork": "s", "tags": ["t"]}],
                },
                "containers": [
                    {
                        "name": "a", "image": "i", "command": ["c"], "args": ["x"],
                        "env": [
                            {"name": "A", "value": "1"},
                            {"name": "B", "valueSource": {"secretKeyRef": {"secret": "s", "version": "latest"}}},
                        ],
                        "resources": {"limits": {"cpu": "1000m", "memory": "512Mi"}},
                        "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "cloudsql", "mountPath": "/cloudsql"}],
                    },
                    {
                        "name": "b", "image": "j", "dependsOn": ["a"],
                        "volumeMounts": [{"name": "cloudsql", "mountPath": "/cloudsql"}],
                    },
                ],
                "volumes": [
                    {"name": "v", "secret": {"secret": "s", "items": [{"version": "1", "path": "p"}]}},
                    {"name": "g", "gcs": {"bucket": "bkt", "readOnly": true}},
                    {"name": "cloudsql", "cloudSqlInstance": {"instances": ["p:r:i"]}},
                ],
            }},
        });
        assert_eq!(json::resource(&file.definition).expect("JSON"), expected);
    }

    #[test]
    fn an_unknown_field_is_named_by_its_path() {
        let cases = [
            ("name: j\ntemplate: {template: {tusks: 1}}", "template.template", "tusks"),
            ("name: j\ntemplate: {taskCount: many}", "template.taskCount", ""),
            ("template: {}", "name: it is missing", ""),
            ("kind: Job", "apiVersion", "run.googleapis.com/v1"),
            ("apiVersion: run.googleapis.com/v1\nkind: Service", "kind", "Job"),
            (&V1.replace("maxRetries", "maxRetrys"), "spec.template.spec.template.spec.maxRetrys", ""),
            (&V1.replace("volumeMounts", "mounts"), "spec.template.spec.template.spec.containers[0].mounts", ""),
            (&V1.replace("own/note", "run.googleapis.com/new"), "metadata.annotations.run.googleapis.com/new", ""),
            (&V1.replace("name: shot", "nome: shot"), "metadata.name", "missing"),
            (
                "name: j\ntemplate: {template: {containers: [{env: [{name: A, value: '***'}]}]}}",
                "value of A is masked",
                "",
            ),
            ("[]", "it holds no job", ""),
            ("", "", ""),
        ];
        for (text, path, what) in cases {
            let error = JobFile::parse(text).expect_err(text);
            assert!(error.contains(path) && error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn a_bomb_of_aliases_or_depth_is_refused_at_once() {
        let aliases: String = (1..30).map(|n| format!("a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1)).collect();
        JobFile::parse(&format!("a0: &a0 x\n{aliases}")).expect_err("it would be a gigabyte");
        for unit in ["[", "{a: ", "- "] {
            JobFile::parse(&unit.repeat(100_000)).expect_err("it is too deep");
        }
        JobFile::parse(&"{\"a\":".repeat(100)).expect_err("it is too deep");
    }
}
