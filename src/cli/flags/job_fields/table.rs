//! The table of flags that define a job: each flag with the field that it is about and what it does to it.
//!
//! Flags, help, docs/jobs.md and the property test come from it. Fields are named as in the JSON of a job. Knows nothing of
//! what was typed.

use FieldAction::{Clear, Merge, Remove, Set};

use super::{
    env, network,
    value::{FieldValue, ValueKind},
    volumes,
};
use crate::proto::run::v2::{
    BinaryAuthorization, Container, ExecutionTemplate, Job, NodeSelector, ResourceRequirements, TaskTemplate,
    binary_authorization::BinauthzMethod, task_template::Retries,
};

/// The verbs, as bits: which of them have a flag.
pub(in crate::cli) const CREATE: u8 = 1;
pub(in crate::cli) const UPDATE: u8 = 2;
pub(in crate::cli) const DEPLOY: u8 = 4;
const ALL: u8 = CREATE | UPDATE | DEPLOY;

/// What a flag does to its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FieldAction {
    // In the order in which the flags of one line are applied.
    Clear,
    Remove,
    /// In the field's place.
    Set,
    /// Into what is there.
    Merge,
}

/// Where a flag's field is, and how it is written. An error says why a job does not take the value.
#[derive(Debug, Clone, Copy)]
pub(super) enum FieldPlace {
    Job(fn(&mut Job, &FieldValue)),
    Container(fn(&mut Container, &FieldValue)),
    Variables(fn(&mut Container, &FieldValue) -> Result<(), String>),
}

/// A flag that is about a field of a job.
#[derive(Debug)]
pub(super) struct FieldFlag {
    /// Without the dashes.
    pub(super) name: &'static str,
    /// The field, with `[]` for an element of a list.
    pub(super) path: &'static str,
    pub(super) action: FieldAction,
    pub(super) kind: ValueKind,
    /// The value's name in help; empty for a switch.
    pub(super) value: &'static str,
    pub(super) place: FieldPlace,
    pub(super) help: &'static str,
    /// The verbs that have it.
    verbs: u8,
}

impl FieldFlag {
    const fn new(
        (name, value): (&'static str, &'static str),
        path: &'static str,
        action: FieldAction,
        kind: ValueKind,
        place: FieldPlace,
        help: &'static str,
    ) -> Self {
        Self { name, path, action, kind, value, place, help, verbs: ALL }
    }

    const fn only(self, verbs: u8) -> Self {
        Self { verbs, ..self }
    }

    pub(super) fn is_of(&self, verb: u8) -> bool {
        self.verbs & verb != 0
    }

    /// Whether it is about one container, and so follows the `--container` that names it.
    pub(super) fn is_of_container(&self) -> bool {
        !matches!(self.place, FieldPlace::Job(_))
    }
}

const IMAGE: &str = "template.template.containers[].image";
const COMMAND: &str = "template.template.containers[].command";
const ARGS: &str = "template.template.containers[].args";
const VALUES: &str = "template.template.containers[].env[].value";
const SECRETS: &str = "template.template.containers[].env[].valueSource";
const CPU: &str = "template.template.containers[].resources.limits.cpu";
const MEMORY: &str = "template.template.containers[].resources.limits.memory";
const TASKS: &str = "template.taskCount";
const PARALLELISM: &str = "template.parallelism";
const RETRIES: &str = "template.template.maxRetries";
const TIMEOUT: &str = "template.template.timeout";
const ACCOUNT: &str = "template.template.serviceAccount";
const LABELS: &str = "labels";
const GPU: &str = "template.template.containers[].resources.limits.\"nvidia.com/gpu\"";
const GPU_TYPE: &str = "template.template.nodeSelector.accelerator";
const ZONES: &str = "template.template.gpuZonalRedundancyDisabled";
const DEPENDS_ON: &str = "template.template.containers[].dependsOn";
const CONTAINERS: &str = "template.template.containers";
const VOLUMES: &str = "template.template.volumes";
const MOUNTS: &str = "template.template.containers[].volumeMounts";
const DATABASES: &str = "template.template.volumes[].cloudSqlInstance.instances";
const CONNECTOR: &str = "template.template.vpcAccess.connector";
const EGRESS: &str = "template.template.vpcAccess.egress";
const INTERFACES: &str = "template.template.vpcAccess.networkInterfaces";
const NETWORK: &str = "template.template.vpcAccess.networkInterfaces[].network";
const SUBNET: &str = "template.template.vpcAccess.networkInterfaces[].subnetwork";
const TAGS: &str = "template.template.vpcAccess.networkInterfaces[].tags";
const KEY: &str = "template.template.encryptionKey";
const POLICY: &str = "binaryAuthorization";
const BREAKGLASS: &str = "binaryAuthorization.breakglassJustification";

use FieldPlace::{Container as InContainer, Job as InJob, Variables as InVariables};
use ValueKind::{
    Arguments, Count, Cpu, List, Memory, Mounts, Names, Pairs, Secrets, Switch, TaskTimeout, Text, TextOrNothing,
    Volumes, Word,
};

/// The flags, in the order in which help lists them.
pub(super) static FLAGS: &[FieldFlag] = &[
    FieldFlag::new(
        ("image", "IMAGE"),
        IMAGE,
        Set,
        Text,
        InContainer(|container, value| container.image = value.text()),
        "Container image, e.g. us-docker.pkg.dev/acme/tools/screenshot:1.4",
    ),
    FieldFlag::new(
        ("command", "A,B"),
        COMMAND,
        Set,
        List,
        InContainer(|container, value| container.command = value.list()),
        "Entrypoint, instead of the image's own; a list as in --args, and an empty one takes it back",
    ),
    FieldFlag::new(
        ("args", "A,B"),
        ARGS,
        Set,
        Arguments,
        InContainer(|container, value| container.args = value.list()),
        "Arguments, separated by commas, or by DELIM when written ^DELIM^A DELIM B; @FILE reads one from each line; an empty value clears them",
    ),
    FieldFlag::new(
        ("set-env-vars", "K=V,..."),
        VALUES,
        Set,
        Pairs,
        InVariables(env::set_literals),
        "Environment variables in place of all that the job has; lists as in --args",
    ),
    FieldFlag::new(
        ("update-env-vars", "K=V,..."),
        VALUES,
        Merge,
        Pairs,
        InVariables(env::merge_literals),
        "Environment variables to add or replace",
    ),
    FieldFlag::new(
        ("remove-env-vars", "K,..."),
        VALUES,
        Remove,
        Names,
        InVariables(env::remove_literals),
        "Environment variables to remove",
    ),
    FieldFlag::new(
        ("clear-env-vars", ""),
        VALUES,
        Clear,
        Switch,
        InVariables(env::clear_literals),
        "Remove every environment variable that has a plain value",
    ),
    FieldFlag::new(
        ("set-secrets", "K=SECRET:VERSION,..."),
        SECRETS,
        Set,
        Secrets,
        InVariables(env::set_secrets),
        "Environment variables that take their values from secrets, in place of all such that the job has",
    ),
    FieldFlag::new(
        ("update-secrets", "K=SECRET:VERSION,..."),
        SECRETS,
        Merge,
        Secrets,
        InVariables(env::merge_secrets),
        "Environment variables from secrets to add or replace",
    ),
    FieldFlag::new(
        ("remove-secrets", "K,..."),
        SECRETS,
        Remove,
        Names,
        InVariables(env::remove_secrets),
        "Environment variables from secrets to remove",
    ),
    FieldFlag::new(
        ("clear-secrets", ""),
        SECRETS,
        Clear,
        Switch,
        InVariables(env::clear_secrets),
        "Remove every environment variable that takes its value from a secret",
    ),
    FieldFlag::new(
        ("cpu", "CPU"),
        CPU,
        Set,
        Cpu,
        InContainer(|container, value| set_limit(container, "cpu", value)),
        "Processors of each task, e.g. 2 or 500m. The service's default is 1",
    ),
    FieldFlag::new(
        ("memory", "SIZE"),
        MEMORY,
        Set,
        Memory,
        InContainer(|container, value| set_limit(container, "memory", value)),
        "Memory of each task, e.g. 512Mi or 2Gi. The service's default is 512Mi",
    ),
    FieldFlag::new(
        ("tasks", "N"),
        TASKS,
        Set,
        Count(1),
        InJob(|job, value| execution(job).task_count = value.number()),
        "Number of tasks. The service's default is 1",
    ),
    FieldFlag::new(
        ("parallelism", "N"),
        PARALLELISM,
        Set,
        Count(0),
        InJob(|job, value| execution(job).parallelism = value.number()),
        "Most tasks at a time; 0 leaves it to the service, which is the default",
    ),
    FieldFlag::new(
        ("max-retries", "N"),
        RETRIES,
        Set,
        Count(0),
        InJob(|job, value| task(job).retries = Some(Retries::MaxRetries(value.number()))),
        "Retries of each failed task. The service's default is 3",
    ),
    FieldFlag::new(
        ("task-timeout", "DURATION"),
        TIMEOUT,
        Set,
        TaskTimeout,
        InJob(|job, value| task(job).timeout = value.duration()),
        "Limit of each attempt of a task, 1s to 168h. The service's default is 10m",
    ),
    FieldFlag::new(
        ("service-account", "EMAIL"),
        ACCOUNT,
        Set,
        TextOrNothing,
        InJob(|job, value| task(job).service_account = value.text()),
        "Service account that the tasks run as. The default is the project's Compute Engine one",
    ),
    FieldFlag::new(("labels", "K=V,..."), LABELS, Merge, Pairs, InJob(merge_labels), "Labels to add or replace"),
    FieldFlag::new(("update-labels", "K=V,..."), LABELS, Merge, Pairs, InJob(merge_labels), "The same as --labels")
        .only(UPDATE),
    FieldFlag::new(
        ("remove-labels", "K,..."),
        LABELS,
        Remove,
        Names,
        InJob(|job, value| value.list().iter().for_each(|label| drop(job.labels.remove(label)))),
        "Labels to remove",
    )
    .only(UPDATE),
    FieldFlag::new(
        ("clear-labels", ""),
        LABELS,
        Clear,
        Switch,
        InJob(|job, _| job.labels.clear()),
        "Remove every label, before --labels adds some",
    )
    .only(UPDATE),
    FieldFlag::new(("gpu", "N"), GPU, Set, Count(0), InContainer(set_gpus), "GPUs of each task; 0 takes them away"),
    FieldFlag::new(
        ("gpu-type", "TYPE"),
        GPU_TYPE,
        Set,
        TextOrNothing,
        InJob(|job, value| task(job).node_selector = selector(value)),
        "Type of the GPUs, e.g. nvidia-l4; an empty value takes it back",
    ),
    FieldFlag::new(
        ("gpu-zonal-redundancy", ""),
        ZONES,
        Set,
        Switch,
        InJob(|job, _| task(job).gpu_zonal_redundancy_disabled = Some(false)),
        "Have GPUs in reserve in another zone",
    ),
    FieldFlag::new(
        ("no-gpu-zonal-redundancy", ""),
        ZONES,
        Set,
        Switch,
        InJob(|job, _| task(job).gpu_zonal_redundancy_disabled = Some(true)),
        "Have no GPUs in reserve in another zone, as jobs need it",
    ),
    FieldFlag::new(
        ("depends-on", "A,B"),
        DEPENDS_ON,
        Set,
        List,
        InContainer(|container, value| container.depends_on = value.list()),
        "Containers that start before the one that --container names; an empty value clears them",
    ),
    FieldFlag::new(
        ("remove-containers", "A,B"),
        CONTAINERS,
        Remove,
        Names,
        InJob(|job, value| task(job).containers.retain(|container| !value.list().contains(&container.name))),
        "Containers to remove",
    )
    .only(UPDATE | DEPLOY),
    FieldFlag::new(
        ("add-volume", "name=N,type=T,..."),
        VOLUMES,
        Merge,
        Volumes,
        InJob(volumes::merge),
        "Volume to add or replace; of type secret (secret, version, path), cloud-storage (bucket, readonly, mount-options, with ; between them), nfs (location, readonly) or in-memory (size-limit)",
    ),
    FieldFlag::new(("remove-volume", "N,..."), VOLUMES, Remove, Names, InJob(volumes::remove), "Volumes to remove"),
    FieldFlag::new(
        ("clear-volumes", ""),
        VOLUMES,
        Clear,
        Switch,
        InJob(|job, _| task(job).volumes.clear()),
        "Remove every volume",
    ),
    FieldFlag::new(
        ("add-volume-mount", "volume=N,mount-path=P"),
        MOUNTS,
        Merge,
        Mounts,
        InContainer(volumes::merge_mounts),
        "Where the container sees a volume",
    ),
    FieldFlag::new(
        ("remove-volume-mount", "P,..."),
        MOUNTS,
        Remove,
        Names,
        InContainer(volumes::remove_mounts),
        "Paths where the container no longer sees a volume",
    ),
    FieldFlag::new(
        ("clear-volume-mounts", ""),
        MOUNTS,
        Clear,
        Switch,
        InContainer(|container, _| container.volume_mounts.clear()),
        "Remove every mount of the container",
    ),
    FieldFlag::new(
        ("set-cloudsql-instances", "A,B"),
        DATABASES,
        Set,
        List,
        InJob(volumes::set_databases),
        "Cloud SQL instances, as PROJECT:REGION:INSTANCE, whose sockets every container has below /cloudsql",
    ),
    FieldFlag::new(
        ("add-cloudsql-instances", "A,B"),
        DATABASES,
        Merge,
        List,
        InJob(volumes::add_databases),
        "Cloud SQL instances to add",
    )
    .only(UPDATE),
    FieldFlag::new(
        ("remove-cloudsql-instances", "A,B"),
        DATABASES,
        Remove,
        Names,
        InJob(volumes::remove_databases),
        "Cloud SQL instances to remove",
    )
    .only(UPDATE),
    FieldFlag::new(
        ("clear-cloudsql-instances", ""),
        DATABASES,
        Clear,
        Switch,
        InJob(volumes::set_databases),
        "Remove every Cloud SQL instance",
    )
    .only(UPDATE),
    FieldFlag::new(
        ("vpc-connector", "CONNECTOR"),
        CONNECTOR,
        Set,
        Text,
        InJob(network::connector),
        "Serverless VPC Access connector",
    ),
    FieldFlag::new(
        ("clear-vpc-connector", ""),
        CONNECTOR,
        Clear,
        Switch,
        InJob(network::connector),
        "Remove the connector",
    )
    .only(UPDATE),
    FieldFlag::new(
        ("vpc-egress", "WHICH"),
        EGRESS,
        Set,
        Word(&network::EGRESS),
        InJob(network::egress),
        "What goes through the VPC network: all-traffic (or all), or private-ranges-only",
    ),
    FieldFlag::new(("network", "NETWORK"), NETWORK, Set, Text, InJob(network::network), "VPC network"),
    FieldFlag::new(("subnet", "SUBNET"), SUBNET, Set, Text, InJob(network::subnet), "Subnet of the VPC network"),
    FieldFlag::new(
        ("network-tags", "A,B"),
        TAGS,
        Set,
        List,
        InJob(network::tags),
        "Tags for the firewall of the VPC network",
    ),
    FieldFlag::new(("clear-network-tags", ""), TAGS, Clear, Switch, InJob(network::tags), "Remove the tags")
        .only(UPDATE | DEPLOY),
    FieldFlag::new(
        ("clear-network", ""),
        INTERFACES,
        Clear,
        Switch,
        InJob(network::clear),
        "Leave the VPC network, with its subnet and tags",
    )
    .only(UPDATE | DEPLOY),
    FieldFlag::new(
        ("key", "KEY"),
        KEY,
        Set,
        TextOrNothing,
        InJob(|job, value| task(job).encryption_key = value.text()),
        "Key of Cloud KMS that encrypts the image; an empty value takes it back",
    ),
    FieldFlag::new(
        ("binary-authorization", "POLICY"),
        POLICY,
        Set,
        Text,
        InJob(authorize),
        "Policy of Binary Authorization; default is that of the project",
    ),
    FieldFlag::new(
        ("breakglass", "WHY"),
        BREAKGLASS,
        Set,
        Text,
        InJob(|job, value| authorization(job).breakglass_justification = value.text()),
        "Why the policy is to be passed by",
    ),
    FieldFlag::new(
        ("clear-binary-authorization", ""),
        POLICY,
        Clear,
        Switch,
        InJob(|job, _| job.binary_authorization = None),
        "Remove the policy",
    )
    .only(UPDATE),
];

fn execution(job: &mut Job) -> &mut ExecutionTemplate {
    job.template.get_or_insert_default()
}

/// What each task of the job is.
pub(super) fn task(job: &mut Job) -> &mut TaskTemplate {
    execution(job).template.get_or_insert_default()
}

fn set_limit(container: &mut Container, resource: &str, value: &FieldValue) {
    let resources: &mut ResourceRequirements = container.resources.get_or_insert_default();
    resources.limits.insert(resource.to_owned(), value.text());
}

fn merge_labels(job: &mut Job, value: &FieldValue) {
    job.labels.extend(value.pairs().iter().cloned());
}

fn set_gpus(container: &mut Container, value: &FieldValue) {
    const NAME: &str = "nvidia.com/gpu";
    let mut resources = container.resources.take().unwrap_or_default();
    match value.number() {
        0 => resources.limits.remove(NAME),
        count => resources.limits.insert(NAME.to_owned(), count.to_string()),
    };
    // An empty message means the same as none.
    container.resources = (resources != ResourceRequirements::default()).then_some(resources);
}

fn selector(value: &FieldValue) -> Option<NodeSelector> {
    let accelerator = value.text();
    (!accelerator.is_empty()).then_some(NodeSelector { accelerator })
}

fn authorization(job: &mut Job) -> &mut BinaryAuthorization {
    job.binary_authorization.get_or_insert_default()
}

fn authorize(job: &mut Job, value: &FieldValue) {
    let policy = value.text();
    let is_default = policy == "default";
    let method = if is_default { BinauthzMethod::UseDefault(true) } else { BinauthzMethod::Policy(policy) };
    authorization(job).binauthz_method = Some(method);
}
