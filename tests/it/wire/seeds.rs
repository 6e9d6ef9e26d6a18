//! Seed files: the one of `docs/emulator.md`, and what is said about others.

use std::{fs, path::Path};

use runjob::{
    emulator::{Emulator, EmulatorBuilder},
    proto::run::v2::{Execution, GetJobRequest, RunJobRequest, jobs_client::JobsClient},
};
use tempfile::TempDir;
use tonic::{Code, Request};

use super::{Api, channel, job_name, metadata};

fn seeded(text: &str) -> (TempDir, EmulatorBuilder) {
    let place = tempfile::tempdir().expect("a place");
    let file = place.path().join("seed.yaml");
    fs::write(&file, text).expect("a file");
    (place, Emulator::builder().seed_file(file).no_listener())
}

/// The YAML block of the page.
fn documented() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/emulator.md");
    let page = fs::read_to_string(page).expect("the page");
    let (_, rest) = page.split_once("```yaml\n").expect("it shows a seed file");
    rest.split_once("```").expect("it ends").0.to_owned()
}

#[tokio::test]
async fn the_documented_seed_file_says_what_the_page_says() {
    let (_place, builder) = seeded(&documented());
    let emulator = builder.lenient(true).start().await.expect("it is right");
    let mut jobs = JobsClient::new(channel(&emulator).await);
    let name = "projects/acme/locations/asia-northeast1/jobs/screenshot";
    let stranger = jobs.get_job(GetJobRequest { name: name.to_owned() }).await.expect_err("callers are asked");
    assert_eq!(stranger.code(), Code::Unauthenticated);

    let mut request = Request::new(RunJobRequest { name: name.to_owned(), ..RunJobRequest::default() });
    let bearer = "Bearer developer-token".parse().expect("a value");
    request.metadata_mut().insert("authorization", bearer);
    let operation = jobs.run_job(request).await.expect("it may").into_inner();
    let execution: Execution = metadata(&operation);
    assert_eq!((execution.task_count, execution.creator.as_str()), (2, "ada@example.com"));
}

#[tokio::test]
async fn an_error_names_file_line_and_field() {
    for (text, expected) in [
        ("images: [a]\n", vec!["images", "line 1"]),
        ("jobs:\n  Wrong_Id: {}\n", vec!["jobs.Wrong_Id"]),
        ("jobs:\n  j: {template: {taskCount: -1}}\n", vec!["jobs.j"]),
        ("callers:\n  t: {member: user:a@example.com, role: x}\n", vec!["callers.t", "role", "line 2"]),
        ("quotas: {jobs: many}\n", vec!["quotas.jobs", "line 1"]),
        ("startup: {j: pull=1s}\n", vec!["startup", "'pull' is not a phase"]),
    ] {
        let (_place, builder) = seeded(text);
        let error = builder.start().await.expect_err(text);
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(error.to_string().contains("seed.yaml"), "{error}");
        assert!(expected.iter().all(|part| cause.contains(part)), "{text}: {cause}");
    }
}

/// What a job has become meanwhile is not undone.
#[tokio::test]
async fn a_seed_file_adds_only_what_is_missing() {
    let dir = tempfile::tempdir().expect("a place");
    let seed = |count: u32| {
        let image = "us-docker.pkg.dev/runjob/samples/echo";
        format!("jobs:\n  j: {{template: {{taskCount: {count}, template: {{containers: [{{image: {image}}}]}}}}}}\n")
    };
    for count in [2, 3] {
        let (_place, builder) = seeded(&seed(count));
        let mut api = Api::start(builder.data_dir(dir.path())).await;
        let job = api.job("j").await.expect("it is there");
        assert_eq!((job.name, job.template.map(|template| template.task_count)), (job_name("j"), Some(2)));
    }
}
