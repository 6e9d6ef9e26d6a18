//! Callers, permissions, roles and policies (api-facts 4.1, 6).

use prost::Message as _;
use prost_types::{FileDescriptorSet, ServiceDescriptorProto};
use runjob::{
    emulator::{Emulator, EmulatorBuilder, Runtime, Simulation},
    proto::{
        DESCRIPTORS,
        iam::v1::{Binding, GetIamPolicyRequest, Policy, SetIamPolicyRequest, TestIamPermissionsRequest},
        longrunning::{GetOperationRequest, operations_client::OperationsClient},
        run::v2::{
            CreateJobRequest, Execution, GetExecutionRequest, GetJobRequest, ListExecutionsRequest, RunJobRequest,
            executions_client::ExecutionsClient, jobs_client::JobsClient, run_job_request::Overrides,
        },
    },
};
use tonic::{
    Code, Request, Status,
    codegen::http::uri::PathAndQuery,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_prost::ProstCodec;

use super::{LOCATION, args, channel, job, job_name, metadata};

const ALICE: &str = "user:alice@example.com";

/// Adds the routing header, and a token unless that is empty.
#[derive(Clone, Copy)]
struct As(&'static str);

impl Interceptor for As {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let headers = request.metadata_mut();
        headers.insert("x-goog-request-params", MetadataValue::from_static("location=us-central1"));
        if !self.0.is_empty() {
            headers.insert("authorization", MetadataValue::try_from(format!("Bearer {}", self.0)).expect("a header"));
        }
        Ok(request)
    }
}

type Jobs = JobsClient<InterceptedService<Channel, As>>;

/// The owner's token is `root`, Alice's is `alice`; she has only these grants.
async fn start(granted: &[&str]) -> (Emulator, Channel) {
    let builder = Emulator::builder().no_listener().runtime(Runtime::Simulated(Simulation::default()));
    let owned = builder.caller("root", "user:root@example.com").grant("user:root@example.com", "roles/owner");
    let grant = |builder: EmulatorBuilder, granted: &&str| builder.grant(ALICE, *granted);
    let emulator = granted.iter().fold(owned.caller("alice", ALICE), grant).start().await.expect("it starts");
    let channel = channel(&emulator).await;
    (emulator, channel)
}

fn jobs(channel: &Channel, token: &'static str) -> Jobs {
    JobsClient::with_interceptor(channel.clone(), As(token))
}

fn run(overrides: Option<Overrides>) -> RunJobRequest {
    RunJobRequest { name: job_name("echo"), overrides, ..RunJobRequest::default() }
}

fn denied(permission: &str, resource: &str) -> (Code, String) {
    let text = format!("Permission '{permission}' denied on resource '{resource}' (or resource may not exist).");
    (Code::PermissionDenied, text)
}

fn said(status: &Status) -> (Code, String) {
    (status.code(), status.message().to_owned())
}

fn invokers(member: &str) -> Policy {
    let role = "roles/run.invoker".to_owned();
    Policy { bindings: vec![Binding { role, members: vec![member.to_owned()], condition: None }], ..Policy::default() }
}

/// The paths of all methods of the services that the emulator serves, as the interface has them.
fn methods() -> Vec<String> {
    let all = FileDescriptorSet::decode(DESCRIPTORS).expect("it is one");
    let served = ["google.cloud.run.v2", "google.longrunning"];
    let files = all.file.into_iter().filter(|file| served.contains(&file.package()));
    let paths = files.flat_map(|file| {
        let of = move |package: &str, service: &ServiceDescriptorProto| -> Vec<String> {
            let path = |method: &str| format!("/{package}.{}/{method}", service.name());
            service.method.iter().map(|method| path(method.name())).collect()
        };
        file.service.iter().flat_map(|service| of(file.package(), service)).collect::<Vec<_>>()
    });
    paths.collect()
}

/// api-facts 6: no method is left out, also none that is added to the interface later.
#[tokio::test]
async fn every_method_asks_who_calls_and_what_for() {
    let (_emulator, channel) = start(&[]).await;
    let methods = methods();
    assert!(methods.len() > 18, "{methods:?}");
    for method in methods {
        for (token, expected) in
            [("", Code::Unauthenticated), ("nobody", Code::Unauthenticated), ("alice", Code::PermissionDenied)]
        {
            let expected = match method.rsplit('/').next() {
                // Not published.
                Some("CancelOperation") => Code::Unimplemented,
                // Tells what one may; here it goes on to find that the request is empty.
                Some("TestIamPermissions") if token == "alice" => Code::InvalidArgument,
                _ => expected,
            };
            let mut grpc = tonic::client::Grpc::new(InterceptedService::new(channel.clone(), As(token)));
            grpc.ready().await.expect("it takes calls");
            let path: PathAndQuery = method.parse().expect("a path");
            let answer = grpc.unary(Request::new(()), path, ProstCodec::<(), ()>::default()).await;
            assert_eq!(answer.map(|_| ()).expect_err(&method).code(), expected, "{method} as {token:?}");
        }
    }
}

/// api-facts 4.1, permission; 6: an invoker runs, without overrides and without any read.
#[tokio::test]
async fn an_invoker_may_run_and_nothing_else() {
    let (_emulator, channel) = start(&["roles/run.invoker"]).await;
    let mut alice = jobs(&channel, "alice");
    let operation = alice.run_job(run(None)).await.expect("she may").into_inner();
    // Some clients always send overrides; empty ones are none.
    alice.run_job(run(Some(Overrides::default()))).await.expect("she may");

    let status = alice.run_job(run(Some(args(&["x"])))).await.expect_err("not with overrides");
    assert_eq!(said(&status), denied("run.jobs.runWithOverrides", &job_name("echo")));
    let status = alice.get_job(GetJobRequest { name: job_name("missing") }).await.expect_err("she may not look");
    assert_eq!(said(&status), denied("run.jobs.get", &job_name("missing")));
    let mut operations = OperationsClient::with_interceptor(channel.clone(), As("alice"));
    let request = GetOperationRequest { name: operation.name.clone() };
    let status = operations.get_operation(request).await.expect_err("she may not look");
    assert_eq!(said(&status), denied("run.operations.get", &operation.name));
}

/// api-facts 4: `creator` is an e-mail address.
#[tokio::test]
async fn the_caller_is_the_creator() {
    let (_emulator, channel) = start(&["roles/run.developer", "roles/iam.serviceAccountUser"]).await;
    let mut alice = jobs(&channel, "alice");
    let execution: Execution = metadata(alice.run_job(run(None)).await.expect("she may").get_ref());
    assert_eq!(execution.creator, "alice@example.com");
    let request = CreateJobRequest {
        parent: LOCATION.to_owned(),
        job_id: "new".to_owned(),
        job: Some(job("echo", |_, _| {})),
        validate_only: false,
    };
    alice.create_job(request).await.expect("she may");
    let created = alice.get_job(GetJobRequest { name: job_name("new") }).await.expect("she may").into_inner();
    assert_eq!((created.creator.as_str(), created.last_modifier.as_str()), ("alice@example.com", "alice@example.com"));
}

/// api-facts 6: whoever defines a job needs to be allowed to act as its account.
#[tokio::test]
async fn a_developer_needs_the_service_account_to_define_a_job() {
    let (_emulator, channel) = start(&["roles/run.developer"]).await;
    let definition = job("echo", |_, task| task.service_account = "runner@demo.iam.gserviceaccount.com".to_owned());
    let request = CreateJobRequest {
        parent: LOCATION.to_owned(),
        job_id: "new".to_owned(),
        job: Some(definition),
        validate_only: false,
    };
    let status = jobs(&channel, "alice").create_job(request).await.expect_err("she may not");
    let text = "Permission 'iam.serviceaccounts.actAs' denied on service account \
                runner@demo.iam.gserviceaccount.com (or it may not exist).";
    assert_eq!(said(&status), (Code::PermissionDenied, text.to_owned()));
}

/// api-facts 6: a role on one job counts for that job and its executions.
#[tokio::test]
async fn a_policy_counts_for_its_job_only() {
    let (_emulator, channel) = start(&[]).await;
    let (mut root, mut alice) = (jobs(&channel, "root"), jobs(&channel, "alice"));
    alice.run_job(run(None)).await.expect_err("not yet");
    let mut policy = invokers(ALICE);
    policy.bindings.push(Binding { role: "roles/run.viewer".to_owned(), ..policy.bindings[0].clone() });
    let request = SetIamPolicyRequest { resource: job_name("echo"), policy: Some(policy.clone()), update_mask: None };
    let stored = root.set_iam_policy(request).await.expect("it may").into_inner();
    assert_eq!((stored.version, &stored.bindings), (1, &policy.bindings));

    let execution: Execution = metadata(alice.run_job(run(None)).await.expect("now").get_ref());
    let mut executions = ExecutionsClient::with_interceptor(channel.clone(), As("alice"));
    executions.get_execution(GetExecutionRequest { name: execution.name }).await.expect("it belongs to the job");
    let everywhere = ListExecutionsRequest { parent: job_name("-"), ..ListExecutionsRequest::default() };
    let status = executions.list_executions(everywhere).await.expect_err("of all jobs");
    assert_eq!(said(&status), denied("run.executions.list", &job_name("-")));
    let other = RunJobRequest { name: job_name("env"), ..RunJobRequest::default() };
    assert_eq!(alice.run_job(other).await.expect_err("another job").code(), Code::PermissionDenied);
}

/// google.iam.v1: an etag keeps two writers apart.
#[tokio::test]
async fn a_policy_is_replaced_only_from_its_current_state() {
    let (_emulator, channel) = start(&[]).await;
    let mut root = jobs(&channel, "root");
    let get = GetIamPolicyRequest { resource: job_name("echo"), options: None };
    let empty = root.get_iam_policy(get.clone()).await.expect("it may").into_inner();
    assert!(empty.bindings.is_empty() && !empty.etag.is_empty());
    let set = |etag: &[u8]| SetIamPolicyRequest {
        resource: job_name("echo"),
        policy: Some(Policy { etag: etag.to_vec(), ..invokers("allUsers") }),
        update_mask: None,
    };
    let first = root.set_iam_policy(set(&empty.etag)).await.expect("it is current").into_inner();
    assert_eq!(root.get_iam_policy(get).await.expect("it may").into_inner(), first);
    let status = root.set_iam_policy(set(&empty.etag)).await.expect_err("it is old");
    assert_eq!(status.code(), Code::Aborted);
    let second = root.set_iam_policy(set(&[])).await.expect("it does not care").into_inner();
    assert_ne!(second.etag, first.etag);
}

#[tokio::test]
async fn a_policy_of_unknown_roles_or_members_is_refused() {
    let (_emulator, channel) = start(&[]).await;
    let mut root = jobs(&channel, "root");
    let mut set = async |resource: &str, policy| {
        let request = SetIamPolicyRequest { resource: job_name(resource), policy: Some(policy), update_mask: None };
        root.set_iam_policy(request).await.map(|_| ()).map_err(|status| status.code())
    };
    let mut wrong = invokers(ALICE);
    wrong.bindings[0].role = "roles/run.invokr".to_owned();
    assert_eq!(set("echo", wrong.clone()).await, Err(Code::InvalidArgument));
    assert_eq!(set("echo", invokers("alice")).await, Err(Code::InvalidArgument));
    wrong.bindings[0].role = "projects/demo/roles/own".to_owned();
    assert_eq!(set("echo", wrong).await, Ok(()));
    assert_eq!(set("missing", invokers(ALICE)).await, Err(Code::NotFound));
}

#[tokio::test]
async fn the_permissions_that_one_has_are_told() {
    let (_emulator, channel) = start(&["roles/run.invoker"]).await;
    let mut alice = jobs(&channel, "alice");
    let mut test = async |resource: &str, permissions: &[&str]| {
        let permissions = permissions.iter().map(|name| (*name).to_owned()).collect();
        let request = TestIamPermissionsRequest { resource: job_name(resource), permissions };
        alice.test_iam_permissions(request).await.map(|answer| answer.into_inner().permissions)
    };
    let asked = ["run.jobs.run", "run.jobs.delete"];
    assert_eq!(test("echo", &asked).await.expect("anybody may ask"), ["run.jobs.run"]);
    assert_eq!(test("missing", &asked).await.expect("anybody may ask"), [""; 0]);
    assert_eq!(test("echo", &["run.jobs.*"]).await.expect_err("no permission").code(), Code::InvalidArgument);
}

/// DESIGN 1.4: without callers there is no set-up.
#[tokio::test]
async fn without_callers_everybody_may_do_everything() {
    let emulator = Emulator::builder().no_listener().start().await.expect("it starts");
    let mut nobody = jobs(&channel(&emulator).await, "");
    nobody.get_job(GetJobRequest { name: job_name("echo") }).await.expect("nobody is asked");
    let permissions = vec!["run.jobs.delete".to_owned()];
    let request = TestIamPermissionsRequest { resource: job_name("echo"), permissions: permissions.clone() };
    assert_eq!(nobody.test_iam_permissions(request).await.expect("anybody").into_inner().permissions, permissions);
}

#[tokio::test]
async fn a_wrong_grant_is_named_at_the_start() {
    let error = Emulator::builder().grant(ALICE, "run.viewer").start().await.expect_err("no role");
    assert!(error.to_string().contains("'run.viewer'"), "{error}");
}
