"""Google's clients, unchanged but for the channel: plaintext to the emulator, with no credentials.

Knows where the emulator is (`RUN_EMULATOR_HOST`) and which sample jobs it has.
"""

import os
import uuid

import grpc
import pytest
from google.cloud import run_v2
from google.cloud.run_v2.services.executions.transports import ExecutionsGrpcTransport
from google.cloud.run_v2.services.jobs.transports import JobsGrpcTransport
from google.cloud.run_v2.services.tasks.transports import TasksGrpcTransport

LOCATION = "projects/demo/locations/us-central1"


@pytest.fixture(scope="session")
def address():
    return os.environ["RUN_EMULATOR_HOST"]


@pytest.fixture(scope="session")
def channel(address):
    with grpc.insecure_channel(address) as channel:
        yield channel


@pytest.fixture(scope="session")
def jobs(channel):
    return run_v2.JobsClient(transport=JobsGrpcTransport(channel=channel))


@pytest.fixture(scope="session")
def executions(channel):
    return run_v2.ExecutionsClient(transport=ExecutionsGrpcTransport(channel=channel))


@pytest.fixture(scope="session")
def tasks(channel):
    return run_v2.TasksClient(transport=TasksGrpcTransport(channel=channel))


@pytest.fixture(scope="session")
def location():
    return LOCATION


@pytest.fixture(scope="session")
def sample():
    """Full name of one of the emulator's sample jobs."""
    return lambda job_id: f"{LOCATION}/jobs/{job_id}"


@pytest.fixture
def job_id():
    """An id that no other test uses."""
    return f"official-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def own_job(jobs, job_id):
    """A job of this test alone, which runs `echo`; deleted in the end."""
    job = jobs.create_job(parent=LOCATION, job=echo_job(), job_id=job_id).result(timeout=30)
    yield job
    jobs.delete_job(name=job.name).result(timeout=30)


def echo_job(**template):
    """A job whose one container runs the sample image `echo`."""
    container = run_v2.Container(image="us-docker.pkg.dev/runjob/samples/echo", args=["from", "the", "job"])
    task = run_v2.TaskTemplate(containers=[container])
    return run_v2.Job(template=run_v2.ExecutionTemplate(template=task, **template))


def completed(execution):
    """The condition that tells how an execution ended."""
    return next(condition for condition in execution.conditions if condition.type_ == "Completed")
