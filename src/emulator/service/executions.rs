//! `google.cloud.run.v2.Executions`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{Visible, admit, name, page::Page};
use crate::{
    emulator::{engine::Engine, refusal::Refusal},
    proto::{
        longrunning::Operation,
        run::v2::{
            CancelExecutionRequest, DeleteExecutionRequest, Execution, GetExecutionRequest, ListExecutionsRequest,
            ListExecutionsResponse, executions_server::Executions,
        },
    },
};

#[derive(Debug)]
pub(super) struct ExecutionsService(pub(super) Arc<Engine>);

#[tonic::async_trait]
impl Executions for ExecutionsService {
    async fn get_execution(&self, request: Request<GetExecutionRequest>) -> Result<Response<Execution>, Status> {
        let seen = Visible::by(&self.0, &request);
        let (_, request) = admit(&self.0, request)?;
        let name = name(&self.0, "name", &request.name)?;
        let execution = self.0.read(|machine| machine.execution(&name))?;
        if seen.has(execution.create_time) {
            Ok(Response::new(execution))
        } else {
            Err(Refusal::no_execution(&name).into())
        }
    }

    async fn list_executions(
        &self,
        request: Request<ListExecutionsRequest>,
    ) -> Result<Response<ListExecutionsResponse>, Status> {
        let seen = Visible::by(&self.0, &request);
        let (_, request) = admit(&self.0, request)?;
        let parent = name(&self.0, "parent", &request.parent)?;
        let page = Page::parse(request.page_size, &request.page_token)?;
        let is_listed = |execution: &Execution| seen.has(execution.create_time);
        let (executions, next_page_token) = self.0.read(|machine| {
            page.fill(machine.executions(&parent, page.after).filter(|(_, execution)| is_listed(execution)))
        });
        Ok(Response::new(ListExecutionsResponse { executions, next_page_token }))
    }

    async fn delete_execution(&self, request: Request<DeleteExecutionRequest>) -> Result<Response<Operation>, Status> {
        let (_, request) = admit(&self.0, request)?;
        let name = name(&self.0, "name", &request.name)?;
        let operation = self.0.apply(|machine, now| machine.delete_execution(&name, request.validate_only, now))?;
        Ok(Response::new(operation))
    }

    async fn cancel_execution(&self, request: Request<CancelExecutionRequest>) -> Result<Response<Operation>, Status> {
        let (_, request) = admit(&self.0, request)?;
        let name = name(&self.0, "name", &request.name)?;
        let operation = self.0.apply(|machine, now| machine.cancel_execution(&name, request.validate_only, now))?;
        Ok(Response::new(operation))
    }
}
