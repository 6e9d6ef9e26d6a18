"""RunJob: what a run is started with, and what its operation says at the end."""

from datetime import timedelta

import pytest
from conftest import completed, refused
from google.api_core import exceptions
from google.cloud import run_v2
from google.protobuf.duration_pb2 import Duration

Overrides = run_v2.RunJobRequest.Overrides
ContainerOverride = Overrides.ContainerOverride
SUCCEEDED = run_v2.Condition.State.CONDITION_SUCCEEDED
FAILED = run_v2.Condition.State.CONDITION_FAILED


def run(jobs, name, args=(), env=None, clear_args=False, **overrides):
    variables = [run_v2.EnvVar(name=name, value=value) for name, value in (env or {}).items()]
    container = ContainerOverride(args=args, env=variables, clear_args=clear_args)
    request = run_v2.RunJobRequest(name=name, overrides=Overrides(container_overrides=[container], **overrides))
    return jobs.run_job(request=request)


def only_task(tasks, execution):
    (task,) = tasks.list_tasks(parent=execution.name)
    return task


def test_a_run_with_arguments_succeeds_and_returns_its_execution(jobs, sample):
    operation = run(jobs, sample("echo"), args=["hello", "python"])

    execution = operation.result(timeout=60)

    assert isinstance(execution, run_v2.Execution)
    assert execution.template.containers[0].args == ["hello", "python"]
    assert (execution.task_count, execution.succeeded_count, execution.failed_count) == (1, 1, 0)
    assert completed(execution).state == SUCCEEDED
    assert execution.completion_time >= execution.start_time >= execution.create_time


def test_a_run_with_every_override_of_a_blog_post_succeeds(jobs, sample):
    operation = run(
        jobs,
        sample("echo"),
        args=["hello", "python"],
        env={"MODE": "full"},
        task_count=1,
        timeout=Duration(seconds=1),
    )

    execution = operation.result(timeout=60)

    container = execution.template.containers[0]
    assert container.args == ["hello", "python"]
    assert [(variable.name, variable.value) for variable in container.env] == [("MODE", "full")]
    assert execution.task_count == 1
    assert execution.template.timeout == timedelta(seconds=1)
    assert completed(execution).state == SUCCEEDED


def test_a_run_without_overrides_is_as_the_job_says(jobs, own_job):
    execution = jobs.run_job(name=own_job.name).result(timeout=60)

    assert execution.template.containers[0].args == ["from", "the", "job"]
    assert execution.job == own_job.name.rsplit("/", 1)[1]


def test_an_override_leaves_the_job_as_it_was(jobs, own_job):
    run(jobs, own_job.name, args=["other"], env={"A": "1"}, task_count=2).result(timeout=60)

    template = jobs.get_job(name=own_job.name).template
    assert template.template.containers[0].args == ["from", "the", "job"]
    assert not template.template.containers[0].env
    assert template.task_count == 1


def test_arguments_can_be_cleared(jobs, own_job):
    execution = run(jobs, own_job.name, clear_args=True).result(timeout=60)

    assert not execution.template.containers[0].args


def test_every_task_of_a_run_is_accounted_for(jobs, tasks, own_job):
    execution = run(jobs, own_job.name, task_count=3).result(timeout=60)

    assert (execution.task_count, execution.succeeded_count) == (3, 3)
    assert sorted(task.index for task in tasks.list_tasks(parent=execution.name)) == [0, 1, 2]


def test_the_metadata_is_the_execution_from_the_first_answer_on(jobs, executions, sample):
    operation = run(jobs, sample("sleep"), args=["60"])

    started = operation.metadata
    assert isinstance(started, run_v2.Execution)
    assert started.name.startswith(sample("sleep") + "/executions/sleep-")
    assert started.uid
    assert not operation.done()

    executions.cancel_execution(name=started.name)
    operation.result(timeout=60)
    assert operation.metadata.name == started.name
    assert operation.metadata.completion_time


def test_a_failing_task_raises_aborted_and_leaves_its_exit_code(jobs, tasks, sample):
    operation = run(jobs, sample("fail"), args=["3"])

    with pytest.raises(exceptions.Aborted, match="task0 failed with exit code: 3 and message: The container exited"):
        operation.result(timeout=60)

    execution = operation.metadata
    assert execution.failed_count == 1
    assert completed(execution).state == FAILED
    assert completed(execution).execution_reason == run_v2.Condition.ExecutionReason.NON_ZERO_EXIT_CODE
    result = only_task(tasks, execution).last_attempt_result
    assert (result.exit_code, result.status.code) == (3, 10)


def test_a_task_that_takes_too_long_raises_deadline_exceeded(jobs, tasks, sample):
    operation = run(jobs, sample("sleep"), args=["60"], timeout=Duration(seconds=1))

    with pytest.raises(exceptions.DeadlineExceeded, match="The configured timeout was reached."):
        operation.result(timeout=60)

    execution = operation.metadata
    assert execution.failed_count == 1
    assert completed(execution).state == FAILED
    assert not completed(execution).execution_reason
    assert only_task(tasks, execution).last_attempt_result.status.code == 4


def test_a_task_that_fails_once_is_tried_again_and_succeeds(jobs, tasks, sample):
    execution = jobs.run_job(name=sample("flaky")).result(timeout=60)

    assert (execution.succeeded_count, execution.retried_count) == (1, 1)
    assert only_task(tasks, execution).retried == 1


def test_a_cancelled_run_returns_without_an_error(jobs, executions, tasks, sample):
    operation = run(jobs, sample("sleep"), args=["60"])

    cancelled = executions.cancel_execution(name=operation.metadata.name).result(timeout=60)
    execution = operation.result(timeout=60)

    assert cancelled.name == execution.name
    assert completed(execution).state == FAILED
    assert completed(execution).execution_reason == run_v2.Condition.ExecutionReason.CANCELLED
    assert (execution.cancelled_count, execution.succeeded_count) == (1, 0)
    assert only_task(tasks, execution).last_attempt_result.status.code == 1


def test_a_run_that_has_ended_cannot_be_cancelled(jobs, executions, sample):
    execution = jobs.run_job(name=sample("echo")).result(timeout=60)

    with refused("FAILED_PRECONDITION", match="cannot be cancelled because it is not running"):
        executions.cancel_execution(name=execution.name)


def test_a_missing_job_is_not_found(jobs, sample):
    with refused("NOT_FOUND", match="Resource 'missing' of kind 'JOB' in region 'us-central1'"):
        jobs.run_job(name=sample("missing"))


def test_an_override_for_a_container_that_does_not_exist_starts_nothing(jobs, executions, location, job_id):
    image = "us-docker.pkg.dev/runjob/samples/echo"
    containers = [run_v2.Container(name=name, image=image) for name in ("main", "sidecar")]
    job = run_v2.Job(template=run_v2.ExecutionTemplate(template=run_v2.TaskTemplate(containers=containers)))
    job = jobs.create_job(parent=location, job=job, job_id=job_id).result(timeout=30)
    override = ContainerOverride(name="other", args=["x"])

    with refused("INVALID_ARGUMENT"):
        jobs.run_job(request=run_v2.RunJobRequest(name=job.name, overrides=Overrides(container_overrides=[override])))

    assert not list(executions.list_executions(parent=job.name))
    jobs.delete_job(name=job.name).result(timeout=30)


def test_a_task_count_below_zero_is_refused(jobs, sample):
    with refused("INVALID_ARGUMENT"):
        run(jobs, sample("echo"), task_count=-1)
