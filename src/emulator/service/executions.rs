//! `google.cloud.run.v2.Executions`.

use std::{sync::Arc, time::SystemTime};

use tonic::{Request, Response, Status};

use super::{admit, name, page::Page};
use crate::{
    emulator::{engine::Engine, fault::Lag},
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
        let (_, request) = admit(&self.0, request)?;
        let name = name(&self.0, "name", &request.name)?;
        Ok(Response::new(self.0.read(|machine| machine.execution(&name))?))
    }

    async fn list_executions(
        &self,
        request: Request<ListExecutionsRequest>,
    ) -> Result<Response<ListExecutionsResponse>, Status> {
        let lag = request.extensions().get::<Lag>().copied();
        let (_, request) = admit(&self.0, request)?;
        let parent = name(&self.0, "parent", &request.parent)?;
        let page = Page::parse(request.page_size, &request.page_token)?;
        let until = lag.and_then(|Lag(time)| self.0.now().checked_sub(time));
        let is_listed = |execution: &Execution| {
            let created = execution.create_time.and_then(|time| SystemTime::try_from(time).ok());
            until.is_none_or(|until| created.is_some_and(|created| created <= until))
        };
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
