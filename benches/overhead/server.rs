//! The neutral server: answers every call with the same bytes. Knows no method and keeps no state, so that all arms meet
//! the same work; it is a process of its own, so that its processor time is not the client's.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
    thread,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Response};
use prost::{Message as _, Name as _};
use runjob::proto::{
    longrunning::Operation,
    run::v2::{Condition, Container, EnvVar, Execution, TaskTemplate, condition},
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
};

use crate::Result;

pub(crate) const JOB: &str = "projects/demo/locations/us-central1/jobs/echo";
pub(crate) const OPERATION: &str =
    "projects/demo/locations/us-central1/operations/8f8b5f1a-3d0f-4c3f-9d55-6f0c4a1f2b7e";

/// The argument that makes this program the server.
pub(crate) const FLAG: &str = "--serve";

/// A server in a child process, until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        let mut child = command.arg(FLAG).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut address)?;
        }
        Ok(Self { child, address: address.trim().to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prints the address and serves until standard input is closed.
pub(crate) fn serve() -> Result<()> {
    // A parent that dies without saying so closes the pipe.
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", listener.local_addr()?);
        io::stdout().flush()?;
        let answer = framed(&operation());
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            tokio::spawn(connection(socket, answer.clone()));
        }
    })
}

async fn connection(socket: TcpStream, answer: Bytes) {
    let handshake = h2::server::Builder::new()
        .initial_window_size(2 << 20)
        .initial_connection_window_size(16 << 20)
        .max_concurrent_streams(1_024)
        .handshake(socket);
    let Ok(mut connection) = handshake.await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        // The client gives up the connection when it is done, and the calls on it with that.
        tokio::spawn(respond_to(request.into_body(), respond, answer.clone()));
    }
}

async fn respond_to(
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    answer: Bytes,
) -> std::result::Result<(), h2::Error> {
    while let Some(chunk) = body.data().await {
        body.flow_control().release_capacity(chunk?.len())?;
    }
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(answer, false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}

/// A message with the five bytes before it.
fn framed(message: &Operation) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.encoded_len() as u32);
    message.encode_raw(&mut frame);
    frame.freeze()
}

/// What RunJob answers for a small job: 1,188 bytes.
fn operation() -> Operation {
    let execution = execution();
    Operation {
        name: OPERATION.to_owned(),
        metadata: Some(prost_types::Any { type_url: Execution::type_url(), value: execution.encode_to_vec() }),
        ..Operation::default()
    }
}

fn execution() -> Execution {
    let now = prost_types::Timestamp { seconds: 1_795_651_200, nanos: 123_456_000 };
    let variable = |number: usize| EnvVar {
        name: format!("SETTING_{number}"),
        values: Some(runjob::proto::run::v2::env_var::Values::Value("a value of the usual length".to_owned())),
    };
    let container = Container {
        image: "us-docker.pkg.dev/demo/images/echo@sha256:0f5a2c1e6b7d8f90".to_owned(),
        args: vec!["hello".to_owned()],
        env: (0..7).map(variable).collect(),
        ..Container::default()
    };
    let condition = |kind: &str| Condition {
        r#type: kind.to_owned(),
        state: condition::State::ConditionPending.into(),
        message: "Waiting for the execution to start.".to_owned(),
        last_transition_time: Some(now),
        ..Condition::default()
    };
    Execution {
        name: format!("{JOB}/executions/echo-x7k2p"),
        uid: "5b0b3a4e-54a5-4a54-a7a8-3d8f3e1c2d10".to_owned(),
        creator: "someone@example.com".to_owned(),
        generation: 1,
        labels: [("team", "pictures"), ("stage", "production")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        create_time: Some(now),
        update_time: Some(now),
        job: JOB.to_owned(),
        parallelism: 1,
        task_count: 1,
        template: Some(TaskTemplate { containers: vec![container], ..TaskTemplate::default() }),
        conditions: ["Completed", "ResourcesAvailable", "Started"].map(condition).into(),
        observed_generation: 1,
        log_uri: "https://console.cloud.google.com/logs/viewer?project=demo".to_owned(),
        etag: "\"CIDf8rsGEMDW2AM/cHJvamVjdHMvZGVtbw\"".to_owned(),
        ..Execution::default()
    }
}
