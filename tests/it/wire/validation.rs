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

/// api-facts 4.2.
#[tokio::test]
async fn an_invalid_job_is_refused_in_the_services_words() {
    let long = "a".repeat(64);
    for id in ["", "A", "1a", "a-", "a_b", "a.b", "a/b", "..", "a\u{7}", long.as_str()] {
        let status = api().await.create(id, job("echo", |_, _| {})).await.expect_err(id);
        assert_eq!(status.code(), Code::InvalidArgument, "{id:?}");
        assert!(status.message().contains("Maximum length is 63 characters."), "{id:?}: {}", status.message());
    }
    let cases: [(&str, Change); 16] = [
        ("has no task template", |job| job.template = None),
        ("has no task template", |job| job.template.as_mut().expect("set").template = None),
        ("must contain at least one container", |job| task(job).containers.clear()),
        ("at most 10 containers", |job| task(job).containers = vec![task(job).containers[0].clone(); 11]),
        ("must provide an image name to deploy", |job| task(job).containers[0].image.clear()),
        ("must be a container image path", |job| task(job).containers[0].image = "-rf /".to_owned()),
        ("must be a number between 0 and 10000", |job| job.template.as_mut().expect("set").task_count = 10_001),
        ("must be a number between 0 and 10000", |job| job.template.as_mut().expect("set").task_count = -1),
        ("must not be negative", |job| job.template.as_mut().expect("set").parallelism = -1),
        ("must be a number between 0 and 10.", |job| task(job).retries = retries(11)),
        ("Illegal duration format", |job| task(job).timeout = seconds(0)),
        ("Illegal duration format", |job| task(job).timeout = seconds(168 * 3600 + 1)),
        ("containers[0].env: The following reserved env names were provided: CLOUD_RUN_JOB, PORT.", |job| {
            task(job).containers[0].env = vec![variable("CLOUD_RUN_JOB", "x"), variable("PORT", "1")];
        }),
        ("must not be empty", |job| task(job).containers[0].env = vec![variable("", "x")]),
        ("does not exist", |job| task(job).containers[0].depends_on = vec!["other".to_owned()]),
        ("dependency cycle detected", |job| {
            (task(job).containers[0].name, task(job).containers[0].depends_on) = ("a".to_owned(), vec!["a".to_owned()]);
        }),
    ];
    let mut api = api().await;
    for (text, spoil) in cases {
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

/// api-facts 4.2: accepted, although they look wrong.
#[tokio::test]
async fn parallelism_above_the_task_count_and_env_names_given_twice_are_taken() {
    let mut api = api().await;
    let definition = job("echo", |template, task| {
        (template.task_count, template.parallelism) = (2, 5);
        task.containers[0].env = vec![variable("A", "1"), variable("A", "2")];
    });
    api.create("odd", definition).await.expect("it is taken");
    let operation = api.run("odd").await;
    assert_eq!(response::<Execution>(&api.wait(&operation).await).succeeded_count, 2);
}

