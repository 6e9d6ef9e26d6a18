//! GetJob and UpdateJob with the job as its bytes, for changing a job that may have fields that our protos do not know:
//! decoding and encoding would drop those, and the update would remove them from the job.

use bytes::{Buf as _, Bytes, BytesMut};
use prost::{DecodeError, Message, Name as _};

use super::{
    answer::{Named, about},
    graft::graft,
};
use crate::{
    call::{Call, Caller, FailedAttempt, Reply},
    error::{Error, ErrorKind, Result},
    name::JobName,
    proto::{
        longrunning::Operation,
        methods::jobs::{GET_JOB, UPDATE_JOB},
        run::v2::{GetJobRequest, Job},
    },
    transport::{Chunks, Routing},
};

/// A job as the service sent it.
#[derive(Clone, Debug)]
pub(crate) struct EncodedJob {
    bytes: Bytes,
    known: Box<Job>,
}

impl EncodedJob {
    fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let known = Box::new(Job::decode(bytes.clone())?);
        Ok(Self { bytes, known })
    }

    /// The fields that our protos know.
    pub(crate) fn known(&self) -> &Job {
        &self.known
    }

    /// The job with these fields set instead. Encoded messages behind each other are one message, in which the last
    /// value of a field counts, and the last field of a oneof.
    pub(crate) fn with(&self, fields: &Job) -> Result<Self> {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        bytes.extend_from_slice(&fields.encode_to_vec());
        Self::decode(bytes.freeze()).map_err(unreadable)
    }

    /// The job with what our protos know of it replaced by `changed`, which was made from [`known`](Self::known).
    pub(crate) fn replaced_by(&self, changed: &Job) -> Result<Self> {
        let bytes = graft(
            &format!(".{}", Job::full_name()),
            &self.bytes,
            &self.known.encode_to_vec(),
            &changed.encode_to_vec(),
        );
        bytes.and_then(|bytes| Self::decode(bytes.into())).map_err(unreadable)
    }
}

fn unreadable(cause: DecodeError) -> Error {
    Error::new(ErrorKind::Protocol, "the job cannot be read back").with_source(cause)
}

impl Reply for EncodedJob {
    fn read_from(mut bytes: Chunks) -> Result<Self, DecodeError> {
        Self::decode(bytes.copy_to_bytes(bytes.remaining()))
    }
}

impl Named for EncodedJob {
    fn name(&self) -> &str {
        &self.known.name
    }
}

impl Caller {
    pub(crate) async fn get_encoded_job(&self, name: &JobName) -> Result<EncodedJob> {
        let message = GetJobRequest { name: name.to_string() };
        let method = GET_JOB.with_messages();
        let call = Call::new("read job", name, &method, Routing::location(name.location()), &message);
        about("read job", name, self.read(&call).await?)
    }

    /// A failure says what is known of its effect.
    pub(crate) async fn update_encoded_job(
        &self,
        name: &JobName,
        job: &EncodedJob,
    ) -> Result<Operation, FailedAttempt> {
        let message = UpdateEncodedJobRequest { job: job.bytes.clone() };
        let method = UPDATE_JOB.with_messages();
        self.start(&Call::new("update job", name, &method, Routing::location(name.location()), &message)).await
    }
}

/// `UpdateJobRequest`, on the wire.
#[derive(Clone, PartialEq, Message)]
struct UpdateEncodedJobRequest {
    /// A message and its bytes are the same on the wire.
    #[prost(bytes = "bytes", tag = "1")]
    job: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::run::v2::job::CreateExecution;

    #[test]
    fn a_field_is_set_and_everything_else_stays_known_or_not() {
        let before = Job { etag: "\"e\"".to_owned(), create_execution: run("old"), ..Job::default() };
        // Field 999, a string "new", that no proto of ours has.
        let unknown = [0xba, 0x3e, 3, b'n', b'e', b'w'];
        let bytes: Bytes = [&before.encode_to_vec()[..], &unknown].concat().into();
        let token = Some(CreateExecution::StartExecutionToken("t".to_owned()));
        let fields = Job { create_execution: token.clone(), ..Job::default() };
        let after = EncodedJob::decode(bytes.clone()).expect("a job").with(&fields).expect("a job");
        assert!(after.bytes.starts_with(&bytes));
        assert_eq!(after.known(), &Job { create_execution: token, ..before });
    }

    fn run(token: &str) -> Option<CreateExecution> {
        Some(CreateExecution::RunExecutionToken(token.to_owned()))
    }

    #[test]
    fn bytes_that_are_no_job_are_an_error() {
        assert!(EncodedJob::decode(Bytes::from_static(&[0xff; 3])).is_err());
    }
}
