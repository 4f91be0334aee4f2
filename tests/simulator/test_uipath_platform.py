"""The simulator's APIs against UiPath's own client, unmodified: what it sends is taken, what it gets it understands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid

import pytest
from uipath.platform.common import UiPathApiConfig, UiPathExecutionContext
from uipath.platform.errors import EnrichedException
from uipath.platform.orchestrator import AttachmentsService, FolderService, JobsService, ProcessesService


@contextlib.asynccontextmanager
async def services(t):
    """Give the SDK's services for a tenant, with the token that the other tests have; close their clients."""
    config = UiPathApiConfig(base_url=f"{t.origin}/acme/prod", secret="t0")
    context = UiPathExecutionContext()
    attachments = AttachmentsService(config, context)
    made = (
        JobsService(config, context),
        ProcessesService(config, context, attachments),
        FolderService(config, context),
        attachments,
    )
    try:
        yield made[:3]
    finally:
        for each in made:
            await each.aclose()


async def test_start_read_list_stop(tenant):
    """A process is started by name, read by key, found in a list, stopped by key: the strategy reaches the job."""
    t = await tenant(duration=60, stop_delay=0.05)
    async with services(t) as (jobs, processes, _):
        started = await processes.invoke_async("invoices", {"id": "a", "n": 1}, folder_path="Shared")
        assert (started.state, started.source_type) == ("Running", "Manual")
        read = await jobs.retrieve_async(started.key, folder_path="Shared")
        assert (read.id, read.input_arguments) == (started.id, '{"id":"a","n":1}')
        listed = await jobs.list_async(
            folder_path="Shared", filter="State eq 'Running' and ReleaseName eq 'invoices'", orderby="CreationTime desc"
        )
        assert [(job.key, job.input_arguments) for job in listed.items] == [(started.key, None)]
        await jobs.stop_async(job_keys=[started.key], folder_path="Shared")
        assert (await jobs.retrieve_async(started.key, folder_path="Shared")).state == "Stopping"
        await asyncio.sleep(0.1)
        stopped = await jobs.retrieve_async(started.key, folder_path="Shared")
        assert (stopped.state, stopped.end_time is not None) == ("Stopped", True)
    assert t.simulator.jobs_by_argument == {"a": 1}


async def test_result_and_fault(tenant):
    """A successful job's output and a faulted one's error are read by the SDK's own models."""
    t = await tenant(duration=0)
    async with services(t) as (jobs, processes, _):
        good = await processes.invoke_async("good", {"output": {"total": 7}}, folder_path="Shared")
        done = await jobs.retrieve_async(good.key, folder_path="Shared")
        assert json.loads(await jobs.extract_output_async(done)) == {"total": 7}
        bad = await processes.invoke_async("bad", {"fail": "Selector not found"}, folder_path="Shared")
        failed = await jobs.retrieve_async(bad.key, folder_path="Shared")
        assert (failed.state, failed.info, failed.output_arguments) == ("Faulted", "Selector not found", None)
        assert failed.job_error.detail == "Selector not found"


async def test_long_input_and_output(tenant):
    """Arguments over 10,000 characters go up as a file, and a long output comes down as one."""
    t = await tenant(duration=0)
    text = "x" * 20_000
    async with services(t) as (jobs, processes, _):
        # In threads: the SDK's own coroutines block the loop, which is the tenant's too, while they move a file.
        arguments = {"id": "a", "text": text}
        started = await asyncio.to_thread(processes.invoke, "job", arguments, folder_path="Shared")
        done = await jobs.retrieve_async(started.key, folder_path="Shared")
        assert (done.output_arguments, done.input_arguments) == (None, None)
        assert json.loads(await asyncio.to_thread(jobs.extract_output, done)) == arguments
    assert t.simulator.jobs_by_argument == {"a": 1}


async def test_job_of_a_trigger(tenant):
    """A trigger's job is among the jobs of its folder, and of no other."""
    t = await tenant(duration=60)
    await t.start("orders", n=1)
    async with services(t) as (jobs, _, folders):
        (job,) = (await jobs.list_async(folder_path="folder", filter="SourceType eq 'HttpTrigger'")).items
        assert await folders.retrieve_key_async(folder_path="folder") == job.folder_key
        assert await jobs.exists_async(job.key, folder_key=job.folder_key)
        assert not await jobs.exists_async(job.key, folder_path="Shared")


async def test_what_is_not_there(tenant):
    """Unknown jobs and releases, and calls without a folder, are the errors that the SDK knows."""
    t = await tenant()
    async with services(t) as (jobs, processes, _):
        with pytest.raises(LookupError):
            await jobs.retrieve_async(str(uuid.uuid4()), folder_path="Shared")
        with pytest.raises(LookupError):
            await jobs.stop_async(job_keys=[str(uuid.uuid4())], folder_path="Shared")
        with pytest.raises(EnrichedException, match="The release does not exist"):
            await processes.invoke_async("missing", folder_path="Shared")
        with pytest.raises(EnrichedException, match="A folder is required"):
            await jobs.list_async()
