//! The floor: the h2 crate, prost, and the headers that the client sends. No pool, no deadline, no second try.

use std::sync::LazyLock;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::client::{self, SendRequest};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message;
use runjob::proto::longrunning::Operation;
use tokio::net::TcpStream;

use super::{API_CLIENT, Lane, USER_AGENT, expect, poll, start};
use crate::Result;

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The headers that are the same for every call.
static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    HeaderMap::from_iter([
        (header::TE, HeaderValue::from_static("trailers")),
        (header::CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
        (HeaderName::from_static("grpc-timeout"), HeaderValue::from_static("60S")),
        (HeaderName::from_static("x-goog-api-client"), HeaderValue::from_static(API_CLIENT)),
        (header::USER_AGENT, HeaderValue::from_static(USER_AGENT)),
    ])
});

/// A lane; its clones share a connection.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    connection: SendRequest<Bytes>,
    run_job: Uri,
    get_operation: Uri,
}

impl Raw {
    pub(super) async fn connect(address: &str) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        // The windows of hyper, so that no arm waits for the server's reading more often than another.
        let mut settings = client::Builder::new();
        settings.initial_window_size(2 << 20).initial_connection_window_size(5 << 20);
        let (connection, driver) = settings.handshake(socket).await?;
        tokio::spawn(driver);
        let uri = |path| format!("http://{address}/{path}").parse::<Uri>();
        Ok(Self {
            connection,
            run_job: uri("google.cloud.run.v2.Jobs/RunJob")?,
            get_operation: uri("google.longrunning.Operations/GetOperation")?,
        })
    }

    async fn unary(&mut self, uri: Uri, params: HeaderValue, message: &impl Message) -> Result<Operation> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri;
        request.headers_mut().clone_from(&HEADERS);
        request.headers_mut().insert("x-goog-request-params", params);
        // The handle of the lane itself stays ready; a clone would be a new one.
        std::future::poll_fn(|cx| self.connection.poll_ready(cx)).await?;
        let (response, mut body) = self.connection.send_request(request, false)?;
        body.send_data(framed(message), true)?;
        let mut answer = response.await?.into_body();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = answer.data().await {
            let chunk = chunk?;
            answer.flow_control().release_capacity(chunk.len())?;
            bytes.extend_from_slice(&chunk);
        }
        let trailers = answer.trailers().await?.unwrap_or_default();
        if trailers.get("grpc-status").is_none_or(|status| status != "0") || bytes.len() < 5 {
            return Err(format!("not answered: {trailers:?}").into());
        }
        bytes.advance(5);
        Ok(Operation::decode(bytes)?)
    }
}

impl Lane for Raw {
    async fn pair(&mut self) -> Result<()> {
        let location = HeaderValue::from_static("location=us-central1");
        let started = self.unary(self.run_job.clone(), location, &start()).await?;
        expect(&started)?;
        let name = HeaderValue::try_from(format!("name={}", utf8_percent_encode(&started.name, RESERVED)))?;
        expect(&self.unary(self.get_operation.clone(), name, &poll(&started)).await?)
    }
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(length as u32);
    message.encode_raw(&mut frame);
    frame.freeze()
}
