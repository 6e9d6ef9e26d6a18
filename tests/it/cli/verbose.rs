//! `-v`: each RPC on stderr with its status and its time, and no secret.

use runjob::emulator::{Fault, Rpc};
use tonic::Status;

use super::place::Place;

/// The lines about RPCs without their times.
fn calls(stderr: &str) -> Vec<String> {
    let lines = stderr.lines().filter(|line| line.starts_with("rpc: google"));
    lines.map(|line| line.rsplitn(3, ' ').last().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rpc_is_a_line_with_its_status_and_no_secret() {
    let place = Place::new().await;
    let ran = place.ran("-v execute echo --args=hunter2 --update-env-vars=A=hunter2 --start-key=k");
    let expected = [
        "rpc: google.cloud.run.v2.Jobs/GetJob OK",
        "rpc: google.cloud.run.v2.Executions/ListExecutions OK",
        "rpc: google.cloud.run.v2.Jobs/RunJob OK",
    ];
    assert_eq!((ran.status, calls(&ran.stderr)), (0, expected.map(str::to_owned).to_vec()), "{ran:#?}");
    assert!(ran.stderr.lines().any(|line| line.starts_with("rpc: connected")), "{ran:#?}");
    assert!(!ran.stderr.contains("hunter2") && !ran.stdout.contains("rpc:"), "{ran:#?}");
    assert!(ran.stderr.lines().filter(|line| line.starts_with("rpc: google")).all(|line| line.ends_with(" ms")));

    place.emulator.fault(Fault::before(Rpc::GetJob).answer(Status::permission_denied("no")).times(1));
    let refused = place.ran("jobs describe echo -v");
    let expected = ["rpc: google.cloud.run.v2.Jobs/GetJob PERMISSION_DENIED".to_owned()];
    assert_eq!((refused.status, calls(&refused.stderr)), (6, expected.to_vec()), "{refused:#?}");
    assert!(!place.ran("jobs list").stderr.contains("rpc:"));
}
