"""Operations: asked about by name, as another process would."""

from conftest import refused
from google.cloud import run_v2
from google.longrunning.operations_pb2 import Operation
from google.protobuf.duration_pb2 import Duration


def execution_in(message):
    """The execution that an `Any` of an operation holds."""
    assert message.type_url == "type.googleapis.com/google.cloud.run.v2.Execution"
    return run_v2.Execution.deserialize(message.value)


def wait(jobs, operation, timeout):
    """WaitOperation. Over gRPC, this version of the client gives back the encoded reply, and does not decode it itself."""
    reply = jobs.wait_operation({"name": operation.operation.name, "timeout": timeout}, timeout=60)
    return reply if isinstance(reply, Operation) else Operation.FromString(reply)


def run_for_a_minute(jobs, sample):
    overrides = {"container_overrides": [{"args": ["60"]}]}
    return jobs.run_job(request={"name": sample("sleep"), "overrides": overrides})


def test_an_operation_can_be_read_by_name_after_its_end(jobs, sample):
    operation = jobs.run_job(name=sample("echo"))
    execution = operation.result(timeout=60)

    read = jobs.get_operation({"name": operation.operation.name})

    assert read.done
    assert execution_in(read.metadata).name == execution.name
    assert execution_in(read.response) == execution


def test_waiting_returns_once_the_run_has_ended(jobs, sample):
    operation = jobs.run_job(name=sample("echo"))

    waited = wait(jobs, operation, Duration(seconds=30))

    assert waited.done
    assert execution_in(waited.response).succeeded_count == 1


def test_waiting_returns_an_operation_that_goes_on_when_the_time_is_over(jobs, executions, sample):
    operation = run_for_a_minute(jobs, sample)

    waited = wait(jobs, operation, Duration(nanos=1000))

    assert not waited.done
    executions.cancel_execution(name=operation.metadata.name)


def test_operations_are_listed_for_a_location(jobs, location, sample):
    started = jobs.run_job(name=sample("echo"))

    listed = jobs.list_operations({"name": location, "page_size": 1000})

    assert started.operation.name in [operation.name for operation in listed.operations]


def test_a_deleted_operation_is_gone_but_its_execution_is_not(jobs, executions, sample):
    operation = jobs.run_job(name=sample("echo"))
    execution = operation.result(timeout=60)

    jobs.delete_operation({"name": operation.operation.name})

    with refused("NOT_FOUND"):
        jobs.get_operation({"name": operation.operation.name})
    assert executions.get_execution(name=execution.name).succeeded_count == 1


def test_an_operation_cannot_be_cancelled_as_such(jobs, executions, sample):
    operation = run_for_a_minute(jobs, sample)

    with refused("UNIMPLEMENTED"):
        operation.cancel()

    executions.cancel_execution(name=operation.metadata.name)
