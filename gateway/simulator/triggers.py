"""API triggers over HTTP: one dispatcher, the start of a job, the reads of its URIs.

The dispatcher looks at the request target as it stood in the request line. A signed link is a read;
`…/t/{folder}/{slug}` is a trigger, whatever path stands before it (the cloud has `/{org}/{tenant}/orchestrator_`, a
standalone server nothing); anything else is 404.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiohttp import web

from gateway.simulator import answers
from gateway.simulator.access import refusal
from gateway.simulator.answers import Answer
from gateway.simulator.arguments import CALL_MODE, Arguments, BadArgumentsError, read_arguments
from gateway.simulator.counters import Counters
from gateway.simulator.faults import Point, Stage
from gateway.simulator.jobs import Job, JobTable
from gateway.simulator.links import Link, Links, read_link
from gateway.simulator.modes import Modes
from gateway.simulator.outcomes import check_outcome
from gateway.simulator.planning import Choice, FaultPlan, asked_fault
from gateway.simulator.settings import LONG_POLLING, MODES, Settings, Trigger, trigger_of
from gateway.simulator.wire import BrokenResponse, Script, Stalls

_CLOUD = re.compile(r"(?P<base>/.*?/orchestrator_)/t/(?P<rest>[^?]+)")
_ANYWHERE = re.compile(r"(?P<base>(?:/[^?]*?)??)/t/(?P<rest>[^?]+)")

_NOTHING = Answer(200)
"""Stands for the true answer where a fault strikes before there is one."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """Where a start goes: the path before `/t/`, the one after it, and the trigger's slug."""

    base: str
    path: str
    slug: str


@dataclass(frozen=True, slots=True)
class Start:
    """A start that is understood: what would run, and in which mode."""

    mode: str
    duration: float
    arguments: Arguments


def read_invocation(target: str) -> Invocation | None:
    """Return the trigger that a request target names, or None.

    The first segment after `/t/` is the folder, the second the slug (the process, for a coded function).
    """
    match = _CLOUD.match(target) or _ANYWHERE.match(target)
    if match is None:
        return None
    folder, _, rest = match["rest"].partition("/")
    return Invocation(match["base"], match["rest"], rest.partition("/")[0] or folder)


class Triggers:
    """The handlers of one tenant's triggers."""

    def __init__(
        self,
        settings: Settings,
        *,
        jobs: JobTable,
        links: Links,
        counters: Counters,
        plan: FaultPlan,
        stalls: Stalls,
    ) -> None:
        self._settings = settings
        self._jobs = jobs
        self._links = links
        self._counters = counters
        self._plan = plan
        self._stalls = stalls
        self._modes = Modes(settings, links)

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Answer any request to the tenant."""
        self._counters.saw(request.transport)
        target = _target(request)
        sent = await self._answer(request, target)
        if isinstance(sent, Answer):
            return sent.response()
        return BrokenResponse(sent, self._stalls, self._settings.stall)

    async def _answer(self, request: web.Request, target: str) -> Answer | Script:
        link = read_link(target)
        if link is not None:
            return await self._read(request, target, link)
        invocation = read_invocation(target)
        if invocation is not None:
            return await self._start(request, invocation)
        return answers.error(404, "Not found.", 0)

    async def _start(self, request: web.Request, invocation: Invocation) -> Answer | Script:
        """Answer a call to a trigger: refuse it, or run its job and answer in the job's mode."""
        self._counters.starts += 1
        refused = self._refusal(request)
        if refused is not None:
            return refused
        trigger = trigger_of(self._settings, invocation.slug)
        if invocation.slug in self._settings.unknown_slugs or request.method not in trigger.methods:
            message = f"HTTP trigger not found for path '{invocation.path}'."
            return answers.error(404, message, answers.TRIGGER_NOT_FOUND)
        try:
            start = _read_start(await _arguments(request), trigger)
        except BadArgumentsError as bad:
            return answers.error(400, str(bad), answers.BAD_REQUEST)
        return await self._run(start, invocation, _origin(request, self._settings))

    async def _run(self, start: Start, invocation: Invocation, origin: str) -> Answer | Script:
        """Run a job, unless a fault or the length of its arguments is in the way."""
        self._jobs.count_start(start.arguments)
        choice = self._plan.on_start(invocation.slug, start.arguments)
        if choice is not None and choice.fault.stage is Stage.BEFORE:
            return self._spoil(choice)
        too_long = start.arguments.size >= self._settings.max_arguments
        if too_long:
            start = _faulted(start, self._settings.max_arguments)
        self._counters.jobs += 1
        job = self._jobs.start(
            slug=invocation.slug,
            base=invocation.base,
            mode=start.mode,
            arguments=start.arguments,
            duration=start.duration,
        )
        if choice is not None and choice.fault.stage is Stage.STARTED:
            return self._spoil(choice)
        if too_long:
            return answers.error(500, start.arguments.text("fail") or "", answers.FAULTED)
        self._counters.legs += job.mode == LONG_POLLING
        return self._spoil(choice, await self._modes.started(job, origin))

    async def _read(self, request: web.Request, target: str, link: Link) -> Answer | Script:
        """Answer a call to a status or an output URI."""
        job = self._jobs.by_id.get(link.job_id)
        if job is None:
            return answers.error(404, "The job was not found.", 0)
        if not self._links.valid(target, link, job):
            self._counters.refused += 1
            return answers.error(403, "The signature does not match.", 0)
        refused = self._refusal(request, redirect_of=job)
        if refused is not None:
            return refused
        if request.method != "GET":
            return answers.error(405, "This resource does not support the method.", 0, ("Allow", "GET"))
        return await self._read_job(job, _point(link, job), _origin(request, self._settings))

    async def _read_job(self, job: Job, point: Point, origin: str) -> Answer | Script:
        """Answer a read that is allowed, unless a fault is in the way."""
        job.reads += 1
        self._counters.count_read(point)
        choice = self._plan.on_read(point, job)
        if choice is not None and choice.fault.stage is not Stage.ANSWERED:
            return self._spoil(choice)
        match point:
            case Point.OUTPUT:
                answer = self._modes.output(job)
            case Point.LEG:
                answer = await self._modes.leg(job, origin)
            case _:
                answer = self._modes.status(job, origin)
        return self._spoil(choice, answer)

    def _spoil(self, choice: Choice | None, answer: Answer = _NOTHING) -> Answer | Script:
        """Return what is sent in the true answer's place; a fault that finds nothing to spoil is given back."""
        if choice is None:
            return answer
        spoiled = choice.fault.spoil(answer, self._settings.foreign_origin)
        if spoiled is None:
            choice.give_back()
            return answer
        self._counters.faults += 1
        return spoiled

    def _refusal(self, request: web.Request, redirect_of: Job | None = None) -> Answer | None:
        refused = refusal(self._settings, request.headers.get("Authorization", ""), redirect_of)
        self._counters.refused += refused is not None
        return refused


def _target(request: web.Request) -> str:
    """Return the request target's path and query as sent; an absolute-form target without scheme and host."""
    raw = request.raw_path
    return raw if raw.startswith("/") else "/" + raw.partition("://")[2].partition("/")[2]


def _origin(request: web.Request, settings: Settings) -> str:
    """Return the scheme and host that absolute Locations name."""
    return f"{request.scheme}://{settings.location_host or request.host}"


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


def _read_start(arguments: Arguments, trigger: Trigger) -> Start:
    """Return what a trigger makes of its arguments. Raises BadArgumentsError, before anything runs."""
    check_outcome(arguments)
    asked_fault(arguments)
    mode = arguments.text(CALL_MODE) if trigger.honour_call_mode else None
    if mode is not None and mode not in MODES:
        raise BadArgumentsError(f"Call mode '{mode}' is not supported.")
    assert trigger.mode is not None
    return Start(mode or trigger.mode, arguments.number("duration", trigger.duration or 0.0), arguments)


def _faulted(start: Start, limit: int) -> Start:
    """Return the job that is left of a start whose arguments are too long: one that faults at once."""
    message = f"JobArguments length should be less than {limit} characters."
    tag = {} if start.arguments.tag is None else {"id": start.arguments.tag}
    return Start(start.mode, 0.0, Arguments({**tag, "fail": message}))
