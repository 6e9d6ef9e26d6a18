//! Jobs: create, read, update, delete, and what is refused (api-facts 4).

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use prost::Message as _;
use prost_types::Timestamp;
use runjob::{
    emulator::Simulated,
    proto::{
        longrunning::GetOperationRequest,
        run::v2::{
            CancelExecutionRequest, CloudSqlInstance, Container, CreateJobRequest, DeleteExecutionRequest,
            DeleteJobRequest, EmptyDirVolumeSource, Execution, ExecutionEnvironment, ExecutionTemplate, HttpGetAction,
            Job, Probe, RunJobRequest, TaskTemplate, UpdateJobRequest, Volume, VolumeMount, condition,
            probe::ProbeType,
            run_job_request::{Overrides, overrides::ContainerOverride},
            task_template::Retries,
            volume::VolumeType,
        },
    },
};
use tonic::{Code, Status};

use super::{Api, LOCATION, args, error, job, job_name, metadata, response, seconds, variable};

async fn api() -> Api {
    Api::simulated(|_, _| Simulated::exits(0)).await
}

fn delete(id: &str) -> DeleteJobRequest {
    DeleteJobRequest { name: job_name(id), ..DeleteJobRequest::default() }
}

async fn update(api: &mut Api, job: Job) -> Result<Job, Status> {
    let request = UpdateJobRequest { job: Some(job), ..UpdateJobRequest::default() };
    let operation = api.jobs.update_job(request).await?.into_inner();
    Ok(response(&api.wait(&operation).await))
}

fn task(job: &mut Job) -> &mut TaskTemplate {
    job.template.as_mut().and_then(|template| template.template.as_mut()).expect("it has one")
}

/// api-facts 4, Create.
#[tokio::test]
async fn a_created_job_is_pending_first_and_ready_at_the_first_look() {
    let mut api = api().await;
    let operation = api.create("new", job("echo", |_, _| {})).await.expect("valid");
    let pending: Job = metadata(&operation);
    assert!(!operation.done && pending.reconciling);
    assert_eq!((pending.generation, pending.observed_generation), (1, 0));
    let condition = pending.terminal_condition.expect("it has one");
    assert_eq!((condition.r#type.as_str(), condition.state()), ("", condition::State::ConditionPending));

    let request = GetOperationRequest { name: operation.name };
    let done = api.operations.get_operation(request).await.expect("it is there").into_inner();
    let ready: Job = response(&done);
    assert!(done.done && !ready.reconciling && ready.observed_generation == 1);
    let condition = ready.terminal_condition.as_ref().expect("it has one");
    assert_eq!((condition.r#type.as_str(), condition.state()), ("Ready", condition::State::ConditionSucceeded));
    assert_eq!(api.job("new").await.expect("it is there"), ready);
}

/// api-facts 10.2, as recorded: pending since it was ready, and the generation observed last.
#[tokio::test]
async fn the_first_answer_of_a_change_keeps_what_was_observed_before() {
    let mut api = api().await;
    api.create("new", job("echo", |_, _| {})).await.expect("valid");
    let ready = api.job("new").await.expect("it is there");
    let since = ready.terminal_condition.as_ref().and_then(|condition| condition.last_transition_time);
    let change = Job { labels: [("a".to_owned(), "b".to_owned())].into(), ..ready };
    let request = UpdateJobRequest { job: Some(change), ..UpdateJobRequest::default() };
    let operation = api.jobs.update_job(request).await.expect("valid").into_inner();
    let updated: Job = response(&api.wait(&operation).await);
    let deletion = api.jobs.delete_job(delete("new")).await.expect("it is there").into_inner();
    let deleted: Job = response(&api.wait(&deletion).await);
    for (operation, observed) in [(&operation, 1), (&deletion, 2)] {
        let pending: Job = metadata(operation);
        assert_eq!((pending.observed_generation, pending.generation), (observed, observed + 1));
        let condition = pending.terminal_condition.expect("it has one");
        assert_eq!((condition.r#type.as_str(), condition.state()), ("Ready", condition::State::ConditionPending));
        assert_eq!(condition.last_transition_time, since);
    }
    for settled in [&updated, &deleted] {
        assert_eq!(settled.terminal_condition.as_ref().and_then(|condition| condition.last_transition_time), since);
    }
    assert_ne!(deleted.etag, metadata::<Job>(&deletion).etag);
}

/// api-facts 10.2: six digits of a second.
#[tokio::test]
async fn times_have_whole_microseconds() {
    let mut api = api().await;
    let operation = api.run("echo").await;
    let execution: Execution = response(&api.wait(&operation).await);
    let times = [execution.create_time, execution.start_time, execution.completion_time, execution.update_time];
    assert!(times.iter().all(|time| time.expect("it is over").nanos % 1000 == 0), "{times:?}");
}

/// As recorded: sockets of Cloud SQL are mounted where the service wants them.
#[tokio::test]
async fn a_cloud_sql_volume_is_always_mounted_at_cloudsql() {
    let mut api = api().await;
    let mut new = job("echo", |_, _| {});
    let mount =
        |name: &str| VolumeMount { name: name.to_owned(), mount_path: "/data".to_owned(), ..Default::default() };
    task(&mut new).containers[0].volume_mounts = vec![mount("db"), mount("scratch")];
    let database = VolumeType::CloudSqlInstance(CloudSqlInstance { instances: vec!["p:r:i".to_owned()] });
    let scratch = VolumeType::EmptyDir(EmptyDirVolumeSource::default());
    let volume = |name: &str, kind| Volume { name: name.to_owned(), volume_type: Some(kind) };
    task(&mut new).volumes = vec![volume("db", database), volume("scratch", scratch)];
    api.create("new", new).await.expect("valid");
    let mounts = task(&mut api.job("new").await.expect("it is there")).containers[0].volume_mounts.clone();
    let paths: Vec<_> = mounts.iter().map(|mount| mount.mount_path.as_str()).collect();
    assert_eq!(paths, ["/cloudsql", "/data"]);
}

/// api-facts 4, defaults.
#[tokio::test]
async fn a_job_is_completed_with_the_defaults() {
    let mut api = api().await;
    api.create("new", job("echo", |_, _| {})).await.expect("valid");
    let job = api.job("new").await.expect("it is there");
    let ExecutionTemplate { parallelism, task_count, template, .. } = job.template.expect("it has one");
    let task = template.expect("it has one");
    assert_eq!(
        (parallelism, task_count, task.retries, task.timeout),
        (0, 1, Some(Retries::MaxRetries(3)), seconds(600))
    );
    assert_eq!(task.execution_environment(), ExecutionEnvironment::Gen2);
    assert!(task.service_account.ends_with("-compute@developer.gserviceaccount.com"));
    let limits = &task.containers[0].resources.as_ref().expect("they are filled in").limits;
    assert_eq!((limits["cpu"].as_str(), limits["memory"].as_str()), ("1000m", "512Mi"));
    assert_eq!(task.containers[0].name, "");
}

/// api-facts 4, defaults: several containers have less memory each, and a probe without details asks port 8080.
#[tokio::test]
async fn containers_and_probes_are_completed_too() {
    let mut api = api().await;
    let mut two = job("echo", |_, _| {});
    let first = task(&mut two).containers[0].clone();
    task(&mut two).containers.push(Container { startup_probe: Some(Probe::default()), ..first });
    api.create("two", two).await.expect("valid");
    let job = api.job("two").await.expect("it is there");
    let containers = job.template.and_then(|template| template.template).expect("it has one").containers;
    let memory = |container: &Container| container.resources.as_ref().map(|all| all.limits["memory"].clone());
    assert!(containers.iter().all(|container| memory(container).as_deref() == Some("256Mi")));
    assert!(containers[0].startup_probe.is_none());
    let probe = containers[1].startup_probe.as_ref().expect("it was given");
    assert_eq!((probe.failure_threshold, probe.period_seconds, probe.timeout_seconds), (3, 10, 1));
    let http = HttpGetAction { port: 8080, ..HttpGetAction::default() };
    assert_eq!(probe.probe_type, Some(ProbeType::HttpGet(http)));
}

/// api-facts 4, defaults: the account has the project's number, which is one per project.
#[tokio::test]
async fn the_default_account_belongs_to_the_project() {
    let mut api = api().await;
    let mut accounts = Vec::new();
    for (project, id) in [("one", "a"), ("one", "b"), ("two", "a")] {
        let parent = format!("projects/{project}/locations/us-central1");
        let request =
            CreateJobRequest { parent, job_id: id.to_owned(), job: Some(job("echo", |_, _| {})), validate_only: false };
        let created: Job = metadata(api.jobs.create_job(request).await.expect("valid").get_ref());
        accounts.push(created.template.and_then(|it| it.template).expect("it has one").service_account);
    }
    assert!(accounts[0] == accounts[1] && accounts[1] != accounts[2], "{accounts:?}");
}

/// api-facts 4, etag.
#[tokio::test]
async fn an_etag_is_in_quotes_and_changes_with_the_job() {
    let mut api = api().await;
    let before = api.job("echo").await.expect("a sample");
    assert!(before.etag.starts_with('"') && before.etag.ends_with('"') && before.etag.contains('/'));
    let mut changed = before.clone();
    changed.labels.insert("team".to_owned(), "a".to_owned());
    let after = update(&mut api, changed.clone()).await.expect("the etag is current");
    assert_ne!(after.etag, before.etag);
    let status = update(&mut api, changed).await.expect_err("the etag is old");
    assert_eq!(status.code(), Code::Aborted);
}

/// api-facts 4, etag: the time of the update and the name, each in base64.
#[tokio::test]
async fn an_etag_is_made_of_the_update_time_and_the_name() {
    let job = api().await.job("echo").await.expect("a sample");
    let (time, name) = job.etag.trim_matches('"').split_once('/').expect("two parts");
    let decode = |part| BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64");
    assert_eq!(Timestamp::decode(&decode(time)[..]).expect("a time"), job.update_time.expect("it has one"));
    assert_eq!(decode(name), job.name.into_bytes());
}

/// A clock that stands still does not make two states one.
#[tokio::test(start_paused = true)]
async fn updates_at_the_same_moment_have_etags_of_their_own() {
    let mut api = api().await;
    let mut etags = vec![api.job("echo").await.expect("a sample").etag];
    for value in ["1", "2", "3"] {
        let mut changed = api.job("echo").await.expect("a sample");
        changed.labels.insert("team".to_owned(), value.to_owned());
        etags.push(update(&mut api, changed).await.expect("the etag is current").etag);
    }
    assert_eq!(etags.iter().collect::<BTreeSet<_>>().len(), 4, "{etags:?}");
}

/// api-facts 4.1: ignored, as observed.
#[tokio::test]
async fn an_old_etag_stops_no_run_no_cancel_and_no_deletion() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0).after(Duration::from_secs(100_000))).await;
    let etag = "\"old\"".to_owned();
    let request = RunJobRequest { name: job_name("echo"), etag: etag.clone(), ..RunJobRequest::default() };
    let run = api.jobs.run_job(request).await.expect("it is ignored").into_inner();
    let name = metadata::<Execution>(&run).name;
    let request = CancelExecutionRequest { name: name.clone(), etag: etag.clone(), validate_only: false };
    let cancel = api.executions.cancel_execution(request).await.expect("it is ignored").into_inner();
    api.wait(&cancel).await;
    let request = DeleteExecutionRequest { name, etag: etag.clone(), validate_only: false };
    api.executions.delete_execution(request).await.expect("it is ignored");
    api.jobs.delete_job(DeleteJobRequest { etag, ..delete("echo") }).await.expect("it is ignored");
}

/// api-facts 4, Patch: whole-object replacement, and no new generation without a change.
#[tokio::test]
async fn an_update_replaces_the_job() {
    let mut api = api().await;
    let before = api.job("echo").await.expect("a sample");
    let mut same = before.clone();
    same.generation = 99;
    assert_eq!(update(&mut api, same).await.expect("valid").generation, 1);
    let mut changed = Job { name: before.name.clone(), ..job("env", |template, _| template.task_count = 4) };
    changed.annotations.insert("note".to_owned(), "x".to_owned());
    let after = update(&mut api, changed).await.expect("valid");
    assert_eq!((after.generation, &after.uid, after.create_time), (2, &before.uid, before.create_time));
    assert_eq!(after.template.expect("it has one").task_count, 4);
    assert_eq!(after.annotations["note"], "x");
}

#[tokio::test]
async fn an_update_of_a_missing_job_creates_it_only_when_asked() {
    let mut api = api().await;
    let missing = Job { name: job_name("missing"), ..job("echo", |_, _| {}) };
    let status = update(&mut api, missing.clone()).await.expect_err("it is missing");
    assert_eq!(status.code(), Code::NotFound);
    let request = UpdateJobRequest { job: Some(missing), allow_missing: true, ..UpdateJobRequest::default() };
    api.jobs.update_job(request).await.expect("it may be missing");
    assert_eq!(api.job("missing").await.expect("it was created").generation, 1);
}

/// api-facts 4, Delete.
#[tokio::test]
async fn a_deleted_job_is_gone() {
    let mut api = api().await;
    let operation = api.jobs.delete_job(delete("echo")).await.expect("a sample").into_inner();
    let gone: Job = response(&api.wait(&operation).await);
    let (deleted, expires) = (gone.delete_time.expect("it is set"), gone.expire_time.expect("it is set"));
    assert_eq!((expires.seconds - deleted.seconds, gone.generation), (30 * 24 * 3600, 2));
    let status = api.job("echo").await.expect_err("it is gone");
    let text = "Resource 'echo' of kind 'JOB' in region 'us-central1' in project 'demo' does not exist.";
    assert_eq!((status.code(), status.message()), (Code::NotFound, text));
}

/// api-facts 4.1: allowed, and its executions are stopped and removed.
#[tokio::test]
async fn a_job_can_be_deleted_while_it_runs() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0).after(Duration::from_secs(100_000))).await;
    let run = api.run("echo").await;
    let deletion = api.jobs.delete_job(delete("echo")).await.expect("allowed").into_inner();
    let execution: Execution = response(&api.wait(&run).await);
    assert_eq!(execution.cancelled_count, 1);
    api.wait(&deletion).await;
    assert_eq!(api.execution(&execution.name).await.expect_err("it is gone").code(), Code::NotFound);
    assert_eq!(api.job("echo").await.expect_err("it is gone").code(), Code::NotFound);
    api.create("echo", job("echo", |_, _| {})).await.expect("the name is free again");
}

/// api-facts 4.1.
#[tokio::test]
async fn a_second_job_of_the_same_id_is_refused() {
    let mut api = api().await;
    let status = api.create("echo", job("echo", |_, _| {})).await.expect_err("there is one");
    assert_eq!((status.code(), status.message()), (Code::AlreadyExists, "Resource 'echo' already exists."));
    let request = CreateJobRequest {
        parent: LOCATION.to_owned(),
        job_id: "echo".to_owned(),
        job: Some(job("echo", |_, _| {})),
        validate_only: true,
    };
    let status = api.jobs.create_job(request).await.expect_err("also when only asked");
    assert_eq!(status.code(), Code::AlreadyExists);
}

/// api-facts 4.1, last row.
#[tokio::test]
async fn a_new_job_is_named_by_its_id_alone() {
    let definition = Job { name: job_name("new"), ..job("echo", |_, _| {}) };
    let status = api().await.create("new", definition).await.expect_err("the id goes in job_id");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("job.name: "), "{}", status.message());
}

/// api-facts 4.1: an operation that nobody can fetch, and nothing stored.
#[tokio::test]
async fn validate_only_changes_nothing() {
    let mut api = api().await;
    let request = CreateJobRequest {
        parent: LOCATION.to_owned(),
        job_id: "new".to_owned(),
        job: Some(job("echo", |_, _| {})),
        validate_only: true,
    };
    let created = api.jobs.create_job(request).await.expect("valid").into_inner();
    let request = RunJobRequest { name: job_name("echo"), validate_only: true, ..RunJobRequest::default() };
    let run = api.jobs.run_job(request).await.expect("valid").into_inner();
    for operation in [created, run] {
        assert!(!operation.done);
        let request = GetOperationRequest { name: operation.name };
        assert_eq!(api.operations.get_operation(request).await.expect_err("unknown").code(), Code::NotFound);
    }
    assert_eq!(api.job("new").await.expect_err("not stored").code(), Code::NotFound);
    assert!(api.emulator.ledger().is_empty());
}

/// api-facts 1.4.
#[tokio::test]
async fn a_missing_image_fails_the_creation_and_the_job_cannot_run() {
    let mut api = Api::real().await;
    let operation = api.create("lost", job("nobody-has-it", |_, _| {})).await.expect("the shape is valid");
    let done = api.wait(&operation).await;
    let text = "Image 'us-docker.pkg.dev/runjob/samples/nobody-has-it' not found.";
    assert_eq!(error(&done), (Code::NotFound as i32, text));
    let ready = api.job("lost").await.expect("it is stored").terminal_condition.expect("it has one");
    let missing = condition::Reasons::Reason(condition::CommonReason::ContainerMissing as i32);
    assert_eq!((ready.state(), ready.reasons), (condition::State::ConditionFailed, Some(missing)));
    let status = api.run_with("lost", Overrides::default()).await.expect_err("it is not ready");
    assert_eq!(status.code(), Code::FailedPrecondition);
}

/// api-facts 2.5.
#[tokio::test]
async fn overrides_show_on_the_execution_and_leave_the_job_alone() {
    let mut api = api().await;
    let before = api.job("echo").await.expect("a sample").template;
    let mut overrides = Overrides { task_count: 3, timeout: seconds(42), ..args(&["a", "b"]) };
    overrides.container_overrides[0].env = vec![variable("MODE", "full")];
    let operation = api.run_with("echo", overrides).await.expect("accepted");
    let execution: Execution = metadata(&operation);
    let template = execution.template.expect("it has one");
    assert_eq!((execution.task_count, template.timeout), (3, seconds(42)));
    assert_eq!(template.containers[0].args, ["a", "b"]);
    assert_eq!(template.containers[0].env, [variable("MODE", "full")]);
    assert_eq!(api.job("echo").await.expect("a sample").template, before);
}

/// api-facts 2.5, 4.2: nothing starts.
#[tokio::test]
async fn invalid_overrides_are_refused_and_nothing_starts() {
    let mut api = api().await;
    let mut two = job("echo", |_, _| {});
    task(&mut two).containers[0].name = "a".to_owned();
    let second = Container { name: "b".to_owned(), ..task(&mut two).containers[0].clone() };
    task(&mut two).containers.push(second);
    api.create("two", two).await.expect("valid");
    let change = |name: &str, env| Overrides {
        container_overrides: vec![ContainerOverride { name: name.to_owned(), env, ..ContainerOverride::default() }],
        ..Overrides::default()
    };
    for (text, overrides) in [
        ("no container named 'c'; its containers are 'a', 'b'", change("c", Vec::new())),
        ("no container named ''", change("", Vec::new())),
        ("reserved env names", change("a", vec![variable("CLOUD_RUN_TASK_INDEX", "1")])),
        ("must not be empty", change("a", vec![variable("", "1")])),
        ("between 0 and 10000", Overrides { task_count: -1, ..Overrides::default() }),
        ("Illegal duration format", Overrides { timeout: seconds(0), ..Overrides::default() }),
        ("Illegal duration format", Overrides { timeout: seconds(169 * 3600), ..Overrides::default() }),
    ] {
        let status = api.run_with("two", overrides).await.expect_err(text);
        assert_eq!(status.code(), Code::InvalidArgument, "{text}");
        assert!(status.message().contains(text), "{} does not say {text}", status.message());
    }
    assert!(api.emulator.ledger().is_empty());
}

/// faults 5, case 42.
#[tokio::test]
async fn a_malformed_name_is_refused() {
    let mut api = api().await;
    for name in ["", "echo", "projects/demo/locations/us-central1/jobs/", "projects/../locations/x/jobs/y", "jobs/a/b"]
    {
        let request = RunJobRequest { name: name.to_owned(), ..RunJobRequest::default() };
        let status = api.jobs.run_job(request).await.expect_err(name);
        assert_eq!(status.code(), Code::InvalidArgument, "{name:?}");
        assert!(status.message().starts_with("name: "), "{}", status.message());
    }
}

/// What a job may hold, it may hold in full: no field is lost on the way in and out.
#[tokio::test]
async fn a_job_comes_back_as_it_was_given() {
    let mut api = api().await;
    let mut definition = job("echo", |template, task| {
        template.labels.insert("a".to_owned(), "b".to_owned());
        task.encryption_key = "projects/p/locations/l/keyRings/r/cryptoKeys/k".to_owned();
        task.containers[0].working_dir = "/srv".to_owned();
    });
    (definition.client, definition.client_version) = ("test".to_owned(), "1".to_owned());
    api.create("full", definition.clone()).await.expect("valid");
    let first = api.job("full").await.expect("it is there");
    let again = update(&mut api, first.clone()).await.expect("valid");
    assert_eq!(first.encode_to_vec().len(), again.encode_to_vec().len());
    let template = first.template.expect("it has one");
    assert_eq!(template.labels["a"], "b");
    let task = template.template.expect("it has one");
    assert_eq!((task.containers[0].working_dir.as_str(), first.client.as_str()), ("/srv", "test"));
}
