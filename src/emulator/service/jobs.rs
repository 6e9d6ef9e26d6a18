//! `google.cloud.run.v2.Jobs`.

use std::{sync::Arc, time::SystemTime};

use tonic::{Request, Response, Status};

use super::{admit, name, page::Page};
use crate::{
    emulator::{
        defaults,
        engine::Engine,
        iam::{self, Principal},
        refusal::Refusal,
        rest_only::RestOnly,
        runtime::Inadmissible,
        state::{JobRequest, Machine, RunRequest},
        validate,
    },
    name::{JobName, Location},
    proto::{
        iam::v1::{
            GetIamPolicyRequest, Policy, SetIamPolicyRequest, TestIamPermissionsRequest, TestIamPermissionsResponse,
        },
        longrunning::Operation,
        run::v2::{
            CreateJobRequest, DeleteJobRequest, ExecutionTemplate, GetJobRequest, Job, ListJobsRequest,
            ListJobsResponse, RunJobRequest, UpdateJobRequest, jobs_server::Jobs,
        },
    },
};

#[derive(Debug)]
pub(super) struct JobsService(pub(super) Arc<Engine>);

#[tonic::async_trait]
impl Jobs for JobsService {
    async fn create_job(&self, request: Request<CreateJobRequest>) -> Result<Response<Operation>, Status> {
        let rest_only = rest_only(&request, "job");
        let (caller, request) = admit(&self.0, request)?;
        let parent: Location = name(&self.0, "parent", &request.parent)?;
        validate::job_id(&request.job_id)?;
        let job = parent.job(request.job_id).map_err(|error| Refusal::malformed_name("job_id", &error))?;
        let definition = request.job.ok_or_else(|| Refusal::invalid("job", "is required."))?;
        if !definition.name.is_empty() {
            return Err(Refusal::invalid("job.name", "must be empty: the id of a new job goes in job_id.").into());
        }
        let request = define(&self.0, caller, job, (definition, rest_only), request.validate_only)?;
        Ok(Response::new(self.0.apply(|machine, now| machine.create_job(request, now))?))
    }

    async fn get_job(&self, request: Request<GetJobRequest>) -> Result<Response<Job>, Status> {
        let (_, request) = admit(&self.0, request)?;
        let name = name(&self.0, "name", &request.name)?;
        Ok(Response::new(self.0.read(|machine| machine.job(&name))?))
    }

    async fn list_jobs(&self, request: Request<ListJobsRequest>) -> Result<Response<ListJobsResponse>, Status> {
        let (_, request) = admit(&self.0, request)?;
        let parent = name(&self.0, "parent", &request.parent)?;
        let page = Page::parse(request.page_size, &request.page_token)?;
        let (jobs, next_page_token) = self.0.read(|machine| page.fill(machine.jobs(&parent, page.after)));
        Ok(Response::new(ListJobsResponse { jobs, next_page_token }))
    }

    async fn update_job(&self, request: Request<UpdateJobRequest>) -> Result<Response<Operation>, Status> {
        let rest_only = rest_only(&request, "job");
        let (caller, request) = admit(&self.0, request)?;
        let definition = request.job.ok_or_else(|| Refusal::invalid("job", "is required."))?;
        let job = name(&self.0, "job.name", &definition.name)?;
        let change = define(&self.0, caller, job, (definition, rest_only), request.validate_only)?;
        let event = |machine: &mut Machine, now: SystemTime| machine.update_job(change, request.allow_missing, now);
        Ok(Response::new(self.0.apply(event)?))
    }

    async fn delete_job(&self, request: Request<DeleteJobRequest>) -> Result<Response<Operation>, Status> {
        let (_, request) = admit(&self.0, request)?;
        let name = name(&self.0, "name", &request.name)?;
        let event = |machine: &mut Machine, now: SystemTime| machine.delete_job(&name, request.validate_only, now);
        Ok(Response::new(self.0.apply(event)?))
    }

    async fn run_job(&self, request: Request<RunJobRequest>) -> Result<Response<Operation>, Status> {
        let delay = rest_only(&request, "overrides").and_then(|overrides| overrides.flag(&["delayExecution"]));
        let (caller, RunJobRequest { name: job, validate_only, overrides, .. }) = admit(&self.0, request)?;
        let changes = overrides.iter().flat_map(|overrides| &overrides.container_overrides);
        for (index, change) in changes.enumerate() {
            let refused = |why: Inadmissible| {
                Refusal::invalid(format!("overrides.container_overrides[{index}].env"), why.to_string())
            };
            self.0.admits_variables(&change.env).map_err(refused)?;
        }
        let request = RunRequest { caller, job: name(&self.0, "name", &job)?, overrides, delay, validate_only };
        Ok(Response::new(self.0.apply(|machine, now| machine.run_job(&request, now))?))
    }

    async fn get_iam_policy(&self, request: Request<GetIamPolicyRequest>) -> Result<Response<Policy>, Status> {
        let (_, request) = admit(&self.0, request)?;
        let name = name(&self.0, "resource", &request.resource)?;
        Ok(Response::new(self.0.read(|machine| machine.policy(&name))?))
    }

    async fn set_iam_policy(&self, request: Request<SetIamPolicyRequest>) -> Result<Response<Policy>, Status> {
        let (_, request) = admit(&self.0, request)?;
        let name = name(&self.0, "resource", &request.resource)?;
        if request.update_mask.is_some_and(|mask| !mask.paths.is_empty()) {
            return Err(Refusal::not_emulated("an update mask of a policy").into());
        }
        let policy = request.policy.ok_or_else(|| Refusal::invalid("policy", "is required."))?;
        iam::check_policy(&policy)?;
        Ok(Response::new(self.0.apply(|machine, now| machine.set_policy(&name, policy, now))?))
    }

    async fn test_iam_permissions(
        &self,
        request: Request<TestIamPermissionsRequest>,
    ) -> Result<Response<TestIamPermissionsResponse>, Status> {
        let (caller, request) = admit(&self.0, request)?;
        let name = name(&self.0, "resource", &request.resource)?;
        iam::check_permissions(&request.permissions)?;
        let permissions = self.0.read(|machine| machine.permitted(&caller, &name, request.permissions));
        Ok(Response::new(TestIamPermissionsResponse { permissions }))
    }
}

/// What only REST knows of a field of this request: nothing if it did not come by REST.
fn rest_only<R>(request: &Request<R>, field: &str) -> Option<RestOnly> {
    let fields = request.extensions().get::<RestOnly>()?;
    Some(fields.part(field).unwrap_or_default())
}

/// A job as the machine takes it: valid, runnable here, completed with the defaults.
pub(crate) fn define(
    engine: &Engine,
    caller: Principal,
    name: JobName,
    (mut definition, rest_only): (Job, Option<RestOnly>),
    validate_only: bool,
) -> Result<JobRequest, Refusal> {
    validate::job_id(name.id())?;
    validate::job(&definition)?;
    if let Some(token) = &definition.create_execution {
        validate::execution_token(name.id(), token)?;
    }
    let task = definition.template.iter().flat_map(|template| &template.template);
    let mut missing_image = None;
    for (index, container) in task.flat_map(|task| &task.containers).enumerate() {
        match engine.admits(container) {
            Ok(()) => {}
            Err(Inadmissible::ImageMissing) => missing_image = missing_image.or_else(|| Some(container.image.clone())),
            Err(refused) => {
                let field = if refused == Inadmissible::CommandNotAllowed { "command" } else { "env" };
                let field = format!("template.template.containers[{index}].{field}");
                return Err(Refusal::invalid(field, refused.to_string()));
            }
        }
    }
    if let (Some(fields), Some(task)) = (&rest_only, definition.template.iter().flat_map(|it| &it.template).next()) {
        validate::disks(&task.volumes, fields.elements(&["template", "template", "volumes"]))?;
    }
    defaults::fill(&mut definition, name.location().project());
    let delayed = rest_only.as_ref().and_then(|fields| fields.flag(&["template", "delayExecution"]));
    validate::delay(
        delayed.unwrap_or_default(),
        definition.template.as_ref().unwrap_or(&ExecutionTemplate::default()),
    )?;
    Ok(JobRequest { caller, name, definition, rest_only, missing_image, validate_only })
}
