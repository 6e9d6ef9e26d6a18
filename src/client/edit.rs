//! The safe update of a job: read, change, write back under the job's etag.

use tonic::Code;

use crate::{
    call::{Caller, FailedAttempt},
    error::{Error, ErrorKind, Result},
    name::{JobName, is_same},
    proto::{longrunning, run::v2::Job},
    retry::Evidence,
    rpc::EncodedJob,
};

/// How often a job may change between our reading and writing it before we give up.
const MOST_CONFLICTS: usize = 5;

/// Changes the job, again when it has changed between reading and writing. Writes nothing when the change is declined.
pub(super) async fn edit<E: From<Error>>(
    caller: &Caller,
    name: &JobName,
    mut change: impl FnMut(&mut Job) -> Result<(), E> + Send,
) -> Result<longrunning::Operation, E> {
    let mut conflicts = 0;
    loop {
        let read = caller.get_encoded_job(name).await?;
        let mut job = read.known().clone();
        change(&mut job)?;
        let update = replaced(&read, name, job).map_err(|error| error.doing("edit job", name))?;
        match caller.update_encoded_job(name, &update).await {
            Ok(answer) => return Ok(answer),
            Err(failure) if is_conflict(&failure) && conflicts < MOST_CONFLICTS => conflicts += 1,
            Err(failure) => return Err(failure.error.into()),
        }
    }
}

/// The job as it was read with the changed one in its place, under the etag with which it was read.
fn replaced(read: &EncodedJob, name: &JobName, job: Job) -> Result<EncodedJob> {
    let etag = &read.known().etag;
    if etag.is_empty() {
        let message = "the service gives the job no etag, and without one nothing guards the update";
        return Err(Error::new(ErrorKind::Protocol, message));
    }
    if !is_same(name, &job.name) {
        let message = format!("the change names the job \"{}\"; a job cannot be renamed", job.name.escape_debug());
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    read.replaced_by(&Job { etag: etag.clone(), ..job })
}

/// Whether the job has changed since it was read.
fn is_conflict(failure: &FailedAttempt) -> bool {
    failure.evidence == Evidence::Rejected && failure.error.code() == Some(Code::Aborted)
}
