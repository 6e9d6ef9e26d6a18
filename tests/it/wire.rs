//! The emulator as any client sees it: only through the bare generated stubs or raw HTTP, one test per fact of the service.

mod admin;
mod definitions;
mod faults;
mod gate;
mod iam;
mod lists;
mod maintenance;
mod operations;
mod outcomes;
mod processes;
mod quota;
mod rest;
mod restarts;
mod scale;
mod security;
mod seeds;
mod startup;
mod time;
mod tokens;
mod v1;
mod validation;

use prost::{Message, Name};
use runjob::{
    emulator::{Emulator, EmulatorBuilder, Runtime, Simulated, Simulation},
    proto::{
        longrunning::{
            GetOperationRequest, Operation, WaitOperationRequest, operation, operations_client::OperationsClient,
        },
        run::v2::{
            Condition, Container, CreateJobRequest, EnvVar, Execution, ExecutionTemplate, GetExecutionRequest,
            GetJobRequest, Job, ListTasksRequest, RunJobRequest, Task, TaskTemplate, condition,
            env_var::Values,
            executions_client::ExecutionsClient,
            jobs_client::JobsClient,
            run_job_request::{Overrides, overrides::ContainerOverride},
            task_template::Retries,
            tasks_client::TasksClient,
        },
    },
};
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

const LOCATION: &str = "projects/demo/locations/us-central1";

/// Adds the header without which the service answers nothing.
#[derive(Clone, Copy)]
struct Routed;

impl Interceptor for Routed {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let params = MetadataValue::from_static("location=us-central1");
        request.metadata_mut().insert("x-goog-request-params", params);
        Ok(request)
    }
}

type Wire = InterceptedService<Channel, Routed>;

/// An emulator and the stubs that reach it.
struct Api {
    emulator: Emulator,
    jobs: JobsClient<Wire>,
    executions: ExecutionsClient<Wire>,
    tasks: TasksClient<Wire>,
    operations: OperationsClient<Wire>,
}

impl Api {
    /// One that runs processes.
    async fn real() -> Self {
        Self::start(Emulator::builder()).await
    }

    /// One whose attempts follow a script.
    async fn simulated(script: impl Fn(u32, u32) -> Simulated + Send + Sync + 'static) -> Self {
        let script = Simulation::new(move |attempt| script(attempt.task_index, attempt.attempt));
        Self::start(Emulator::builder().runtime(Runtime::Simulated(script))).await
    }

    async fn start(builder: EmulatorBuilder) -> Self {
        let emulator = builder.no_listener().start().await.expect("the emulator starts");
        let channel = channel(&emulator).await;
        Self {
            jobs: JobsClient::with_interceptor(channel.clone(), Routed),
            executions: ExecutionsClient::with_interceptor(channel.clone(), Routed),
            tasks: TasksClient::with_interceptor(channel.clone(), Routed),
            operations: OperationsClient::with_interceptor(channel, Routed),
            emulator,
        }
    }

    async fn create(&mut self, id: &str, job: Job) -> Result<Operation, Status> {
        let (parent, job_id) = (LOCATION.to_owned(), id.to_owned());
        let request = CreateJobRequest { parent, job: Some(job), job_id, validate_only: false };
        self.jobs.create_job(request).await.map(tonic::Response::into_inner)
    }

    async fn job(&mut self, id: &str) -> Result<Job, Status> {
        self.jobs.get_job(GetJobRequest { name: job_name(id) }).await.map(tonic::Response::into_inner)
    }

    async fn run(&mut self, id: &str) -> Operation {
        self.run_with(id, Overrides::default()).await.expect("the start is accepted")
    }

    async fn run_with(&mut self, id: &str, overrides: Overrides) -> Result<Operation, Status> {
        let overrides = Some(overrides);
        let request = RunJobRequest { name: job_name(id), overrides, ..RunJobRequest::default() };
        self.jobs.run_job(request).await.map(tonic::Response::into_inner)
    }

    /// The operation as it ends.
    async fn wait(&mut self, operation: &Operation) -> Operation {
        let request = WaitOperationRequest {
            name: operation.name.clone(),
            timeout: Some(prost_types::Duration { seconds: 120, nanos: 0 }),
        };
        let done = self.operations.wait_operation(request).await.expect("the operation is there").into_inner();
        assert!(done.done, "{} did not end in time", done.name);
        done
    }

    async fn operation(&mut self, name: &str) -> Operation {
        let request = GetOperationRequest { name: name.to_owned() };
        self.operations.get_operation(request).await.expect("the operation is there").into_inner()
    }

    async fn execution(&mut self, name: &str) -> Result<Execution, Status> {
        let request = GetExecutionRequest { name: name.to_owned() };
        self.executions.get_execution(request).await.map(tonic::Response::into_inner)
    }

    async fn tasks(&mut self, execution: &str) -> Vec<Task> {
        let request = ListTasksRequest { parent: execution.to_owned(), page_size: 1000, ..ListTasksRequest::default() };
        self.tasks.list_tasks(request).await.expect("the execution is there").into_inner().tasks
    }
}

async fn channel(emulator: &Emulator) -> Channel {
    let endpoint = Endpoint::from_static("http://emulator");
    endpoint.connect_with_connector(emulator.connector()).await.expect("the emulator takes connections")
}

fn job_name(id: &str) -> String {
    format!("{LOCATION}/jobs/{id}")
}

/// A job of one container with one of the sample images.
fn job(image: &str, change: impl FnOnce(&mut ExecutionTemplate, &mut TaskTemplate)) -> Job {
    let image = format!("us-docker.pkg.dev/runjob/samples/{image}");
    let container = Container { image, ..Container::default() };
    let mut task = TaskTemplate { containers: vec![container], ..TaskTemplate::default() };
    let mut template = ExecutionTemplate::default();
    change(&mut template, &mut task);
    Job { template: Some(ExecutionTemplate { template: Some(task), ..template }), ..Job::default() }
}

fn retries(retries: i32) -> Option<Retries> {
    Some(Retries::MaxRetries(retries))
}

fn args(args: &[&str]) -> Overrides {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let container = ContainerOverride { args, ..ContainerOverride::default() };
    Overrides { container_overrides: vec![container], ..Overrides::default() }
}

fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), values: Some(Values::Value(value.to_owned())) }
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// The resource that an operation is about.
fn metadata<M: Message + Name + Default>(operation: &Operation) -> M {
    operation.metadata.as_ref().expect("every operation has metadata").to_msg().expect("of that type")
}

fn response<M: Message + Name + Default>(operation: &Operation) -> M {
    match &operation.result {
        Some(operation::Result::Response(any)) => any.to_msg().expect("of that type"),
        other => panic!("no response but {other:?}"),
    }
}

fn error(operation: &Operation) -> (i32, &str) {
    match &operation.result {
        Some(operation::Result::Error(status)) => (status.code, &status.message),
        other => panic!("no error but {other:?}"),
    }
}

fn condition<'a>(execution: &'a Execution, kind: &str) -> &'a Condition {
    execution.conditions.iter().find(|condition| condition.r#type == kind).expect("the condition is there")
}

fn reason(condition: &Condition) -> Option<condition::ExecutionReason> {
    match condition.reasons {
        Some(condition::Reasons::ExecutionReason(reason)) => reason.try_into().ok(),
        _ => None,
    }
}

/// The image of [`scripted`].
const SHELL: &str = "example.com/shell";

/// An emulator whose one image is a shell script.
async fn scripted(script: &str) -> Api {
    scripted_in(Emulator::builder(), script).await
}

async fn scripted_in(builder: EmulatorBuilder, script: &str) -> Api {
    let command = ["/bin/sh", "-c", script, "script"].map(str::to_owned).to_vec();
    let mut api = Api::start(builder.image(SHELL, command)).await;
    let mut definition = job("echo", |_, task| task.retries = retries(0));
    let task = definition.template.as_mut().and_then(|template| template.template.as_mut()).expect("it has one");
    task.containers[0].image = SHELL.to_owned();
    api.create("script", definition).await.expect("valid");
    api
}
