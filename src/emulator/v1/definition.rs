//! Jobs and what they are made of, from v1 JSON to v2 JSON and back. Knows names of fields, and no defaults and no rules.
//!
//! Most fields have one name in both versions and are passed on as they are. What v1 keeps in annotations has fields in v2.

use serde_json::{Map, Value, json};

use super::fields::{annotation, own, prune, rename, unprefixed};

/// The volume that stands for the annotation `run.googleapis.com/cloudsql-instances`.
const DATABASES: &str = "cloudsql";
const BUCKETS: &str = "gcsfuse.run.googleapis.com";
const ACCELERATOR: &str = "run.googleapis.com/accelerator";
/// Fields of a container with one name, and one meaning, in both versions.
const SHARED: [&str; 9] =
    ["name", "image", "command", "args", "workingDir", "ports", "volumeMounts", "startupProbe", "livenessProbe"];

/// A v2 job from a v1 job.
pub(super) fn to_v2(job: &Value) -> Value {
    let (metadata, template) = (&job["metadata"], &job["spec"]["template"]);
    let mut definition = json!({
        "labels": own(&metadata["labels"]),
        "annotations": own(&metadata["annotations"]),
        "client": annotation(metadata, "client-name"),
        "clientVersion": annotation(metadata, "client-version"),
        "launchStage": annotation(metadata, "launch-stage"),
        "template": {
            "labels": own(&template["metadata"]["labels"]),
            "annotations": own(&template["metadata"]["annotations"]),
            "taskCount": template["spec"]["taskCount"],
            "parallelism": template["spec"]["parallelism"],
            "template": task_to_v2(&template["spec"]["template"]["spec"], &template["metadata"]),
        },
    });
    prune(&mut definition);
    definition
}

/// The `spec` of a v1 job from a v2 job.
pub(super) fn spec_of_job(job: &Value) -> Value {
    let template = &job["template"];
    let mut annotations = annotations_of(&template["template"]);
    annotations.extend(template["annotations"].as_object().cloned().unwrap_or_default());
    json!({"template": {
        "metadata": {"labels": template["labels"], "annotations": annotations},
        "spec": {
            "taskCount": template["taskCount"],
            "parallelism": template["parallelism"],
            "template": {"spec": task_to_v1(&template["template"])},
        },
    }})
}

fn task_to_v2(spec: &Value, metadata: &Value) -> Value {
    let dependencies = annotation(metadata, "container-dependencies");
    let dependencies: Value = parsed(&dependencies);
    let databases = annotation(metadata, "cloudsql-instances");
    let instances: Vec<_> = databases.as_str().unwrap_or_default().split(',').filter(|it| !it.is_empty()).collect();
    let mut containers: Vec<_> = list(&spec["containers"]).map(|it| container_to_v2(it, &dependencies)).collect();
    let mut volumes: Vec<_> = list(&spec["volumes"]).map(volume_to_v2).collect();
    if !instances.is_empty() {
        volumes.push(json!({"name": DATABASES, "cloudSqlInstance": {"instances": instances}}));
        for container in &mut containers {
            let mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
            let mount = json!({"name": DATABASES, "mountPath": "/cloudsql"});
            container["volumeMounts"] = mounts.into_iter().chain([mount]).collect();
        }
    }
    let environment = annotation(metadata, "execution-environment");
    json!({
        "containers": containers,
        "volumes": volumes,
        "maxRetries": spec["maxRetries"],
        "timeout": super::fields::seconds(&spec["timeoutSeconds"]),
        "serviceAccount": spec["serviceAccountName"],
        "executionEnvironment": environment.as_str().map(|it| format!("EXECUTION_ENVIRONMENT_{}", it.to_uppercase())),
        "encryptionKey": annotation(metadata, "encryption-key"),
        "vpcAccess": {
            "connector": annotation(metadata, "vpc-access-connector"),
            "egress": annotation(metadata, "vpc-access-egress").as_str().map(|it| it.to_uppercase().replace('-', "_")),
            "networkInterfaces": parsed(&annotation(metadata, "network-interfaces")),
        },
        "nodeSelector": {"accelerator": spec["nodeSelector"][ACCELERATOR]},
        "gpuZonalRedundancyDisabled": annotation(metadata, "gpu-zonal-redundancy-disabled").as_str().map(|it| it == "true"),
    })
}

/// The `spec` of v1 tasks from a v2 task template, or from a v2 task.
pub(super) fn task_to_v1(task: &Value) -> Value {
    let volumes = list(&task["volumes"]).filter(|volume| volume["cloudSqlInstance"].is_null());
    let accelerator = &task["nodeSelector"]["accelerator"];
    let timeout = task["timeout"].as_str().map(|timeout| timeout.trim_end_matches('s').to_owned());
    json!({
        "containers": list(&task["containers"]).map(container_to_v1).collect::<Vec<_>>(),
        "volumes": volumes.map(volume_to_v1).collect::<Vec<_>>(),
        // Zero is a value of its own here, and left out in v2.
        "maxRetries": task["maxRetries"].as_i64().unwrap_or_default(),
        "timeoutSeconds": timeout,
        "serviceAccountName": task["serviceAccount"],
        "nodeSelector": accelerator.as_str().map(|accelerator| json!({ACCELERATOR: accelerator})),
    })
}

/// What v1 says of a task template in annotations.
pub(super) fn annotations_of(task: &Value) -> Map<String, Value> {
    let databases = list(&task["volumes"]).flat_map(|volume| list(&volume["cloudSqlInstance"]["instances"]));
    let databases: Vec<_> = databases.filter_map(Value::as_str).collect();
    let dependencies = list(&task["containers"]).filter(|container| !container["dependsOn"].is_null());
    let dependencies: Map<_, _> = dependencies
        .filter_map(|container| Some((container["name"].as_str()?.to_owned(), container["dependsOn"].clone())))
        .collect();
    let vpc = &task["vpcAccess"];
    let text = |value: Value| Some(value).filter(|value| !value.is_null()).map(|value| value.to_string());
    let lower =
        |value: &Value, prefix| value.as_str().map(|it| unprefixed(it, prefix).to_lowercase().replace('_', "-"));
    let redundancy = task["gpuZonalRedundancyDisabled"].as_bool().map(|disabled| disabled.to_string());
    let all = [
        ("execution-environment", lower(&task["executionEnvironment"], "EXECUTION_ENVIRONMENT_")),
        ("cloudsql-instances", Some(databases.join(",")).filter(|databases| !databases.is_empty())),
        ("container-dependencies", text(dependencies.into()).filter(|text| text != "{}")),
        ("encryption-key", task["encryptionKey"].as_str().map(str::to_owned)),
        ("vpc-access-connector", vpc["connector"].as_str().map(str::to_owned)),
        ("vpc-access-egress", lower(&vpc["egress"], "")),
        ("network-interfaces", text(vpc["networkInterfaces"].clone())),
        ("gpu-zonal-redundancy-disabled", redundancy),
    ];
    all.into_iter().filter_map(|(key, value)| Some((format!("run.googleapis.com/{key}"), value?.into()))).collect()
}

fn container_to_v2(container: &Value, dependencies: &Value) -> Value {
    let mut made = shared(container);
    made.insert("resources".into(), json!({"limits": container["resources"]["limits"]}));
    made.insert("env".into(), list(&container["env"]).map(variable_to_v2).collect());
    made.insert("dependsOn".into(), dependencies[container["name"].as_str().unwrap_or_default()].clone());
    made.into()
}

fn container_to_v1(container: &Value) -> Value {
    let mut made = shared(container);
    if let Some(Value::Array(mounts)) = made.get_mut("volumeMounts") {
        mounts.retain(|mount| mount["name"] != DATABASES);
    }
    made.insert("resources".into(), json!({"limits": container["resources"]["limits"]}));
    made.insert("env".into(), list(&container["env"]).map(variable_to_v1).collect());
    made.into()
}

fn shared(container: &Value) -> Map<String, Value> {
    let fields = SHARED.into_iter().filter_map(|key| Some((key.to_owned(), container.get(key)?.clone())));
    // An empty name is the same as none, and gcloud sends one.
    fields.filter(|(key, value)| key != "name" || value != "").collect()
}

fn variable_to_v2(variable: &Value) -> Value {
    match variable["valueFrom"]["secretKeyRef"].as_object() {
        None => json!({"name": variable["name"], "value": variable["value"]}),
        Some(secret) => {
            let secret = rename(secret, &[("name", "secret"), ("key", "version")]);
            json!({"name": variable["name"], "valueSource": {"secretKeyRef": secret}})
        }
    }
}

fn variable_to_v1(variable: &Value) -> Value {
    match variable["valueSource"]["secretKeyRef"].as_object() {
        None => json!({"name": variable["name"], "value": variable["value"]}),
        Some(secret) => {
            let secret = rename(secret, &[("secret", "name"), ("version", "key")]);
            json!({"name": variable["name"], "valueFrom": {"secretKeyRef": secret}})
        }
    }
}

fn volume_to_v2(volume: &Value) -> Value {
    let mut made = volume.as_object().cloned().unwrap_or_default();
    if let Some(Value::Object(secret)) = made.get_mut("secret") {
        *secret = rename(secret, &[("secretName", "secret")]);
        each_object(secret.get_mut("items"), |item| *item = rename(item, &[("key", "version")]));
    }
    if let Some(bucket) = made.remove("csi").filter(|csi| csi["driver"] == BUCKETS) {
        let gcs = json!({"bucket": bucket["volumeAttributes"]["bucketName"], "readOnly": bucket["readOnly"]});
        made.insert("gcs".into(), gcs);
    }
    if let Some(Value::Object(empty)) = made.get_mut("emptyDir")
        && let Some(medium) = empty.get("medium").and_then(Value::as_str)
    {
        let medium = medium.to_uppercase();
        empty.insert("medium".into(), medium.into());
    }
    made.into()
}

fn volume_to_v1(volume: &Value) -> Value {
    let mut made = volume.as_object().cloned().unwrap_or_default();
    if let Some(Value::Object(secret)) = made.get_mut("secret") {
        *secret = rename(secret, &[("secret", "secretName")]);
        each_object(secret.get_mut("items"), |item| *item = rename(item, &[("version", "key")]));
    }
    if let Some(gcs) = made.remove("gcs") {
        let attributes = json!({"bucketName": gcs["bucket"]});
        let csi = json!({"driver": BUCKETS, "readOnly": gcs["readOnly"], "volumeAttributes": attributes});
        made.insert("csi".into(), csi);
    }
    if let Some(Value::Object(empty)) = made.get_mut("emptyDir")
        && let Some(medium) = empty.get("medium").and_then(Value::as_str)
    {
        let medium = if medium == "MEMORY" { "Memory".to_owned() } else { medium.to_owned() };
        empty.insert("medium".into(), medium.into());
    }
    made.into()
}

fn each_object(list: Option<&mut Value>, change: impl Fn(&mut Map<String, Value>)) {
    let elements = list.and_then(Value::as_array_mut).into_iter().flatten();
    elements.filter_map(Value::as_object_mut).for_each(change);
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// JSON within a text.
fn parsed(text: &Value) -> Value {
    text.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_comes_back_as_it_was() {
        let v1 = json!({
            "metadata": {"labels": {"a": "b"}, "annotations": {"run.googleapis.com/client-name": "gcloud"}},
            "spec": {"template": {
                "metadata": {"labels": {"c": "d"}, "annotations": {
                    "run.googleapis.com/cloudsql-instances": "p:r:i",
                    "run.googleapis.com/execution-environment": "gen2",
                    "run.googleapis.com/vpc-access-egress": "all-traffic",
                    "run.googleapis.com/network-interfaces": "[{\"network\":\"n\"}]",
                }},
                "spec": {"taskCount": 2, "parallelism": 1, "template": {"spec": {
                    "containers": [{
                        "image": "i", "name": "main", "args": ["x"], "resources": {"limits": {"cpu": "1"}},
                        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                        "env": [
                            {"name": "A", "value": "1"},
                            {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "latest"}}},
                        ],
                    }],
                    "volumes": [
                        {"name": "v", "secret": {"secretName": "s", "items": [{"key": "1", "path": "p"}]}},
                        {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
                        {"name": "b", "csi": {"driver": BUCKETS, "readOnly": true, "volumeAttributes": {"bucketName": "b"}}},
                    ],
                    "maxRetries": 0, "timeoutSeconds": "300", "serviceAccountName": "sa",
                    "nodeSelector": {ACCELERATOR: "nvidia-l4"},
                }}},
            }},
        });
        let v2 = to_v2(&v1);
        assert_eq!((&v2["client"], &v2["template"]["template"]["timeout"]), (&json!("gcloud"), &json!("300s")));
        assert_eq!(v2["template"]["template"]["volumes"][3]["cloudSqlInstance"]["instances"], json!(["p:r:i"]));
        let mut spec = spec_of_job(&v2);
        prune(&mut spec);
        assert_eq!(spec, v1["spec"]);
    }
}
