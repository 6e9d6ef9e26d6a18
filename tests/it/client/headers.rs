//! What a request carries, and to whom a token may go.

use std::time::Duration;

use runjob::{Client, Credentials, ErrorKind, JobName};

use super::frames;

#[tokio::test]
async fn a_token_is_not_sent_in_plaintext_to_another_machine() {
    let token = Credentials::access_token("canary").expect("a token");
    let build = |endpoint: &str| Client::builder().endpoint(endpoint).credentials(token.clone()).build();
    let error = build("http://192.0.2.1:80").await.expect_err("plaintext");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(!error.to_string().contains("canary"));
    assert!(build("http://127.0.0.1:1").await.is_ok());
    assert!(build("https://192.0.2.1").await.is_ok());
}

#[tokio::test]
async fn every_request_carries_the_headers_that_google_wants_and_a_token_none_can_see() {
    let (seen, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let peer = frames::raw(move |socket| {
        let seen = seen.clone();
        async move {
            let Ok(mut connection) = h2::server::handshake(socket).await else { return Ok(()) };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let _ = seen.send(request.headers().clone());
                let head =
                    http::Response::builder().header("content-type", "application/grpc").header("grpc-status", "5");
                let _ = respond.send_response(head.body(()).expect("a head"), true);
            }
            Ok(())
        }
    })
    .await;
    let client = Client::builder()
        .endpoint(format!("http://{}", peer.address))
        .credentials(Credentials::access_token("canary").expect("a token"))
        .quota_project("payer")
        .rpc_timeout(Duration::MAX)
        .build()
        .await
        .expect("a client");
    let job: JobName = "projects/acme/locations/us-central1/jobs/echo".parse().expect("a job name");
    let execution = job.execution("echo-abcde").expect("a name");
    let _ = client.run(&job).start().await;
    let _ = client.execution(&execution).await;

    let start = requests.recv().await.expect("a start");
    assert_eq!(start["x-goog-request-params"], "location=us-central1");
    assert_eq!(start["authorization"], "Bearer canary");
    assert_eq!(start["x-goog-user-project"], "payer");
    assert!(start["user-agent"].to_str().expect("text").starts_with("runjob/"));
    assert!(start["x-goog-api-client"].to_str().expect("text").starts_with("gccl/"));
    assert!(start.contains_key("grpc-timeout"));
    let read = requests.recv().await.expect("a read");
    assert_eq!(read["grpc-timeout"], "86400000m", "a day is the most, and a timeout has eight digits at most");
    assert_eq!(
        read["x-goog-request-params"],
        "name=projects%2Facme%2Flocations%2Fus-central1%2Fjobs%2Fecho%2Fexecutions%2Fecho-abcde"
    );
    assert!(!format!("{client:?}").contains("canary"));
}
