//! GetJob and UpdateJob with the job as its bytes, for changing one field of a job that may have fields that our protos
//! do not know: decoding and encoding would drop those, and the update would remove them from the job.

use bytes::{Buf as _, Bytes, BytesMut};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::{
    Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

use super::answer::{Named, about};
use crate::{
    call::{Call, Caller, Failure},
    error::{Error, ErrorKind, Result},
    name::JobName,
    proto::{
        longrunning::Operation,
        run::v2::{GetJobRequest, Job},
    },
    transport::{Routing, Transport},
};

/// A job as the service sent it.
#[derive(Clone, Debug)]
pub(crate) struct EncodedJob {
    bytes: Bytes,
    known: Box<Job>,
}

impl EncodedJob {
    fn decode(bytes: Bytes) -> Result<Self> {
        let known = Job::decode(bytes.clone()).map_err(|cause| {
            Error::new(ErrorKind::Protocol, "the service answered with bytes that are no job").with_source(cause)
        })?;
        Ok(Self { bytes, known: Box::new(known) })
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
        Self::decode(bytes.freeze())
    }
}

impl Named for EncodedJob {
    fn name(&self) -> &str {
        &self.known.name
    }
}

impl Caller {
    pub(crate) async fn get_encoded_job(&self, name: &JobName) -> Result<EncodedJob> {
        let call =
            Call::new("read job", name, Routing::location(name.location()), GetJobRequest { name: name.to_string() });
        let bytes = self.read(&call, &|transport, request| async move {
            let path = PathAndQuery::from_static("/google.cloud.run.v2.Jobs/GetJob");
            ready(transport).await?.unary(request, path, BytesCodec).await
        });
        let job = EncodedJob::decode(bytes.await?).map_err(|error| error.doing("read job", name))?;
        about("read job", name, job)
    }

    /// A failure says what is known of its effect.
    pub(crate) async fn update_encoded_job(&self, name: &JobName, job: &EncodedJob) -> Result<Operation, Failure> {
        let message = UpdateEncodedJobRequest { job: job.bytes.clone() };
        let call = Call::new("update job", name, Routing::location(name.location()), message);
        self.start(&call, &|transport, request| async move {
            let path = PathAndQuery::from_static("/google.cloud.run.v2.Jobs/UpdateJob");
            let codec = ProstCodec::<UpdateEncodedJobRequest, Operation>::default();
            ready(transport).await?.unary(request, path, codec).await
        })
        .await
    }
}

/// `UpdateJobRequest`, on the wire.
#[derive(Clone, PartialEq, Message)]
struct UpdateEncodedJobRequest {
    /// A message and its bytes are the same on the wire.
    #[prost(bytes = "bytes", tag = "1")]
    job: Bytes,
}

async fn ready(transport: Transport) -> Result<Grpc<Transport>, Status> {
    let mut stub = Grpc::new(transport);
    stub.ready().await.map_err(Status::from_error)?;
    Ok(stub)
}

/// Sends a message, and leaves the answer as it is.
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = GetJobRequest;
    type Decode = Bytes;
    type Encoder = ProstEncoder<GetJobRequest>;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
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
        let after = EncodedJob::decode(bytes.clone()).and_then(|job| job.with(&fields)).expect("a job");
        assert!(after.bytes.starts_with(&bytes));
        assert_eq!(after.known(), &Job { create_execution: token, ..before });
    }

    fn run(token: &str) -> Option<CreateExecution> {
        Some(CreateExecution::RunExecutionToken(token.to_owned()))
    }

    #[test]
    fn bytes_that_are_no_job_are_none() {
        let error = EncodedJob::decode(Bytes::from_static(&[0xff; 3])).expect_err("garbage");
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }
}
