//! Lists: order, pages, wildcards (api-facts 2.6, 4.2).

use std::collections::BTreeSet;

use runjob::{
    emulator::Simulated,
    proto::{
        longrunning::ListOperationsRequest,
        run::v2::{
            Execution, GetTaskRequest, ListExecutionsRequest, ListJobsRequest, ListTasksRequest,
            run_job_request::Overrides,
        },
    },
};
use tonic::{Code, Status};

use super::{Api, LOCATION, job, job_name, metadata};

async fn api() -> Api {
    Api::simulated(|_, _| Simulated::exits(0)).await
}

async fn start(api: &mut Api, job: &str) -> String {
    let operation = api.run(job).await;
    metadata::<Execution>(&operation).name
}

/// One page of executions: their names, and the next token.
async fn page(api: &mut Api, parent: &str, page_size: i32, token: &str) -> Result<(Vec<String>, String), Status> {
    let (parent, page_token) = (parent.to_owned(), token.to_owned());
    let request = ListExecutionsRequest { parent, page_size, page_token, show_deleted: false };
    let page = api.executions.list_executions(request).await?.into_inner();
    Ok((page.executions.into_iter().map(|execution| execution.name).collect(), page.next_page_token))
}

#[tokio::test]
async fn executions_are_listed_newest_first_page_by_page() {
    let mut api = api().await;
    let mut started = Vec::new();
    for _ in 0..5 {
        started.push(start(&mut api, "echo").await);
    }
    started.reverse();
    let (first, token) = page(&mut api, &job_name("echo"), 2, "").await.expect("valid");
    // What is started meanwhile is newer than the pages to come.
    start(&mut api, "echo").await;
    let (second, token) = page(&mut api, &job_name("echo"), 2, &token).await.expect("valid");
    let (third, end) = page(&mut api, &job_name("echo"), 2, &token).await.expect("valid");
    assert_eq!([first, second, third].concat(), started);
    assert_eq!(end, "");
}

/// api-facts 2.6: `jobs/-` is newest first across jobs.
#[tokio::test]
async fn a_wildcard_lists_the_executions_of_all_jobs_of_its_location_only() {
    let mut api = api().await;
    let mut started = vec![start(&mut api, "echo").await, start(&mut api, "env").await, start(&mut api, "echo").await];
    started.reverse();
    assert_eq!(page(&mut api, &job_name("-"), 0, "").await.expect("valid").0, started);
    let elsewhere = "projects/demo/locations/europe-west1/jobs/-";
    assert!(page(&mut api, elsewhere, 0, "").await.expect("valid").0.is_empty());
    assert_eq!(page(&mut api, &job_name("env"), 0, "").await.expect("valid").0.len(), 1);
}

/// api-facts 4.1, 5: a region serves its own resources, and no host serves those of all regions.
#[tokio::test]
async fn a_list_over_all_regions_is_not_implemented() {
    let mut api = api().await;
    let all = "projects/demo/locations/-";
    let jobs = ListJobsRequest { parent: all.to_owned(), ..ListJobsRequest::default() };
    let tasks = ListTasksRequest { parent: format!("{all}/jobs/-/executions/-"), ..ListTasksRequest::default() };
    let operations = ListOperationsRequest { name: all.to_owned(), ..ListOperationsRequest::default() };
    let refused = [
        api.jobs.list_jobs(jobs).await.err(),
        page(&mut api, &format!("{all}/jobs/-"), 0, "").await.err(),
        api.tasks.list_tasks(tasks).await.err(),
        api.operations.list_operations(operations).await.err(),
    ];
    for status in refused.into_iter().map(|status| status.expect("no host serves it")) {
        let text = "Operation is not implemented, or supported, or enabled.";
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, text));
    }
}

#[tokio::test]
async fn a_page_has_a_hundred_items_unless_told_otherwise_and_a_thousand_at_most() {
    let mut api = api().await;
    let operation =
        api.run_with("echo", Overrides { task_count: 1500, ..Overrides::default() }).await.expect("accepted");
    let parent = metadata::<Execution>(&operation).name;
    for (page_size, length) in [(0, 100), (7, 7), (5000, 1000)] {
        let request = ListTasksRequest { parent: parent.clone(), page_size, ..ListTasksRequest::default() };
        assert_eq!(api.tasks.list_tasks(request).await.expect("valid").into_inner().tasks.len(), length);
    }
}

#[tokio::test]
async fn a_bad_page_token_or_size_is_refused() {
    let mut api = api().await;
    for (size, token) in [(0, "nonsense"), (0, "1"), (0, "-1.0"), (0, "1.fffffffff"), (-1, "")] {
        let status = page(&mut api, &job_name("echo"), size, token).await.expect_err(token);
        assert_eq!(status.code(), Code::InvalidArgument, "{size} {token:?}");
    }
    assert!(page(&mut api, &job_name("echo"), 0, "0.0").await.expect("it is the end of any list").0.is_empty());
}

#[tokio::test]
async fn jobs_are_listed_newest_first() {
    let mut api = api().await;
    api.create("newest", job("echo", |_, _| {})).await.expect("valid");
    let request = ListJobsRequest { parent: LOCATION.to_owned(), ..ListJobsRequest::default() };
    let jobs = api.jobs.list_jobs(request).await.expect("valid").into_inner().jobs;
    let ids: Vec<_> = jobs.iter().filter_map(|job| job.name.rsplit('/').next()).collect();
    assert_eq!(ids, ["newest", "flaky", "fail", "sleep", "env", "echo"]);
}

/// api-facts 2.6: `-` for job and execution.
#[tokio::test]
async fn tasks_are_listed_by_index_and_across_executions() {
    let mut api = api().await;
    let three = Overrides { task_count: 3, ..Overrides::default() };
    let first = api.run_with("echo", three.clone()).await.expect("accepted");
    let second = api.run_with("env", three).await.expect("accepted");
    let (first, second) = (metadata::<Execution>(&first).name, metadata::<Execution>(&second).name);
    let indexes: Vec<_> = api.tasks(&first).await.iter().map(|task| task.index).collect();
    assert_eq!(indexes, [0, 1, 2]);

    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListTasksRequest {
            parent: format!("{}/executions/-", job_name("-")),
            page_size: 2,
            page_token,
            show_deleted: false,
        };
        let page = api.tasks.list_tasks(request).await.expect("valid").into_inner();
        names.extend(page.tasks.into_iter().map(|task| task.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let of = |execution: &str| {
        let id = execution.rsplit('/').next().expect("a name").to_owned();
        (0..3).map(move |index| format!("{id}-task{index}"))
    };
    let ids: Vec<_> = names.iter().filter_map(|name| name.rsplit('/').next().map(str::to_owned)).collect();
    assert_eq!(ids, of(&second).chain(of(&first)).collect::<Vec<_>>());
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 6);
}

#[tokio::test]
async fn a_task_is_found_by_its_one_name() {
    let mut api = api().await;
    let execution = start(&mut api, "echo").await;
    let id = execution.rsplit('/').next().expect("a name").to_owned();
    let mut get = async |task: &str| {
        let request = GetTaskRequest { name: format!("{execution}/tasks/{task}") };
        api.tasks.get_task(request).await.map(tonic::Response::into_inner)
    };
    let task = get(&format!("{id}-task0")).await.expect("it is there");
    assert_eq!((task.job.as_str(), task.execution.as_str(), task.index), ("echo", id.as_str(), 0));
    for wrong in [format!("{id}-task1"), format!("{id}-task00"), "task0".to_owned()] {
        let status = get(&wrong).await.expect_err(&wrong);
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().contains("of kind 'TASK'"), "{}", status.message());
    }
}
