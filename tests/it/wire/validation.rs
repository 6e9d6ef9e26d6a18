//! Which jobs are taken, and in which words others are refused (api-facts 4.2).

use runjob::{
    emulator::Simulated,
    proto::{
        api::LaunchStage,
        run::v2::{
            Container, ContainerPort, Execution, ExecutionEnvironment, ExecutionTemplate, Job, NodeSelector, Probe,
            TaskTemplate,
        },
    },
};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{Api, job, response, retries, seconds, variable};

/// Makes one thing of a valid job different.
type Change = fn(&mut Job);

async fn api() -> Api {
    Api::simulated(|_, _| Simulated::exits(0)).await
}

fn template(job: &mut Job) -> &mut ExecutionTemplate {
    job.template.as_mut().expect("it has one")
}

fn task(job: &mut Job) -> &mut TaskTemplate {
    template(job).template.as_mut().expect("it has one")
}

fn container(job: &mut Job) -> &mut Container {
    &mut task(job).containers[0]
}

fn limit(job: &mut Job, name: &str, value: &str) {
    let limits = &mut container(job).resources.get_or_insert_default().limits;
    limits.insert(name.to_owned(), value.to_owned());
}

/// A GPU job as the service takes it.
fn with_gpu(job: &mut Job) {
    for (name, value) in [("nvidia.com/gpu", "1"), ("cpu", "4"), ("memory", "16Gi")] {
        limit(job, name, value);
    }
    task(job).node_selector = Some(NodeSelector { accelerator: "nvidia-l4".to_owned() });
    task(job).gpu_zonal_redundancy_disabled = Some(true);
}

/// What the table of api-facts 4.2 refuses, row by row, and in which words.
const REFUSED: [(&str, Change); 44] = [
    ("has no task template", |job| job.template = None),
    ("has no task template", |job| template(job).template = None),
    ("must contain at least one container", |job| task(job).containers.clear()),
    ("at most 10 containers", |job| task(job).containers = vec![container(job).clone(); 11]),
    ("must provide an image name to deploy", |job| container(job).image.clear()),
    ("must be a container image path", |job| container(job).image = "-rf /".to_owned()),
    ("lowercase RFC 1123 label", |job| container(job).name = "A_b".to_owned()),
    ("'a' is used twice", |job| {
        container(job).name = "a".to_owned();
        task(job).containers = vec![container(job).clone(); 2];
    }),
    ("does not exist", |job| container(job).depends_on = vec!["other".to_owned()]),
    ("dependency cycle detected", |job| {
        container(job).name = "a".to_owned();
        container(job).depends_on = vec!["a".to_owned()];
    }),
    ("should contain 0 or 1 port", |job| container(job).ports = vec![ContainerPort::default(); 2]),
    ("must be a number between 0 and 10000", |job| template(job).task_count = 10_001),
    ("must be a number between 0 and 10000", |job| template(job).task_count = -1),
    ("must not be negative", |job| template(job).parallelism = -1),
    ("must be a number between 0 and 10.", |job| task(job).retries = retries(11)),
    ("must be a number between 0 and 10.", |job| task(job).retries = retries(-1)),
    ("Illegal duration format", |job| task(job).timeout = seconds(0)),
    ("Illegal duration format", |job| task(job).timeout = seconds(168 * 3600 + 1)),
    ("containers[0].env: The following reserved env names were provided: CLOUD_RUN_JOB, PORT.", |job| {
        container(job).env = vec![variable("CLOUD_RUN_JOB", "x"), variable("PORT", "1")];
    }),
    ("must not be empty", |job| container(job).env = vec![variable("", "x")]),
    ("over 32768 bytes", |job| container(job).env = vec![variable("A", &"x".repeat(32 * 1024 + 1))]),
    ("At most 1000 environment variables", |job| {
        container(job).env = vec![variable("A", "x"); 501];
        task(job).containers = vec![container(job).clone(); 2];
    }),
    ("At most 1000 arguments", |job| {
        container(job).args = vec![String::new(); 501];
        task(job).containers = vec![container(job).clone(); 2];
    }),
    ("Must be equal to one of [.08-1], 1.0, 2.0, 4.0, 6.0, 8.0", |job| limit(job, "cpu", "3")),
    ("Must be equal to one of [.08-1], 1.0, 2.0, 4.0, 6.0, 8.0", |job| limit(job, "cpu", "79m")),
    ("Could not parse Quantity", |job| limit(job, "cpu", "one")),
    ("Could not parse Quantity", |job| limit(job, "memory", "1gb")),
    ("For 1.0 CPU, memory must be between 128Mi and 4Gi inclusive.", |job| limit(job, "memory", "5Gi")),
    ("For 1.0 CPU, memory must be between 128Mi and 4Gi inclusive.", |job| limit(job, "memory", "127Mi")),
    ("For 4.0 CPU, memory must be between 2Gi and 16Gi inclusive.", |job| limit(job, "cpu", "4")),
    ("For 0.5 CPU, memory must be between", |job| {
        limit(job, "cpu", "500m");
        limit(job, "memory", "5Gi");
    }),
    ("is no resource", |job| limit(job, "memroy", "1Gi")),
    ("must be false on jobs", |job| container(job).resources.get_or_insert_default().cpu_idle = true),
    ("is not supported on resources of kind Execution", |job| {
        task(job).set_execution_environment(ExecutionEnvironment::Gen1);
    }),
    ("does not support liveness probe", |job| container(job).liveness_probe = Some(Probe::default())),
    ("system annotations are not supported", |job| {
        job.annotations.insert("run.googleapis.com/x".to_owned(), String::new());
    }),
    ("system annotations are not supported", |job| {
        template(job).annotations.insert("autoscaling.knative.dev/maxScale".to_owned(), String::new());
    }),
    ("system labels are not supported", |job| {
        job.labels.insert("cloud.googleapis.com/location".to_owned(), String::new());
    }),
    ("must be one of ALPHA, BETA, GA", |job| job.set_launch_stage(LaunchStage::EarlyAccess)),
    ("Must be equal to 1.", |job| {
        with_gpu(job);
        limit(job, "nvidia.com/gpu", "2");
    }),
    ("needs at least 4 CPU and 16Gi", |job| {
        with_gpu(job);
        limit(job, "memory", "8Gi");
    }),
    ("needs at least 4 CPU and 16Gi", |job| {
        with_gpu(job);
        limit(job, "cpu", "2");
    }),
    ("when using GPU", |job| {
        with_gpu(job);
        task(job).timeout = seconds(43201);
    }),
    ("when using GPU", |job| {
        with_gpu(job);
        task(job).gpu_zonal_redundancy_disabled = None;
    }),
];

#[tokio::test]
async fn an_invalid_job_is_refused_in_the_services_words() {
    let mut api = api().await;
    for (text, spoil) in REFUSED {
        let mut definition = job("echo", |_, _| {});
        spoil(&mut definition);
        let status = api.create("new", definition).await.expect_err(text);
        assert_eq!(status.code(), Code::InvalidArgument, "{text}");
        assert!(status.message().contains(text), "{} does not say {text}", status.message());
        let violations = status.get_error_details().bad_request().expect("it has the detail").field_violations.clone();
        assert!(status.message().starts_with(&violations[0].field), "{}", status.message());
    }
    assert_eq!(api.job("new").await.expect_err("never stored").code(), Code::NotFound);
}

/// api-facts 4.2: accepted, although some of it looks wrong.
#[tokio::test]
async fn what_the_service_takes_is_taken() {
    let taken: [Change; 9] = [
        |job| (template(job).task_count, template(job).parallelism) = (2, 5),
        |job| container(job).env = vec![variable("A", "1"), variable("A", "2")],
        |job| container(job).env = vec![variable("X_GOOGLE_A", "1")],
        |job| container(job).env = vec![variable("A", &"x".repeat(32 * 1024)); 1],
        |job| limit(job, "cpu", "0.08"),
        |job| (limit(job, "cpu", "8000m"), limit(job, "memory", "32Gi")).0,
        |job| task(job).timeout = seconds(168 * 3600),
        |job| job.set_launch_stage(LaunchStage::Beta),
        with_gpu,
    ];
    let mut api = api().await;
    for (index, change) in taken.into_iter().enumerate() {
        let mut definition = job("echo", |_, _| {});
        change(&mut definition);
        let id = format!("odd-{index}");
        api.create(&id, definition).await.expect(&id);
        let operation = api.run(&id).await;
        let execution = response::<Execution>(&api.wait(&operation).await);
        assert_eq!(execution.succeeded_count, execution.task_count, "{id}");
    }
}

/// api-facts 4.2, job id.
#[tokio::test]
async fn a_job_id_is_a_label_of_63_characters_at_most() {
    let (long, longest) = ("a".repeat(64), "a".repeat(63));
    let mut api = api().await;
    for id in ["", "A", "1a", "a-", "a_b", "a.b", "a/b", "..", "a\u{7}", long.as_str()] {
        let status = api.create(id, job("echo", |_, _| {})).await.expect_err(id);
        assert_eq!(status.code(), Code::InvalidArgument, "{id:?}");
        assert!(status.message().contains("Maximum length is 63 characters."), "{id:?}: {}", status.message());
        assert!(status.get_error_details().bad_request().is_some());
    }
    for id in ["a", "a-1", longest.as_str()] {
        api.create(id, job("echo", |_, _| {})).await.expect(id);
        let operation = api.run(id).await;
        assert_eq!(response::<Execution>(&api.wait(&operation).await).succeeded_count, 1);
    }
}
