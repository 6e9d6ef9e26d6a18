//! What a backend's `tracing` subscriber gets to see: a span for each verb and each attempt, events, and no secret.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use runjob::{
    Client, Credentials,
    emulator::{Emulator, Fault, Rpc},
};
use tonic::Status;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

use super::runs::job;

/// All that was logged, a line for each event and for each span that was closed.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Logs what this thread does.
    fn begin() -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        let subscriber = subscriber.with_span_events(FmtSpan::CLOSE).with_writer(log.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned()
    }

    /// How many lines have all of these parts.
    fn count(&self, parts: &[&str]) -> usize {
        self.text().lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn each_verb_and_each_attempt_is_a_span_with_the_fields_of_opentelemetry() {
    let emulator = Emulator::builder().listen("127.0.0.1:0".parse().expect("an address")).start().await;
    let emulator = emulator.expect("an emulator");
    let endpoint = format!("http://{}", emulator.addr().expect("a port"));
    let (log, _guard) = Log::begin();
    let token = Credentials::access_token("canary-token").expect("a token");
    let client = Client::builder().endpoint(endpoint).credentials(token).build().await.expect("a client");
    let start = client.run(&job("echo")).env("SECRET", "canary-value").args(["canary-argument"]);
    let run = start.start().await.expect("started");
    emulator.fault(Fault::before(Rpc::GetExecution).answer(Status::unavailable("later")).times(1));
    client.execution(run.execution()).await.expect("at the second attempt");

    let start = ["start{resource=projects/demo/locations/us-central1/jobs/echo}:rpc{", "}: runjob: close"];
    assert_eq!(log.count(&start), 1, "{}", log.text());
    let fields = [
        "otel.kind=\"client\"",
        "rpc.system.name=\"grpc\"",
        "rpc.method=\"google.cloud.run.v2.Jobs/RunJob\"",
        "server.address=\"127.0.0.1\"",
        "server.port=",
        "rpc.response.status_code=\"OK\"",
    ];
    assert_eq!(log.count(&[&start[..], &fields].concat()), 1, "{}", log.text());
    let read = ["execution{", "rpc.method=\"google.cloud.run.v2.Executions/GetExecution\"", "}: runjob: close"];
    assert_eq!(log.count(&read), 2, "{}", log.text());
    let refused = ["rpc.response.status_code=\"UNAVAILABLE\"", "error.type=Service"];
    assert_eq!(log.count(&[&read[..], &refused].concat()), 1, "{}", log.text());
    assert_eq!(log.count(&["execution{", "retry", "pause="]), 1, "{}", log.text());
    assert_eq!(log.count(&["runjob: connected"]), 1, "{}", log.text());
    assert!(!log.text().contains("canary"), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn an_adoption_a_fallback_to_polling_and_a_new_connection_are_events() {
    let emulator = Emulator::builder().no_listener().start().await.expect("an emulator");
    let (log, _guard) = Log::begin();
    let client = Client::builder().connector(emulator.connector()).build().await.expect("a client");
    let start = || client.run(&job("echo")).start_key("order-1".parse().expect("a key"));
    let mut run = start().start().await.expect("started");
    assert_eq!(log.count(&["adopted"]), 0);
    start().start().await.expect("adopted");
    assert_eq!(log.count(&["adopted", run.execution().id()]), 1, "{}", log.text());

    emulator.fault(Fault::before(Rpc::WaitOperation).answer(Status::unimplemented("no")).times(1));
    emulator.fault(Fault::before(Rpc::GetOperation).drop_connection().times(1));
    run.wait().await.expect("waited");
    assert_eq!(log.count(&["wait{", "WaitOperation is not served; polling"]), 1, "{}", log.text());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((log.count(&["runjob: connected"]), log.count(&["runjob: disconnected"])), (2, 1), "{}", log.text());
}
