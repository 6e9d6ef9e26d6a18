"""Executions and their tasks: read, list, delete."""

import pytest
from conftest import completed, refused
from google.cloud import run_v2


@pytest.fixture
def three_runs(jobs, own_job):
    """The executions of three runs of one job, oldest first."""
    return [jobs.run_job(name=own_job.name).result(timeout=60) for _ in range(3)]


def test_an_execution_reads_as_its_operation_returned_it(executions, three_runs):
    execution = executions.get_execution(name=three_runs[0].name)

    assert execution == three_runs[0]
    assert completed(execution).state == run_v2.Condition.State.CONDITION_SUCCEEDED


def test_the_pages_of_a_list_hold_every_execution_once_newest_first(executions, own_job, three_runs):
    pages = list(executions.list_executions(request={"parent": own_job.name, "page_size": 2}).pages)

    assert [len(page.executions) for page in pages] == [2, 1]
    listed = [execution.name for page in pages for execution in page.executions]
    assert listed == [execution.name for execution in reversed(three_runs)]


def test_the_executions_of_all_jobs_are_listed_together(executions, location, three_runs):
    listed = {execution.name for execution in executions.list_executions(parent=f"{location}/jobs/-")}

    assert {execution.name for execution in three_runs} <= listed


def test_the_job_knows_its_newest_execution(jobs, own_job, three_runs):
    job = jobs.get_job(name=own_job.name)

    assert job.execution_count == 3
    assert job.latest_created_execution.name == three_runs[-1].name.rsplit("/", 1)[1]


def test_a_task_reads_as_it_is_listed(tasks, three_runs):
    (listed,) = tasks.list_tasks(parent=three_runs[0].name)
    execution_id = three_runs[0].name.rsplit("/", 1)[1]

    assert listed.name == f"{three_runs[0].name}/tasks/{execution_id}-task0"
    assert listed.execution == execution_id
    assert tasks.get_task(name=listed.name) == listed


def test_the_tasks_of_all_executions_of_a_job_are_listed_together(tasks, own_job, three_runs):
    listed = list(tasks.list_tasks(parent=f"{own_job.name}/executions/-"))

    assert len(listed) == len(three_runs)


def test_a_deleted_execution_is_gone(executions, three_runs):
    executions.delete_execution(name=three_runs[0].name).result(timeout=30)

    with refused("NOT_FOUND", match="of kind 'EXECUTION' in region 'us-central1'"):
        executions.get_execution(name=three_runs[0].name)


def test_a_missing_execution_is_not_found(executions, own_job):
    with refused("NOT_FOUND", match="Resource 'missing' of kind 'EXECUTION'"):
        executions.get_execution(name=f"{own_job.name}/executions/missing")


def test_a_missing_task_is_not_found(tasks, three_runs):
    with refused("NOT_FOUND"):
        tasks.get_task(name=f"{three_runs[0].name}/tasks/missing")


def test_a_page_token_that_nobody_gave_is_refused(executions, own_job):
    with refused("INVALID_ARGUMENT"):
        list(executions.list_executions(request={"parent": own_job.name, "page_token": "made up"}))
