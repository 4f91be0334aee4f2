"""API triggers over HTTP: starts, status URIs, output URIs.

One dispatcher looks at the request target as it stood in the request line: `…/t/{folder}/{slug}` is a trigger, whatever
path stands before it (the cloud has `/{org}/{tenant}/orchestrator_`, a standalone server nothing), a signed link is a
read, anything else is 404.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from aiohttp import web

from gateway.simulator import answers, outcomes
from gateway.simulator.answers import Answer
from gateway.simulator.arguments import CALL_MODE, Arguments, BadArgumentsError, read_arguments
from gateway.simulator.counters import Counters
from gateway.simulator.jobs import Job, JobTable
from gateway.simulator.links import Kind, Link, Links, read_link
from gateway.simulator.settings import ASYNC, FORGET, LONG_POLLING, MODES, Settings, trigger_of

_CLOUD = re.compile(r"(?P<base>/.*?/orchestrator_)/t/(?P<rest>[^?]+)")
_ANYWHERE = re.compile(r"(?P<base>(?:/[^?]*?)??)/t/(?P<rest>[^?]+)")


@dataclass(frozen=True, slots=True)
class Invocation:
    """Where a start goes: the path before `/t/`, and the trigger's slug (the process, for a coded function)."""

    base: str
    slug: str
    path: str


def read_invocation(target: str) -> Invocation | None:
    """Return the trigger that a request target names, or None. The first segment after `/t/` is the folder."""
    match = _CLOUD.match(target) or _ANYWHERE.match(target)
    if match is None:
        return None
    folder, _, rest = match["rest"].partition("/")
    return Invocation(match["base"], rest.partition("/")[0] or folder, match["rest"])


class Triggers:
    """The handlers of one tenant's triggers."""

    def __init__(self, settings: Settings, jobs: JobTable, links: Links, counters: Counters) -> None:
        self._settings = settings
        self._jobs = jobs
        self._links = links
        self._counters = counters

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Answer any request to the tenant."""
        self._counters.saw(request.transport)
        target = _target(request)
        link = read_link(target)
        if link is not None:
            return (await self._read(request, target, link)).response()
        invocation = read_invocation(target)
        if invocation is not None:
            return (await self._start(request, invocation)).response()
        return answers.error(404, "Not found.", 0).response()

    async def _start(self, request: web.Request, invocation: Invocation) -> Answer:
        """Answer a call to a trigger."""
        self._counters.starts += 1
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        trigger = trigger_of(self._settings, invocation.slug)
        if invocation.slug in self._settings.unknown_slugs or request.method not in trigger.methods:
            return answers.error(
                404, f"HTTP trigger not found for path '{invocation.path}'.", answers.TRIGGER_NOT_FOUND
            )
        try:
            arguments = await _arguments(request)
            mode = _mode(arguments, trigger.mode or ASYNC, honour=bool(trigger.honour_call_mode))
            outcomes.check(arguments)
            duration = arguments.number("duration", trigger.duration or 0.0)
        except BadArgumentsError as bad:
            return answers.error(400, str(bad), answers.BAD_REQUEST)
        if arguments.tag is not None:
            self._jobs.starts_by_argument[arguments.tag] += 1
        job = self._jobs.start(
            slug=invocation.slug, base=invocation.base, mode=mode, arguments=arguments, duration=duration
        )
        self._counters.jobs += 1
        return await self._first_answer(request, job)

    async def _first_answer(self, request: web.Request, job: Job) -> Answer:
        """Answer the start of a job in the job's mode."""
        if job.mode == FORGET:
            return Answer(200)
        if job.mode == LONG_POLLING:
            return await self._leg(request, job)
        return answers.redirect(202, self._location(request, job, "status"), *self._retry_after())

    async def _read(self, request: web.Request, target: str, link: Link) -> Answer:
        """Answer a call to a status or an output URI."""
        job = self._jobs.by_id.get(link.job_id)
        if job is None:
            return answers.error(404, "The job was not found.", 0)
        if not self._links.valid(target, link, job):
            self._counters.refused += 1
            return answers.error(403, "The signature does not match.", 0)
        refusal = self._refusal(request, redirect_of=job)
        if refusal is not None:
            return refusal
        if request.method != "GET":
            return answers.error(405, "The requested resource does not support this method.", 0, ("Allow", "GET"))
        job.reads += 1
        if link.kind == "output":
            return self._output(job)
        return await self._leg(request, job) if job.mode == LONG_POLLING else self._status(request, job)

    def _status(self, request: web.Request, job: Job) -> Answer:
        """Answer one poll: 200 while the job runs, then 303 to its output."""
        self._counters.polls += 1
        if job.ended:
            return answers.redirect(303, self._location(request, job, "output"))
        return answers.json_answer(200, {"status": "Running"}, *self._retry_after())

    def _output(self, job: Job) -> Answer:
        """Answer with what the job came to."""
        self._counters.outputs += 1
        job.output_reads += 1
        if self._settings.read_once and job.output_reads > 1:
            return answers.error(404, "The output was not found.", 0)
        return self._outcome(job)

    async def _leg(self, request: web.Request, job: Job) -> Answer:
        """Hold one call of a long poll, and answer with the outcome, a redirect, or the 15-minute limit's error."""
        self._counters.legs += 1
        left = job.started_at + self._settings.sync_limit - asyncio.get_running_loop().time()
        if await job.wait(min(self._settings.leg, left)):
            return self._outcome(job)
        if left <= self._settings.leg:
            return answers.error(504, "The job did not complete within the time limit.", answers.SYNC_LIMIT_REACHED)
        job.hops += 1
        hop = job.hops if self._settings.unique_legs else 1
        return answers.redirect(303, self._location(request, job, "status", hop))

    def _outcome(self, job: Job) -> Answer:
        return outcomes.outcome(job.arguments, max_output=self._settings.max_output)

    def _location(self, request: web.Request, job: Job, kind: Kind, hop: int = 0) -> str:
        """Return the URI to give out for a job, absolute or relative as the settings say."""
        path = self._links.make(job, kind, hop)
        if self._settings.location == "relative":
            return path
        return f"{request.scheme}://{self._settings.location_host or request.host}{path}"

    def _retry_after(self) -> tuple[tuple[str, str], ...]:
        seconds = self._settings.retry_after_on_running
        return () if seconds is None else (("Retry-After", str(seconds)),)

    def _refusal(self, request: web.Request, redirect_of: Job | None = None) -> Answer | None:
        """Return 401 or 403 for a call without a usable bearer token, where it needs one.

        The tenant's setting frees the redirects of long polls only: a trigger's start and an AsyncRequestReply job's
        URIs always need the token.
        """
        free = redirect_of is not None and redirect_of.mode == LONG_POLLING
        if not self._settings.require_auth or (free and not self._settings.require_auth_on_redirects):
            return None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        known = token.strip() if scheme.lower() == "bearer" else ""
        if known in self._settings.forbidden_tokens:
            self._counters.refused += 1
            return answers.error(403, "You are not authorized.", 0)
        if not known or (self._settings.tokens is not None and known not in self._settings.tokens):
            self._counters.refused += 1
            return answers.error(401, "You are not authenticated.", 0, ("WWW-Authenticate", "Bearer"))
        return None


def _target(request: web.Request) -> str:
    """Return the request target's path and query as sent; an absolute-form target without scheme and host."""
    raw = request.raw_path
    return raw if raw.startswith("/") else "/" + raw.partition("://")[2].partition("/")[2]


async def _arguments(request: web.Request) -> Arguments:
    """Return the arguments of a start; a GET has them in its query alone."""
    if request.method == "GET":
        return read_arguments(request.query, "", b"")
    return read_arguments(request.query, request.headers.get("Content-Type", ""), await request.read())


def _mode(arguments: Arguments, own: str, *, honour: bool) -> str:
    """Return the mode of a start: `$callMode` where the trigger honours it, else the trigger's own."""
    asked = arguments.text(CALL_MODE)
    if asked is None or not honour:
        return own
    if asked not in MODES:
        raise BadArgumentsError(f"Call mode '{asked}' is not supported.")
    return asked
