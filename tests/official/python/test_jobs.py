"""Jobs: create, read, list, replace, delete, and what is refused."""

from datetime import timedelta

from conftest import echo_job, refused
from google.cloud import run_v2


def test_a_new_job_has_the_defaults_of_the_service(jobs, own_job):
    template = own_job.template
    task = template.template
    limits = dict(task.containers[0].resources.limits)

    assert own_job.name.startswith("projects/demo/locations/us-central1/jobs/official-")
    assert own_job.uid and own_job.etag and own_job.create_time
    assert own_job.generation == own_job.observed_generation == 1
    assert not own_job.reconciling
    assert own_job.terminal_condition.type_ == "Ready"
    assert own_job.terminal_condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED
    assert (template.task_count, template.parallelism) == (1, 0)
    assert (task.max_retries, task.timeout) == (3, timedelta(seconds=600))
    assert task.execution_environment == run_v2.ExecutionEnvironment.EXECUTION_ENVIRONMENT_GEN2
    assert limits == {"cpu": "1000m", "memory": "512Mi"}
    assert jobs.get_job(name=own_job.name) == own_job


def test_the_pages_of_a_list_hold_every_job_once(jobs, location, own_job):
    pages = list(jobs.list_jobs(request={"parent": location, "page_size": 2}).pages)

    names = [job.name for page in pages for job in page.jobs]
    assert all(len(page.jobs) <= 2 for page in pages)
    assert len(pages) > 1
    assert len(names) == len(set(names))
    assert own_job.name in names
    assert f"{location}/jobs/echo" in names


def test_an_update_replaces_the_job(jobs, own_job):
    replacement = echo_job(task_count=2)
    replacement.name = own_job.name

    updated = jobs.update_job(job=replacement).result(timeout=30)

    assert updated.template.task_count == 2
    assert updated.generation == 2
    assert updated.uid == own_job.uid
    assert updated.etag != own_job.etag


def test_a_deleted_job_is_gone(jobs, location, job_id):
    job = jobs.create_job(parent=location, job=echo_job(), job_id=job_id).result(timeout=30)

    deleted = jobs.delete_job(name=job.name).result(timeout=30)

    assert deleted.delete_time
    with refused("NOT_FOUND", match=f"Resource '{job_id}' of kind 'JOB' in region 'us-central1'"):
        jobs.get_job(name=job.name)


def test_a_job_id_can_be_taken_only_once(jobs, location, own_job):
    taken = own_job.name.rsplit("/", 1)[1]

    with refused("ALREADY_EXISTS", match=f"Resource '{taken}' already exists."):
        jobs.create_job(parent=location, job=echo_job(), job_id=taken)


def test_a_malformed_job_id_is_refused(jobs, location):
    with refused("INVALID_ARGUMENT", match="lowercase letters, numbers and '-'"):
        jobs.create_job(parent=location, job=echo_job(), job_id="Not_An_Id")


def test_a_job_without_an_image_is_refused(jobs, location, job_id):
    job = echo_job()
    job.template.template.containers[0].image = ""

    with refused("INVALID_ARGUMENT", match="must provide an image name to deploy"):
        jobs.create_job(parent=location, job=job, job_id=job_id)


def test_a_job_with_a_reserved_variable_is_refused(jobs, location, job_id):
    job = echo_job()
    job.template.template.containers[0].env = [run_v2.EnvVar(name="CLOUD_RUN_JOB", value="mine")]

    with refused("INVALID_ARGUMENT", match="reserved env names were provided: CLOUD_RUN_JOB"):
        jobs.create_job(parent=location, job=job, job_id=job_id)


def test_a_request_that_only_validates_creates_nothing(jobs, location, job_id):
    jobs.create_job(
        request={"parent": location, "job": echo_job(), "job_id": job_id, "validate_only": True},
    )

    with refused("NOT_FOUND"):
        jobs.get_job(name=f"{location}/jobs/{job_id}")
