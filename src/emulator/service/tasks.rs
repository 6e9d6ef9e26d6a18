//! `google.cloud.run.v2.Tasks`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{admit, name, page::Page};
use crate::{
    emulator::engine::Engine,
    proto::run::v2::{GetTaskRequest, ListTasksRequest, ListTasksResponse, Task, tasks_server::Tasks},
};

#[derive(Debug)]
pub(super) struct TasksService(pub(super) Arc<Engine>);

#[tonic::async_trait]
impl Tasks for TasksService {
    async fn get_task(&self, request: Request<GetTaskRequest>) -> Result<Response<Task>, Status> {
        let (_, request) = admit(&self.0, request)?;
        let name = name(&self.0, "name", &request.name)?;
        Ok(Response::new(self.0.read(|machine| machine.task(&name))?))
    }

    async fn list_tasks(&self, request: Request<ListTasksRequest>) -> Result<Response<ListTasksResponse>, Status> {
        let (_, request) = admit(&self.0, request)?;
        let parent = name(&self.0, "parent", &request.parent)?;
        let page = Page::parse(request.page_size, &request.page_token)?;
        let (tasks, next_page_token) = self.0.read(|machine| page.fill(machine.tasks(&parent, page.after)));
        Ok(Response::new(ListTasksResponse { tasks, next_page_token }))
    }
}
