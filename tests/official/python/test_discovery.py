"""The client that is made from the discovery document, which knows fields of REST that the protos lack."""

import time
from contextlib import contextmanager

import httplib2
import pytest
from conftest import LOCATION
from googleapiclient import discovery, errors

IMAGE = "us-docker.pkg.dev/runjob/samples/echo"


@pytest.fixture(scope="session")
def api(address):
    """Jobs, with the discovery document that comes with the client."""
    service = discovery.build(
        "run",
        "v2",
        http=httplib2.Http(),
        static_discovery=True,
        client_options={"api_endpoint": f"http://{address}"},
    )
    return service.projects().locations()


@pytest.fixture
def create(api, job_id):
    """Creates a job of this test alone, from this much of it; deleted in the end."""

    def create(job=None, **template):
        task = {"containers": [{"image": IMAGE, "args": ["from", "the", "job"]}]} | template.pop("template", {})
        body = (job or {}) | {"template": template | {"template": task}}
        created = done(api, api.jobs().create(parent=LOCATION, jobId=job_id, body=body).execute())
        return api.jobs().get(name=created["response"]["name"]).execute()

    yield create
    api.jobs().delete(name=f"{LOCATION}/jobs/{job_id}").execute()


def done(api, operation):
    """The operation when it is done."""
    deadline = time.monotonic() + 60
    while not operation.get("done") and time.monotonic() < deadline:
        operation = api.operations().wait(name=operation["name"], body={"timeout": "5s"}).execute()
    assert operation["done"]
    return operation


def run(api, name, **body):
    return api.jobs().run(name=name, body=body).execute()


@contextmanager
def refused(status, text):
    with pytest.raises(errors.HttpError, match=text) as raised:
        yield
    assert raised.value.status_code == status


def test_a_run_that_may_be_delayed_is_pending_and_can_be_cancelled(api, create):
    job = create()

    operation = run(api, job["name"], overrides={"delayExecution": True})

    execution = api.jobs().executions().get(name=operation["metadata"]["name"]).execute()
    (completed,) = (condition for condition in execution["conditions"] if condition["type"] == "Completed")
    assert (completed["state"], completed["executionReason"]) == ("CONDITION_PENDING", "DELAYED_START_PENDING")
    api.jobs().executions().cancel(name=execution["name"], body={}).execute()
    assert done(api, operation)["response"]["cancelledCount"] == 1


def test_what_only_rest_has_is_kept_and_shown(api, create):
    identity = {"managedWorkloadIdentity": "x"}
    disk = {"name": "disk", "emptyDir": {"medium": "DISK", "sizeLimit": "10Gi"}}

    job = create(delayExecution=True, template={"volumes": [disk], "workloadIdentityConfig": identity})

    assert job["template"]["delayExecution"] is True
    task = job["template"]["template"]
    assert (task["volumes"], task["workloadIdentityConfig"]) == ([disk], identity)


def test_a_task_with_a_gpu_may_take_twelve_hours(api, create):
    gpu = {
        "containers": [{"image": IMAGE, "resources": {"limits": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}}}],
        "nodeSelector": {"accelerator": "nvidia-l4"},
        "gpuZonalRedundancyDisabled": True,
    }

    job = create(template=gpu | {"timeout": "7200s"})

    assert job["template"]["template"]["timeout"] == "7200s"
    job["template"]["template"]["timeout"] = "43201s"
    with refused(400, "timeout"):
        api.jobs().patch(name=job["name"], body=job).execute()


def test_a_plain_run_drops_the_token_that_started_one(api, create):
    job = create({"startExecutionToken": "first"})
    assert job["startExecutionToken"] == "first"
    assert job["latestCreatedExecution"]["name"].endswith("-first")

    done(api, run(api, job["name"]))

    assert "startExecutionToken" not in api.jobs().get(name=job["name"]).execute()


def test_a_run_with_every_override_succeeds_and_its_execution_and_tasks_can_be_read(api, create):
    job = create()
    container = {"args": ["hello", "discovery"], "env": [{"name": "MODE", "value": "full"}]}

    operation = run(
        api, job["name"], overrides={"containerOverrides": [container], "taskCount": 2, "timeout": "60s"}
    )

    execution = done(api, operation)["response"]
    assert execution["name"] == operation["metadata"]["name"]
    assert (execution["taskCount"], execution["succeededCount"]) == (2, 2)
    assert execution["template"]["containers"][0]["args"] == ["hello", "discovery"]
    assert execution["template"]["timeout"] == "60s"
    executions = api.jobs().executions()
    assert [it["name"] for it in executions.list(parent=job["name"]).execute()["executions"]] == [execution["name"]]
    request, indexes = executions.tasks().list(parent=execution["name"], pageSize=1), []
    while request is not None:
        page = request.execute()
        indexes += [task.get("index", 0) for task in page["tasks"]]
        request = executions.tasks().list_next(request, page)
    assert indexes == [0, 1]
    executions.delete(name=execution["name"]).execute()
    with refused(404, "of kind 'EXECUTION'"):
        executions.get(name=execution["name"]).execute()


def test_a_job_is_updated_listed_and_has_a_policy(api, create):
    job = create()

    update = api.jobs().patch(name=job["name"], body=job | {"labels": {"team": "a"}}).execute()

    assert done(api, update)["response"]["generation"] == "2"
    listed = api.jobs().list(parent=LOCATION).execute()["jobs"]
    assert {"team": "a"} in [it.get("labels") for it in listed if it["name"] == job["name"]]
    bindings = [{"role": "roles/run.invoker", "members": ["user:ada@example.com"]}]
    api.jobs().setIamPolicy(resource=job["name"], body={"policy": {"bindings": bindings}}).execute()
    assert api.jobs().getIamPolicy(resource=job["name"]).execute()["bindings"] == bindings


def test_a_run_that_fails_has_an_error_and_a_job_that_is_missing_is_not_found(api):
    operation = run(api, f"{LOCATION}/jobs/fail", overrides={"containerOverrides": [{"args": ["3"]}]})

    error = done(api, operation)["error"]

    assert error["code"] == 10
    assert "task0 failed with exit code: 3" in error["message"]
    with refused(404, "Resource 'missing' of kind 'JOB'"):
        run(api, f"{LOCATION}/jobs/missing")
