"""Policies of jobs, and jobs that start with their definition."""

from conftest import echo_job, refused
from google.iam.v1 import iam_policy_pb2, policy_pb2


def test_a_policy_is_read_and_replaced_with_its_etag(jobs, own_job):
    before = jobs.get_iam_policy(iam_policy_pb2.GetIamPolicyRequest(resource=own_job.name))
    binding = policy_pb2.Binding(role="roles/run.invoker", members=["serviceAccount:backend@example.com"])
    change = iam_policy_pb2.SetIamPolicyRequest(
        resource=own_job.name, policy=policy_pb2.Policy(bindings=[binding], etag=before.etag)
    )

    stored = jobs.set_iam_policy(change)

    assert not before.bindings
    assert list(stored.bindings) == [binding]
    assert jobs.get_iam_policy(iam_policy_pb2.GetIamPolicyRequest(resource=own_job.name)) == stored
    with refused("ABORTED", "concurrent policy changes"):
        jobs.set_iam_policy(change)


def test_permissions_can_be_tested(jobs, own_job):
    request = iam_policy_pb2.TestIamPermissionsRequest(resource=own_job.name, permissions=["run.jobs.run"])

    assert list(jobs.test_iam_permissions(request).permissions) == ["run.jobs.run"]


def test_a_token_runs_the_job_and_the_operation_waits_for_it(jobs, executions, location, job_id):
    job = echo_job()
    job.run_execution_token = "once"

    created = jobs.create_job(parent=location, job=job, job_id=job_id).result(timeout=30)
    execution = executions.get_execution(name=f"{created.name}/executions/{job_id}-once")

    assert not created.reconciling
    assert created.run_execution_token == "once"
    assert execution.succeeded_count == 1
    jobs.delete_job(name=created.name).result(timeout=30)
