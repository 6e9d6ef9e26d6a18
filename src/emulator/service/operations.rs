//! `google.longrunning.Operations`, as far as Cloud Run publishes it.

use std::{sync::Arc, time::Duration};

use tonic::{Request, Response, Status};

use super::{Visible, admit, name, page::Page};
use crate::{
    emulator::{engine::Engine, refusal::Refusal},
    name::Location,
    proto::longrunning::{
        CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
        ListOperationsResponse, Operation, WaitOperationRequest, operations_server::Operations,
    },
};

/// How long WaitOperation holds a caller who does not say; the service's own number is unknown.
const DEFAULT_WAIT: Duration = Duration::from_secs(30);
/// How long it holds anybody; the service's own number is unknown.
const MAX_WAIT: Duration = Duration::from_secs(5 * 60);

#[derive(Debug)]
pub(super) struct OperationsService(pub(super) Arc<Engine>);

#[tonic::async_trait]
impl Operations for OperationsService {
    async fn list_operations(
        &self,
        request: Request<ListOperationsRequest>,
    ) -> Result<Response<ListOperationsResponse>, Status> {
        let (_, request) = admit(&self.0, request)?;
        if !request.filter.is_empty() {
            return Err(Refusal::not_emulated("a filter on operations").into());
        }
        let location: Location = name(&self.0, "name", &request.name)?;
        let page = Page::parse(request.page_size, &request.page_token)?;
        let (operations, next_page_token) = self.0.read(|machine| page.fill(machine.operations(&location, page.after)));
        Ok(Response::new(ListOperationsResponse { operations, next_page_token, unreachable: Vec::new() }))
    }

    async fn get_operation(&self, request: Request<GetOperationRequest>) -> Result<Response<Operation>, Status> {
        let seen = Visible::by(&self.0, &request);
        let (_, request) = admit(&self.0, request)?;
        let name = name(&self.0, "name", &request.name)?;
        let operation = self.0.read(|machine| machine.operation(&name))?;
        let is_seen = !seen.lags()
            || self.0.read(|machine| machine.begun(&name)).is_none_or(|begun| seen.has(Some(begun.into())));
        if is_seen { Ok(Response::new(operation)) } else { Err(Refusal::no_operation(&name).into()) }
    }

    async fn delete_operation(&self, request: Request<DeleteOperationRequest>) -> Result<Response<()>, Status> {
        let (_, request) = admit(&self.0, request)?;
        let name = name(&self.0, "name", &request.name)?;
        self.0.apply(|machine, _| machine.delete_operation(&name))?;
        Ok(Response::new(()))
    }

    /// Not published by Cloud Run: an execution is cancelled by CancelExecution.
    async fn cancel_operation(&self, _: Request<CancelOperationRequest>) -> Result<Response<()>, Status> {
        Err(Refusal::unimplemented().into())
    }

    async fn wait_operation(&self, request: Request<WaitOperationRequest>) -> Result<Response<Operation>, Status> {
        let (_, request) = admit(&self.0, request)?;
        let name = name(&self.0, "name", &request.name)?;
        let limit = match request.timeout {
            None => DEFAULT_WAIT,
            Some(limit) => {
                Duration::try_from(limit).map_err(|_| Refusal::invalid("timeout", "must not be negative."))?
            }
        };
        Ok(Response::new(self.0.wait(&name, limit.min(MAX_WAIT)).await?))
    }
}
