"""Google's clients over both of their transports, unchanged but for the way: plaintext to the emulator, no credentials.

Knows where the emulator is (`RUN_EMULATOR_HOST`) and which sample jobs it has.
"""

import os
import uuid
from contextlib import contextmanager

import grpc
import pytest
import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import run_v2

LOCATION = "projects/demo/locations/us-central1"


@pytest.fixture(scope="session")
def address():
    return os.environ["RUN_EMULATOR_HOST"]


@pytest.fixture(scope="session", params=["grpc", "rest"])
def connect(request, address):
    """Makes a client of a class, over one of its transports."""
    with grpc.insecure_channel(address) as channel:
        ways = {
            "grpc": {"channel": channel},
            "rest": {"host": address, "url_scheme": "http", "credentials": AnonymousCredentials()},
        }
        way = ways[request.param]
        yield lambda client: client(transport=client.get_transport_class(request.param)(**way))


@pytest.fixture(scope="session")
def jobs(connect):
    return connect(run_v2.JobsClient)


@pytest.fixture(scope="session")
def executions(connect):
    return connect(run_v2.ExecutionsClient)


@pytest.fixture(scope="session")
def tasks(connect):
    return connect(run_v2.TasksClient)


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


@contextmanager
def refused(code, match=None):
    """Expects an error with this `google.rpc.Code`."""
    with pytest.raises(exceptions.GoogleAPICallError, match=match) as raised:
        yield
    answer = raised.value.response
    # Over REST the class of the exception tells no more than the HTTP status; the answer has the code.
    over_rest = isinstance(answer, requests.Response)
    assert code == (answer.json()["error"]["status"] if over_rest else raised.value.grpc_status_code.name)
