//! A job as gcloud exports it (run.googleapis.com/v1) as the JSON of run/v2.
//!
//! Each field is taken from where v1 has it; what is left over is an error that names it. Knows no file.

use serde_json::{Map, Value, json};

/// An object of which fields are taken one by one.
struct V1Object {
    path: String,
    fields: Map<String, Value>,
}

impl V1Object {
    fn new(path: String, value: Value) -> Result<Self, String> {
        match value {
            Value::Object(fields) => Ok(Self { path, fields }),
            _ => Err(format!("{path}: expected fields and their values")),
        }
    }

    fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A field's value; null is as good as nothing.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{}: expected a text", self.at(name))),
        }
    }

    /// The object in a field; an absent field is an empty object.
    fn object(&mut self, name: &str) -> Result<Self, String> {
        Self::new(self.at(name), self.take(name).unwrap_or_else(|| json!({})))
    }

    fn list(&mut self, name: &str) -> Result<Vec<Self>, String> {
        let path = self.at(name);
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(elements)) => {
                let objects = elements.into_iter().enumerate();
                objects.map(|(index, element)| Self::new(format!("{path}[{index}]"), element)).collect()
            }
            Some(_) => Err(format!("{path}: expected a list")),
        }
    }

    /// Moves fields over, each under its name in v2.
    fn pass(&mut self, names: &[(&str, &str)], into: &mut Map<String, Value>) {
        for (old, new) in names {
            put(into, new, self.take(old));
        }
    }

    /// Leaves out what the service keeps for itself.
    fn skip(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.fields.retain(|name, _| !is_kept(name));
    }

    /// Refuses what was not taken.
    fn end(self) -> Result<(), String> {
        match self.fields.keys().next() {
            Some(name) => Err(format!("{}: it is not known", self.at(name))),
            None => Ok(()),
        }
    }
}

fn put(into: &mut Map<String, Value>, name: &str, value: impl Into<Option<Value>>) {
    if let Some(value) = value.into() {
        into.insert(name.to_owned(), value);
    }
}

/// A list that is left out where it is empty.
fn listed(values: Vec<Value>) -> Option<Value> {
    (!values.is_empty()).then_some(Value::Array(values))
}

fn filled(fields: Map<String, Value>) -> Option<Value> {
    (!fields.is_empty()).then_some(Value::Object(fields))
}

/// The job's id, and its JSON as v2 has it.
pub(super) fn job(file: Value) -> Result<(String, Value), String> {
    let mut file = V1Object::new(String::new(), file)?;
    for (field, expected) in [("apiVersion", "run.googleapis.com/v1"), ("kind", "Job")] {
        if file.text(field)?.as_deref() != Some(expected) {
            return Err(format!("{field}: expected {expected}"));
        }
    }
    let mut job = Map::new();
    let id = metadata(file.object("metadata")?, &mut job)?;
    let mut spec = file.object("spec")?;
    put(&mut job, "template", Value::Object(execution(spec.object("template")?)?));
    spec.end()?;
    _ = file.take("status");
    file.end()?;
    Ok((id, Value::Object(job)))
}

fn metadata(mut metadata: V1Object, job: &mut Map<String, Value>) -> Result<String, String> {
    let id = metadata.text("name")?.ok_or("metadata.name: it is missing; it says which job this is")?;
    put(job, "labels", labels(metadata.object("labels")?));
    let mut annotations = metadata.object("annotations")?;
    annotations.skip(|name| {
        let kept = ["creator", "lastModifier", "operation-id", "client-name", "client-version"];
        name.strip_prefix("run.googleapis.com/").is_some_and(|name| kept.contains(&name))
    });
    put(job, "launchStage", annotations.take("run.googleapis.com/launch-stage"));
    let mut authorization = Map::new();
    match annotations.text("run.googleapis.com/binary-authorization")?.as_deref() {
        Some("default") => put(&mut authorization, "useDefault", Value::from(true)),
        policy => put(&mut authorization, "policy", policy.map(Value::from)),
    }
    let justification = annotations.take("run.googleapis.com/binary-authorization-breakglass");
    put(&mut authorization, "breakglassJustification", justification);
    put(job, "binaryAuthorization", filled(authorization));
    put(job, "annotations", own_annotations(annotations)?);
    let kept = ["namespace", "uid", "generation", "resourceVersion", "creationTimestamp", "selfLink"];
    metadata.skip(|name| kept.contains(&name));
    metadata.end()?;
    Ok(id)
}

/// Labels without those of the service.
fn labels(mut labels: V1Object) -> Option<Value> {
    let of_service = ["cloud.googleapis.com/", "run.googleapis.com/", "client.knative.dev/"];
    labels.skip(|name| of_service.iter().any(|prefix| name.starts_with(prefix)));
    filled(labels.fields)
}

/// The annotations that v2 keeps as such. One of the service's stands for a field, and none that is left has one here.
fn own_annotations(annotations: V1Object) -> Result<Option<Value>, String> {
    match annotations.fields.keys().find(|name| name.starts_with("run.googleapis.com/")) {
        Some(name) => Err(format!("{}: it is not known", annotations.at(name))),
        None => Ok(filled(annotations.fields)),
    }
}

fn execution(mut template: V1Object) -> Result<Map<String, Value>, String> {
    let mut execution = Map::new();
    let mut metadata = template.object("metadata")?;
    put(&mut execution, "labels", labels(metadata.object("labels")?));
    let mut annotations = metadata.object("annotations")?;
    metadata.end()?;
    let mut spec = template.object("spec")?;
    template.end()?;
    spec.pass(&[("parallelism", "parallelism"), ("taskCount", "taskCount")], &mut execution);
    let mut task = spec.object("template")?;
    spec.end()?;
    let task_spec = task.object("spec")?;
    _ = task.take("metadata");
    task.end()?;
    put(&mut execution, "template", Value::Object(task_template(task_spec, &mut annotations)?));
    put(&mut execution, "annotations", own_annotations(annotations)?);
    Ok(execution)
}

fn task_template(mut spec: V1Object, annotations: &mut V1Object) -> Result<Map<String, Value>, String> {
    let mut task = Map::new();
    spec.pass(&[("maxRetries", "maxRetries"), ("serviceAccountName", "serviceAccount")], &mut task);
    // A number in some exports, and a text in others.
    let timeout =
        spec.take("timeoutSeconds").map(|seconds| seconds.as_str().map_or_else(|| seconds.to_string(), str::to_owned));
    put(&mut task, "timeout", timeout.map(|seconds| Value::from(seconds + "s")));
    if let Some(Value::String(accelerator)) = spec.object("nodeSelector")?.take("run.googleapis.com/accelerator") {
        put(&mut task, "nodeSelector", json!({"accelerator": accelerator}));
    }
    let mut containers = spec.list("containers")?.into_iter().map(container).collect::<Result<Vec<_>, _>>()?;
    let mut volumes = spec.list("volumes")?.into_iter().map(volume).collect::<Result<Vec<_>, _>>()?;
    spec.end()?;
    dependencies(&mut containers, annotations)?;
    if let Some(instances) = annotations.text("run.googleapis.com/cloudsql-instances")? {
        let instances: Vec<_> = instances.split(',').collect();
        volumes.push(json!({"name": "cloudsql", "cloudSqlInstance": {"instances": instances}}));
        containers.iter_mut().for_each(mount_databases);
    }
    put(&mut task, "containers", listed(containers.into_iter().map(Value::Object).collect()));
    put(&mut task, "volumes", listed(volumes));
    settings(&mut task, annotations)?;
    Ok(task)
}

fn mount_databases(container: &mut Map<String, Value>) {
    let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
    if let Some(mounts) = mounts.as_array_mut() {
        mounts.push(json!({"name": "cloudsql", "mountPath": "/cloudsql"}));
    }
}

/// What v1 keeps in annotations of the execution and v2 in fields of the task.
fn settings(task: &mut Map<String, Value>, annotations: &mut V1Object) -> Result<(), String> {
    if let Some(environment) = annotations.text("run.googleapis.com/execution-environment")? {
        let environment = format!("EXECUTION_ENVIRONMENT_{}", environment.to_uppercase());
        put(task, "executionEnvironment", Value::from(environment));
    }
    put(task, "encryptionKey", annotations.take("run.googleapis.com/encryption-key"));
    let mut vpc = Map::new();
    put(&mut vpc, "connector", annotations.take("run.googleapis.com/vpc-access-connector"));
    let egress = annotations.text("run.googleapis.com/vpc-access-egress")?.map(|egress| match egress.as_str() {
        "all" => "ALL_TRAFFIC".to_owned(),
        other => other.to_uppercase().replace('-', "_"),
    });
    put(&mut vpc, "egress", egress.map(Value::from));
    put(&mut vpc, "networkInterfaces", embedded(annotations, "run.googleapis.com/network-interfaces")?);
    put(task, "vpcAccess", filled(vpc));
    Ok(())
}

/// JSON in an annotation.
fn embedded(annotations: &mut V1Object, name: &str) -> Result<Option<Value>, String> {
    let text = annotations.text(name)?;
    let wrong = |error: serde_json::Error| format!("{}: {error}", annotations.at(name));
    text.map(|text| serde_json::from_str(&text).map_err(wrong)).transpose()
}

fn dependencies(containers: &mut [Map<String, Value>], annotations: &mut V1Object) -> Result<(), String> {
    const NAME: &str = "run.googleapis.com/container-dependencies";
    let Some(dependencies) = embedded(annotations, NAME)? else { return Ok(()) };
    for (dependent, needed) in V1Object::new(annotations.at(NAME), dependencies)?.fields {
        let wrong = || format!("{}: there is no container {dependent}", annotations.at(NAME));
        let is_it =
            |container: &&mut Map<String, Value>| container.get("name").and_then(Value::as_str) == Some(&dependent);
        let container = containers.iter_mut().find(is_it).ok_or_else(wrong)?;
        put(container, "dependsOn", needed);
    }
    Ok(())
}

fn container(mut from: V1Object) -> Result<Map<String, Value>, String> {
    let mut container = Map::new();
    let same = ["name", "image", "command", "args", "workingDir", "ports", "startupProbe", "livenessProbe"];
    from.pass(&same.map(|name| (name, name)), &mut container);
    if container.get("name").and_then(Value::as_str) == Some("") {
        container.remove("name");
    }
    put(&mut container, "env", listed(from.list("env")?.into_iter().map(variable).collect::<Result<_, _>>()?));
    let mut resources = from.object("resources")?;
    put(&mut container, "resources", resources.take("limits").map(|limits| json!({"limits": limits})));
    resources.end()?;
    let mounts = from.list("volumeMounts")?.into_iter().map(|mut mount| {
        let mut made = Map::new();
        mount.pass(&["name", "mountPath", "subPath"].map(|name| (name, name)), &mut made);
        _ = mount.take("readOnly");
        mount.end().map(|()| Value::Object(made))
    });
    put(&mut container, "volumeMounts", listed(mounts.collect::<Result<_, _>>()?));
    from.end()?;
    Ok(container)
}

fn variable(mut from: V1Object) -> Result<Value, String> {
    let mut variable = Map::new();
    from.pass(&[("name", "name"), ("value", "value")], &mut variable);
    let mut source = from.object("valueFrom")?;
    let mut reference = source.object("secretKeyRef")?;
    let mut secret = Map::new();
    reference.pass(&[("name", "secret"), ("key", "version")], &mut secret);
    reference.end()?;
    source.end()?;
    from.end()?;
    put(&mut variable, "valueSource", filled(secret).map(|secret| json!({"secretKeyRef": secret})));
    Ok(Value::Object(variable))
}

fn volume(mut from: V1Object) -> Result<Value, String> {
    let mut volume = Map::new();
    from.pass(&[("name", "name"), ("nfs", "nfs")], &mut volume);
    let mut secret = from.object("secret")?;
    let mut made = Map::new();
    secret.pass(&[("secretName", "secret"), ("defaultMode", "defaultMode")], &mut made);
    let items = secret.list("items")?.into_iter().map(|mut item| {
        let mut made = Map::new();
        item.pass(&[("key", "version"), ("path", "path"), ("mode", "mode")], &mut made);
        item.end().map(|()| Value::Object(made))
    });
    put(&mut made, "items", listed(items.collect::<Result<_, _>>()?));
    secret.end()?;
    put(&mut volume, "secret", filled(made));
    if let Some(Value::Object(mut empty)) = from.take("emptyDir") {
        let medium = empty.get("medium").and_then(Value::as_str).map(str::to_uppercase);
        put(&mut empty, "medium", medium.map(Value::from));
        put(&mut volume, "emptyDir", Value::Object(empty));
    }
    put(&mut volume, "gcs", bucket(from.object("csi")?)?);
    from.end()?;
    Ok(Value::Object(volume))
}

fn bucket(mut from: V1Object) -> Result<Option<Value>, String> {
    const DRIVER: &str = "gcsfuse.run.googleapis.com";
    match from.text("driver")? {
        Some(driver) if driver != DRIVER => return Err(format!("{}: expected {DRIVER}", from.at("driver"))),
        _ => {}
    }
    let mut bucket = Map::new();
    from.pass(&[("readOnly", "readOnly")], &mut bucket);
    let mut attributes = from.object("volumeAttributes")?;
    attributes.pass(&[("bucketName", "bucket")], &mut bucket);
    let options = attributes.text("mountOptions")?;
    let options = options.map(|options| options.split(',').map(Value::from).collect());
    put(&mut bucket, "mountOptions", options.and_then(listed));
    attributes.end()?;
    from.end()?;
    Ok(filled(bucket))
}
