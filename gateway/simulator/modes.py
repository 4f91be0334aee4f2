"""The three call modes: what each answers to a start, and to the reads that follow it."""

from __future__ import annotations

import asyncio

from gateway.simulator import answers
from gateway.simulator.answers import Answer
from gateway.simulator.job import Job
from gateway.simulator.links import Kind, Links
from gateway.simulator.outcomes import outcome
from gateway.simulator.settings import FORGET, LONG_POLLING, Settings


class Modes:
    """Answers for a job in its mode. `origin` is the scheme and host that absolute Locations name."""

    def __init__(self, settings: Settings, links: Links) -> None:
        self._settings = settings
        self._links = links

    async def started(self, job: Job, origin: str) -> Answer:
        """Answer the call that started a job."""
        if job.mode == FORGET:
            return Answer(200)
        if job.mode == LONG_POLLING:
            return await self.leg(job, origin)
        return answers.redirect(202, self._location(job, origin, "status"), *self._retry_after())

    def status(self, job: Job, origin: str) -> Answer:
        """Answer a poll: 200 while the job runs, then 303 to its output."""
        if job.ended:
            return answers.redirect(303, self._location(job, origin, "output"))
        return answers.json_answer(200, {"status": "Running"}, *self._retry_after())

    async def leg(self, job: Job, origin: str) -> Answer:
        """Hold one call of a long poll, then answer with the outcome, a redirect, or the 15-minute limit's error."""
        left = job.started_at + self._settings.sync_limit - asyncio.get_running_loop().time()
        if await job.wait(min(self._settings.leg, left)):
            return self._outcome(job)
        if left <= self._settings.leg:
            return answers.error(504, "The job did not complete in time.", answers.SYNC_LIMIT_REACHED)
        job.hops += 1
        hop = job.hops if self._settings.unique_legs else 1
        return answers.redirect(303, self._location(job, origin, "status", hop))

    def output(self, job: Job) -> Answer:
        """Answer a read of a job's output; where results can be read once only, the second is 404."""
        job.output_reads += 1
        if self._settings.read_once and job.output_reads > 1:
            return answers.error(404, "The output was not found.", 0)
        return self._outcome(job)

    def _outcome(self, job: Job) -> Answer:
        if job.stopped:
            return answers.error(500, "The job was stopped.", answers.STOPPED)
        return outcome(job.arguments, max_output=self._settings.max_output)

    def _location(self, job: Job, origin: str, kind: Kind, hop: int = 0) -> str:
        """Return the URI to give out for a job, absolute or relative as the settings say."""
        path = self._links.make(job, kind, hop)
        return path if self._settings.location == "relative" else origin + path

    def _retry_after(self) -> tuple[tuple[str, str], ...]:
        seconds = self._settings.retry_after_on_running
        return () if seconds is None else (("Retry-After", str(seconds)),)
