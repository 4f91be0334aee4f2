"""The Jobs API: jobs listed, read, started and stopped, over the table that the triggers start theirs in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.simulator import answers
from gateway.simulator.answers import Answer, json_answer
from gateway.simulator.calls import Call, RefusedError, invalid, missing
from gateway.simulator.catalog import Catalog, Folder
from gateway.simulator.clock import WallClock
from gateway.simulator.counters import Counters
from gateway.simulator.faults import Point, Stage
from gateway.simulator.job import Job, Strategy
from gateway.simulator.job_entity import NULL_IN_LISTS, jobs_entity_set
from gateway.simulator.jobs import JobTable
from gateway.simulator.limits import PerMinute
from gateway.simulator.odata import page, read_query
from gateway.simulator.planning import FaultPlan
from gateway.simulator.settings import Settings, trigger_of
from gateway.simulator.start_info import StartInfo, read_start_info
from gateway.simulator.wire import Script

_STRATEGIES = {
    "SoftStop": Strategy.SOFT_STOP,
    "1": Strategy.SOFT_STOP,
    1: Strategy.SOFT_STOP,
    "Kill": Strategy.KILL,
    "2": Strategy.KILL,
    2: Strategy.KILL,
}


class JobsApi:
    """The handlers of `odata/Jobs…`. A call sees the jobs of the folder that it selects, and no others."""

    def __init__(
        self,
        settings: Settings,
        *,
        jobs: JobTable,
        catalog: Catalog,
        counters: Counters,
        plan: FaultPlan,
        clock: WallClock,
        uploaded: Callable[[str], bytes | None],
    ) -> None:
        self._settings = settings
        self._jobs = jobs
        self._catalog = catalog
        self._counters = counters
        self._plan = plan
        self._uploaded = uploaded
        self._entities = jobs_entity_set(clock, max_inline_output=settings.max_inline_output)
        self._listings = PerMinute(settings.list_limit)

    def reset(self) -> None:
        """Forget how many lists were answered."""
        self._listings.reset()

    async def listing(self, call: Call) -> Answer | Script:
        """Answer a list of jobs, within the tenant's limit; arguments and outputs are null in it."""
        self._counters.count_call(Point.LIST)
        choice = self._plan.on_call(Point.LIST)
        if choice is not None and choice.fault.stage is not Stage.ANSWERED:
            return self._plan.spoil(choice)
        wait = self._listings.take()
        if wait:
            self._counters.limited += 1
            return answers.error(429, "Too many requests.", 0, ("Retry-After", str(wait)))
        folder = self._folder(call)
        query = read_query(self._entities, call.request.query)
        listed = page(self._entities, self._visible(folder), query, call.context)
        for entity in listed["value"]:
            entity.update(dict.fromkeys(NULL_IN_LISTS & entity.keys()))
        return self._plan.spoil(choice, json_answer(200, listed))

    async def by_number(self, call: Call, number: str) -> Answer | Script:
        """Answer a read of one job by Orchestrator's integer id."""
        return self._read(call, self._jobs.by_number.get(int(number)))

    async def by_key(self, call: Call, key: str) -> Answer | Script:
        """Answer a read of one job by its key."""
        return self._read(call, self._jobs.by_id.get(key.replace("-", "").lower()))

    async def start(self, call: Call) -> Answer | Script:
        """Start jobs of one release: 201 with the jobs, unless a fault is in the way."""
        self._counters.starts += 1
        body = await call.json_object()
        folder = self._folder(call) or self._catalog.first_folder
        info = read_start_info(
            body,
            self._catalog,
            folder,
            uploaded=self._uploaded,
            max_arguments=self._settings.max_arguments,
        )
        self._jobs.count_start(info.arguments, info.reference)
        choice = self._plan.on_start(info.process.name, info.arguments)
        if choice is not None and choice.fault.stage is Stage.BEFORE:
            return self._plan.spoil(choice)
        jobs = [self._run(info, call.base) for _ in range(info.count)]
        if choice is not None and choice.fault.stage is Stage.STARTED:
            return self._plan.spoil(choice)
        started = {
            "@odata.context": f"{call.context}$metadata#Jobs",
            "value": [self._entities.entity(job) for job in jobs],
        }
        return self._plan.spoil(choice, json_answer(201, started))

    async def stop(self, call: Call) -> Answer | Script:
        """Ask jobs to stop: 200 and an empty body. Those that have ended stay as they are; an unknown id stops none."""
        self._counters.count_call(Point.STOP)
        choice = self._plan.on_call(Point.STOP)
        if choice is not None and choice.fault.stage is Stage.BEFORE:
            return self._plan.spoil(choice)
        body = await call.json_object()
        strategy, jobs = self._to_stop(body, self._folder(call))
        for job in jobs:
            self._jobs.ask_to_stop(job, strategy, self._delay(job, strategy))
        return self._plan.spoil(choice, Answer(200))

    def _run(self, info: StartInfo, base: str) -> Job:
        self._counters.jobs += 1
        trigger = trigger_of(self._settings, info.process.name)
        return self._jobs.start(
            process=info.process,
            base=base,
            mode="",
            arguments=info.arguments,
            duration=info.arguments.number("duration", trigger.duration or 0.0),
            pending=info.arguments.number("pending", 0.0),
            source=info.source,
            reference=info.reference,
            input_file=info.input_file,
        )

    def _read(self, call: Call, job: Job | None) -> Answer | Script:
        self._counters.count_call(Point.JOB)
        if job is not None:
            job.reads += 1
        choice = self._plan.on_call(Point.JOB) if job is None else self._plan.on_read(Point.JOB, job)
        if choice is not None and choice.fault.stage is not Stage.ANSWERED:
            return self._plan.spoil(choice)
        folder = self._folder(call)
        if job is None or not _within(job, folder):
            raise missing("Job does not exist.")
        query = read_query(self._entities, call.request.query)
        entity = self._entities.entity(job, query.select, query.expand)
        context = {"@odata.context": f"{call.context}$metadata#Jobs/$entity"}
        return self._plan.spoil(choice, json_answer(200, context | entity))

    def _visible(self, folder: Folder | None) -> list[Job]:
        """Return the folder's jobs that lists show by now, in order of their ids."""
        newest = asyncio.get_running_loop().time() - self._settings.list_lag
        return [job for job in self._jobs.by_id.values() if _within(job, folder) and job.started_at <= newest]

    def _to_stop(self, body: dict[str, Any], folder: Folder | None) -> tuple[Strategy, list[Job]]:
        """Return what `StopJobs` is asked to do. Raises RefusedError."""
        given, ids = body.get("strategy"), body.get("jobIds")
        strategy = _STRATEGIES.get(given) if type(given) in {str, int} else None
        if strategy is None:
            raise invalid("The strategy must be SoftStop or Kill.")
        if not isinstance(ids, list) or not ids or not all(type(each) is int for each in ids):
            raise invalid("jobIds must be a list of job ids.")
        jobs = [self._jobs.by_number.get(each) for each in ids]
        found = [job for job in jobs if job is not None and _within(job, folder)]
        if len(found) < len(ids):
            raise missing("Job does not exist.")
        return strategy, found

    def _delay(self, job: Job, strategy: Strategy) -> float:
        if strategy is Strategy.KILL:
            return self._settings.kill_delay
        return job.arguments.number("stop_delay", self._settings.stop_delay)

    def _folder(self, call: Call) -> Folder | None:
        """Return the folder that a call selects; None is all of them, where the tenant does not insist on one."""
        if call.selected is None and self._settings.require_folder:
            raise RefusedError(answers.error(400, "A folder is required for this action.", answers.FOLDER_REQUIRED))
        return call.selected


def _within(job: Job, folder: Folder | None) -> bool:
    """Whether a job is in a folder; None is all folders."""
    return folder is None or job.process.folder is folder
