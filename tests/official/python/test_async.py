"""The same through the client for asyncio."""

import asyncio

import grpc.aio
from conftest import completed
from google.cloud import run_v2
from google.cloud.run_v2.services.executions.transports import ExecutionsGrpcAsyncIOTransport
from google.cloud.run_v2.services.jobs.transports import JobsGrpcAsyncIOTransport


def test_many_runs_at_once_all_succeed(address, sample):
    async def run_ten():
        async with grpc.aio.insecure_channel(address) as channel:
            jobs = run_v2.JobsAsyncClient(transport=JobsGrpcAsyncIOTransport(channel=channel))
            operations = await asyncio.gather(*(jobs.run_job(name=sample("echo")) for _ in range(10)))
            return await asyncio.gather(*(operation.result(timeout=60) for operation in operations))

    finished = asyncio.run(run_ten())

    assert len({execution.name for execution in finished}) == 10
    assert all(completed(execution).state == run_v2.Condition.State.CONDITION_SUCCEEDED for execution in finished)


def test_an_asynchronous_list_pages_by_itself(address, sample):
    async def list_three():
        async with grpc.aio.insecure_channel(address) as channel:
            jobs = run_v2.JobsAsyncClient(transport=JobsGrpcAsyncIOTransport(channel=channel))
            executions = run_v2.ExecutionsAsyncClient(transport=ExecutionsGrpcAsyncIOTransport(channel=channel))
            started = [(await jobs.run_job(name=sample("echo"))).metadata.name for _ in range(3)]
            pager = await executions.list_executions(request={"parent": sample("echo"), "page_size": 1})
            return started, [execution.name async for execution in pager]

    started, listed = asyncio.run(list_three())

    assert [name for name in listed if name in started] == list(reversed(started))
