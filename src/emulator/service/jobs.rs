//! `google.cloud.run.v2.Jobs`.

use std::{sync::Arc, time::SystemTime};

use tonic::{Request, Response, Status};

use super::{name, page::Page};
use crate::{
    emulator::{
        defaults,
        engine::Engine,
        refusal::Refusal,
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
            CreateJobRequest, DeleteJobRequest, GetJobRequest, Job, ListJobsRequest, ListJobsResponse, RunJobRequest,
            UpdateJobRequest, jobs_server::Jobs,
        },
    },
};

#[derive(Debug)]
pub(super) struct JobsService(pub(super) Arc<Engine>);

#[tonic::async_trait]
impl Jobs for JobsService {
    async fn create_job(&self, request: Request<CreateJobRequest>) -> Result<Response<Operation>, Status> {
        let request = request.into_inner();
        let parent: Location = name("parent", &request.parent)?;
        validate::job_id(&request.job_id)?;
        let job = parent.job(request.job_id).map_err(|error| Refusal::malformed_name("job_id", &error))?;
        let definition = request.job.ok_or_else(|| Refusal::invalid("job", "is required."))?;
        if !definition.name.is_empty() {
            return Err(Refusal::invalid("job.name", "must be empty: the id of a new job goes in job_id.").into());
        }
        let request = define(&self.0, job, definition, request.validate_only)?;
        Ok(Response::new(self.0.apply(|machine, now| machine.create_job(request, now))?))
    }

    async fn get_job(&self, request: Request<GetJobRequest>) -> Result<Response<Job>, Status> {
        let name = name("name", &request.into_inner().name)?;
        Ok(Response::new(self.0.read(|machine| machine.job(&name))?))
    }

    async fn list_jobs(&self, request: Request<ListJobsRequest>) -> Result<Response<ListJobsResponse>, Status> {
        let request = request.into_inner();
        let parent = name("parent", &request.parent)?;
        let page = Page::parse(request.page_size, &request.page_token)?;
        let (jobs, next_page_token) = self.0.read(|machine| page.fill(machine.jobs(&parent, page.after)));
        Ok(Response::new(ListJobsResponse { jobs, next_page_token }))
    }

    async fn update_job(&self, request: Request<UpdateJobRequest>) -> Result<Response<Operation>, Status> {
        let request = request.into_inner();
        let definition = request.job.ok_or_else(|| Refusal::invalid("job", "is required."))?;
        let job = name("job.name", &definition.name)?;
        let change = define(&self.0, job, definition, request.validate_only)?;
        let event = |machine: &mut Machine, now: SystemTime| machine.update_job(change, request.allow_missing, now);
        Ok(Response::new(self.0.apply(event)?))
    }

    async fn delete_job(&self, request: Request<DeleteJobRequest>) -> Result<Response<Operation>, Status> {
        let request = request.into_inner();
        let name = name("name", &request.name)?;
        let event = |machine: &mut Machine, now: SystemTime| machine.delete_job(&name, request.validate_only, now);
        Ok(Response::new(self.0.apply(event)?))
    }

    async fn run_job(&self, request: Request<RunJobRequest>) -> Result<Response<Operation>, Status> {
        let RunJobRequest { name: job, validate_only, overrides, .. } = request.into_inner();
        let request = RunRequest { job: name("name", &job)?, overrides, validate_only };
        Ok(Response::new(self.0.apply(|machine, now| machine.run_job(&request, now))?))
    }

    async fn get_iam_policy(&self, _: Request<GetIamPolicyRequest>) -> Result<Response<Policy>, Status> {
        Err(Refusal::unimplemented().into())
    }

    async fn set_iam_policy(&self, _: Request<SetIamPolicyRequest>) -> Result<Response<Policy>, Status> {
        Err(Refusal::unimplemented().into())
    }

    async fn test_iam_permissions(
        &self,
        _: Request<TestIamPermissionsRequest>,
    ) -> Result<Response<TestIamPermissionsResponse>, Status> {
        Err(Refusal::unimplemented().into())
    }
}

/// A job as the machine takes it: valid, runnable here, completed with the defaults.
pub(crate) fn define(
    engine: &Engine,
    name: JobName,
    mut definition: Job,
    validate_only: bool,
) -> Result<JobRequest, Refusal> {
    validate::job_id(name.id())?;
    validate::job(&definition)?;
    let task = definition.template.iter().flat_map(|template| &template.template);
    let mut missing_image = None;
    for (index, container) in task.flat_map(|task| &task.containers).enumerate() {
        match engine.admits(container) {
            Ok(()) => {}
            Err(Inadmissible::ImageMissing) => missing_image = missing_image.or_else(|| Some(container.image.clone())),
            Err(Inadmissible::CommandNotAllowed) => {
                let field = format!("template.template.containers[{index}].command");
                let text =
                    "The emulator runs an image's own command only; start it with --allow-command to change that.";
                return Err(Refusal::invalid(field, text));
            }
        }
    }
    defaults::fill(&mut definition);
    Ok(JobRequest { name, definition, missing_image, validate_only })
}
