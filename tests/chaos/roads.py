"""At the end: every job, read by every road from every replica, and by a stranger."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec

from tests.chaos.calls import key_header, request_of
from tests.chaos.exchanges import Exchanges
from tests.chaos.history import Call, Complete, Record, Repeated
from tests.chaos.settings import Settings
from tests.chaos.view import TERMINAL

_AT_ONCE = 12
_EVERYWHERE = 400
_TRIES = 20
_AGAIN = 0.5
_PROMPTLY = 0.5
_STRANGE = "ff" + "x" * 22
"""An id of the right form that no job has."""


class Known(msgspec.Struct, frozen=True):
    """A job, and whose call it is as far as anybody was told."""

    record: Record
    call: Call | None


class Roads:
    """Reads jobs once all is healed: by every road, some hundreds of them from every replica."""

    def __init__(self, settings: Settings, exchanges: Exchanges, tokens: dict[str, str], random: Random) -> None:
        self._settings = settings
        self._exchanges = exchanges
        self._tokens = tokens
        self._random = random

    async def read_all(self, jobs: list[Known]) -> None:
        """Read every job."""
        everywhere = {known.record.job for known in self._random.sample(jobs, min(len(jobs), _EVERYWHERE))}
        queue = iter(jobs)
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(self._work(queue, everywhere))

    async def unknown(self) -> None:
        """Ask for a job that there is not, as a stranger asks for one that there is."""
        await self._get("nobody", "stranger", f"/-/jobs/{_STRANGE}", 0, "b", job=_STRANGE)

    async def _work(self, queue: Iterator[Known], everywhere: set[str]) -> None:
        replicas = list(self._exchanges.front.replicas)
        for known in queue:
            asked = replicas if known.record.job in everywhere else [self._random.choice(replicas)]
            await self._read(known, asked)

    async def _read(self, known: Known, replicas: list[int]) -> None:
        job, call = known.record.job, known.call
        tag = call.call if call else "nobody"
        owner = call.token if call else "a"
        if call is None and (await self._monitor(tag, job, replicas[0], owner)).status == 404:
            owner = "b"
        if known.record.state not in TERMINAL:
            return  # Its roads would only be waited on, one after the other.
        for replica in replicas:
            await self._monitor(tag, job, replica, owner)
            await self._get(tag, "wait", f"/-/jobs/{job}/wait?hop=0", replica, owner, job=job)
            polled = await self._get(tag, "poll", f"/-/jobs/{job}/poll", replica, owner, job=job)
            result = polled.location or f"/-/jobs/{job}/result"
            await self._get(tag, "result", result, self._random.choice(replicas), owner, job=job)
            await self._get(tag, "events", f"/-/jobs/{job}/events", replica, owner, job=job)
        if call is not None:
            stranger = "b" if owner == "a" else "a"
            await self._get(tag, "stranger", f"/-/jobs/{job}", self._random.choice(replicas), stranger, job=job)
            if call.repeatable and not known.record.frees_key:
                await self._replay(call, job)

    async def _replay(self, call: Call, job: str) -> None:
        method, path, body = request_of(call)
        headers = {"Call-Mode": "sync", **key_header(call)}
        token, wait = self._tokens[call.token], self._settings.wait
        await self._surely(
            call.call, "replay", method, path, token=token, headers=headers, may_take=wait, job=job, **body
        )

    async def _monitor(self, tag: str, job: str, replica: int, owner: str) -> Complete:
        return await self._get(tag, "monitor", f"/-/jobs/{job}", replica, owner, job=job)

    async def _get(self, tag: str, road: str, path: str, replica: int, owner: str, *, job: str) -> Complete:
        token = self._tokens[owner]
        return await self._surely(tag, road, "GET", path, token=token, replica=replica, may_take=_PROMPTLY, job=job)

    async def _surely(self, *what: str, **how: Any) -> Complete:
        """Ask, and ask again a few times where the store was too slow to answer in time."""
        for _ in range(_TRIES):
            complete = await self._exchanges.make(*what, **how, final=True)
            passing = complete.problem == "job-unavailable" or (complete.status == 503 and complete.job is None)
            if not passing:
                break
            self._exchanges.history.add(Repeated(complete.n))
            await asyncio.sleep(_AGAIN)
        return complete
