"""API triggers over HTTP: the start of a job, and the reads of its URIs."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from gateway.simulator import answers
from gateway.simulator.access import Access
from gateway.simulator.answers import Answer
from gateway.simulator.arguments import CALL_MODE, Arguments, BadArgumentsError, read_arguments
from gateway.simulator.catalog import Catalog, Process
from gateway.simulator.counters import Counters
from gateway.simulator.faults import Point, Stage
from gateway.simulator.job import Job
from gateway.simulator.jobs import JobTable
from gateway.simulator.links import Link, Links
from gateway.simulator.modes import Modes
from gateway.simulator.planning import FaultPlan
from gateway.simulator.settings import LONG_POLLING, MODES, Settings, Trigger, trigger_of
from gateway.simulator.start_info import check_arguments
from gateway.simulator.targets import Invocation
from gateway.simulator.wire import Script


@dataclass(frozen=True, slots=True)
class Start:
    """A start that is understood: what would run, and in which mode."""

    process: Process
    mode: str
    duration: float
    arguments: Arguments


class Triggers:
    """The handlers of one tenant's triggers."""

    def __init__(
        self,
        settings: Settings,
        *,
        access: Access,
        jobs: JobTable,
        catalog: Catalog,
        links: Links,
        counters: Counters,
        plan: FaultPlan,
    ) -> None:
        self._settings = settings
        self._access = access
        self._jobs = jobs
        self._catalog = catalog
        self._links = links
        self._counters = counters
        self._plan = plan
        self._modes = Modes(settings, links)

    async def start(self, request: web.Request, invocation: Invocation, origin: str) -> Answer | Script:
        """Answer a call to a trigger: refuse it, or run its job and answer in the job's mode."""
        self._counters.starts += 1
        refused = self._access.refusal(request.headers.get("Authorization", ""))
        if refused is not None:
            return refused
        trigger = trigger_of(self._settings, invocation.slug)
        process = self._catalog.process(self._catalog.folder(invocation.folder), invocation.slug)
        if process is None or request.method not in trigger.methods:
            message = f"HTTP trigger not found for path '{invocation.path}'."
            return answers.error(404, message, answers.TRIGGER_NOT_FOUND)
        try:
            start = _read_start(await _arguments(request), process, trigger)
        except BadArgumentsError as bad:
            return answers.error(400, str(bad), answers.BAD_REQUEST)
        return await self._run(start, invocation.base, origin)

    async def _run(self, start: Start, base: str, origin: str) -> Answer | Script:
        """Run a job, unless a fault or the length of its arguments is in the way."""
        self._jobs.count_start(start.arguments)
        choice = self._plan.on_start(start.process.name, start.arguments)
        if choice is not None and choice.fault.stage is Stage.BEFORE:
            return self._plan.spoil(choice)
        too_long = start.arguments.size >= self._settings.max_arguments
        if too_long:
            start = _faulted(start, self._settings.max_arguments)
        self._counters.jobs += 1
        job = self._jobs.start(
            process=start.process,
            base=base,
            mode=start.mode,
            arguments=start.arguments,
            duration=start.duration,
            pending=start.arguments.number("pending", 0.0),
        )
        if choice is not None and choice.fault.stage is Stage.STARTED:
            return self._plan.spoil(choice)
        if too_long:
            return answers.error(500, start.arguments.text("fail") or "", answers.FAULTED)
        self._counters.legs += job.mode == LONG_POLLING
        return self._plan.spoil(choice, await self._modes.started(job, origin))

    async def read(self, request: web.Request, target: str, link: Link, origin: str) -> Answer | Script:
        """Answer a call to a status or an output URI."""
        job = self._jobs.by_id.get(link.job_id)
        if job is None:
            return answers.error(404, "The job was not found.", 0)
        if not self._links.valid(target, link, job):
            self._counters.refused += 1
            return answers.error(403, "The signature does not match.", 0)
        refused = self._access.refusal(request.headers.get("Authorization", ""), redirect_of=job)
        if refused is not None:
            return refused
        if request.method != "GET":
            return answers.error(405, "This resource does not support the method.", 0, ("Allow", "GET"))
        return await self._read_job(job, _point(link, job), origin)

    async def _read_job(self, job: Job, point: Point, origin: str) -> Answer | Script:
        """Answer a read that is allowed, unless a fault is in the way."""
        job.reads += 1
        self._counters.count_call(point)
        choice = self._plan.on_read(point, job)
        if choice is not None and choice.fault.stage is not Stage.ANSWERED:
            return self._plan.spoil(choice)
        match point:
            case Point.OUTPUT:
                answer = self._modes.output(job)
            case Point.LEG:
                answer = await self._modes.leg(job, origin)
            case _:
                answer = self._modes.status(job, origin)
        return self._plan.spoil(choice, answer)


def _point(link: Link, job: Job) -> Point:
    """Return which kind of read a link is."""
    if link.kind == "output":
        return Point.OUTPUT
    return Point.LEG if job.mode == LONG_POLLING else Point.STATUS


async def _arguments(request: web.Request) -> Arguments:
    """Return the arguments of a start; a GET has them in its query alone."""
    if request.method == "GET":
        return read_arguments(request.query, "", b"")
    return read_arguments(request.query, request.headers.get("Content-Type", ""), await request.read())


def _read_start(arguments: Arguments, process: Process, trigger: Trigger) -> Start:
    """Return what a trigger makes of its arguments. Raises BadArgumentsError, before anything runs."""
    check_arguments(arguments)
    mode = arguments.text(CALL_MODE) if trigger.honour_call_mode else None
    if mode is not None and mode not in MODES:
        raise BadArgumentsError(f"Call mode '{mode}' is not supported.")
    assert trigger.mode is not None
    return Start(process, mode or trigger.mode, arguments.number("duration", trigger.duration or 0.0), arguments)


def _faulted(start: Start, limit: int) -> Start:
    """Return the job that is left of a start whose arguments are too long: one that faults at once."""
    message = f"JobArguments length should be less than {limit} characters."
    tag = {} if start.arguments.tag is None else {"id": start.arguments.tag}
    return Start(start.process, start.mode, 0.0, Arguments({**tag, "fail": message}))
