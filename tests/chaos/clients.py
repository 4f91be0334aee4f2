"""Clients in all six modes, each of which goes on until it has the outcome, or knows where it is, or was told no.

A client with an Idempotency-Key repeats its call until it is answered; one without sends it once. Reads go to whichever
replica the front names, and are repeated for as long as patience lasts.
"""

from __future__ import annotations

import asyncio
import json
import math
from random import Random
from typing import Any

import msgspec

from tests.chaos.calls import calls, key_header, request_of
from tests.chaos.exchanges import Exchanges
from tests.chaos.history import Call, Complete, Ended, History
from tests.chaos.receiver import Receiver
from tests.chaos.settings import FOUND, RECONCILE_WAIT, Settings

_AGAIN = 0.25
_MONITOR_WAIT = 2
_HEEDED = 1.0
_AT_ONCE = 150
_TWINS = 0.15
"""How often a keyed call is sent twice at once."""
_GONE = frozenset({"job-expired", "not-found", "upstream-ambiguous"})
"""Problems that asking again does not heal."""


class Clients:
    """Makes calls at a rate, and writes down how each ended."""

    def __init__(
        self,
        settings: Settings,
        exchanges: Exchanges,
        receiver: Receiver,
        tokens: dict[str, str],
        random: Random,
    ) -> None:
        self._settings = settings
        self._exchanges = exchanges
        self._receiver = receiver
        self._tokens = tokens
        self._random = random
        self._history: History = exchanges.history
        self._open = 0
        """Conversations under way."""
        self.healed_at = math.inf
        """When everything was healed: until then whoever may repeat a call has no reason to give up."""

    async def run(self, seconds: float) -> None:
        """Begin calls for some seconds; return when all of them are over."""
        ends = self._history.now() + seconds
        async with asyncio.TaskGroup() as group:
            for drawn in calls(self._settings, self._random):
                await asyncio.sleep(self._random.expovariate(self._settings.rate))
                if self._history.now() >= ends:
                    return
                if self._open >= _AT_ONCE:
                    continue
                call = msgspec.structs.replace(drawn, at=self._history.now())
                self._history.add(call)
                for mode in self._modes(call):
                    group.create_task(self._hold(call, mode))

    def _modes(self, call: Call) -> list[str]:
        """Return the mode of each request that the call is made with: twins share key, arguments and job."""
        if not call.repeatable or call.mode == "callback" or self._random.random() > _TWINS:
            return [call.mode]
        return [call.mode, self._random.choice([mode for mode in self._settings.modes if mode != "callback"])]

    async def _hold(self, call: Call, mode: str) -> None:
        self._open += 1
        how, job, why = await Conversation(self, call, mode).hold()
        self._open -= 1
        self._history.add(Ended(call.call, self._history.now(), how, job, why))


class Conversation:
    """One client and its call, in one mode."""

    def __init__(self, clients: Clients, call: Call, mode: str) -> None:
        self._clients = clients
        self._settings = clients._settings
        self._exchanges = clients._exchanges
        self._receiver = clients._receiver
        self._token = clients._tokens[call.token]
        self._call = call
        self._mode = mode
        self._ends = clients._history.now() + clients._settings.patience
        self._job: str | None = None

    async def hold(self) -> tuple[str, str | None, str]:
        """Go through the mode's whole conversation; return how it ended, its job, and why."""
        started = await self._start()
        self._job = started.job
        if started.job is None or started.retryable:
            return self._unaccepted(started)
        if _has_outcome(started) or (started.events and started.events[-1].name == "outcome"):
            return "outcome", self._job, ""
        if started.problem in _GONE:
            return "pointer", self._job, str(started.problem)
        if self._call.cancel:
            await self._cancel()
        done = await self._go_on(started)
        return ("outcome" if done else "pointer"), self._job, self._mode

    def _unaccepted(self, answer: Complete) -> tuple[str, str | None, str]:
        if answer.status is None or answer.error is not None:
            return "nothing", None, str(answer.error)
        return ("refused" if answer.retryable else "nothing"), answer.job, f"{answer.status} {answer.problem}"

    @property
    def _patient(self) -> bool:
        return self._exchanges.history.now() < self._ends

    @property
    def _hopeful(self) -> bool:
        """Whether not everything has been healed for as long as this client has patience."""
        return self._exchanges.history.now() < self._clients.healed_at + self._settings.patience

    # The start.

    async def _start(self) -> Complete:
        while True:
            answer = await self._send()
            told = answer.status is not None and answer.error is None and not answer.retryable
            if told or not self._call.repeatable or not (self._patient or self._hopeful):
                return answer
            await asyncio.sleep(_AGAIN)

    async def _send(self) -> Complete:
        call = self._call
        headers = {"Call-Mode": self._mode, **key_header(call)}
        if self._mode == "callback":
            headers["Callback-Url"] = self._receiver.url(call.call)
        method, path, body = request_of(call)
        return await self._exchanges.make(
            call.call, "start", method, path, headers=headers, token=self._token,
            may_take=self._held_at_the_start(), **body,
        )  # fmt: skip

    def _held_at_the_start(self) -> float:
        match self._mode:
            case "sync":
                return self._settings.wait
            case "long-poll":
                return self._settings.hold
            case "stream":
                return self._settings.patience
        return self._settings.start_wait + (RECONCILE_WAIT if self._call.route in FOUND else 0)

    # What comes after it.

    async def _go_on(self, started: Complete) -> bool:
        match self._mode:
            case "async" if started.location is not None:
                return await self._poll(started.location)
            case "long-poll" if started.location is not None:
                return await self._follow(started.location, "wait", self._settings.hold)
            case "callback" if started.problem is None and started.error is None:
                return await self._called_back()
            case "stream":
                return await self._listen(started)
            case "forget" if started.status == 200:
                return False
        return await self._look()

    async def _cancel(self) -> None:
        """Ask once, of any replica; that it is heeded is not promised, as the job may end of itself meanwhile."""
        await self._exchanges.make(
            self._call.call, "cancel", "POST", f"/-/jobs/{self._job}/cancel", token=self._token, may_take=_HEEDED,
            job=self._job,
        )  # fmt: skip

    async def _poll(self, path: str) -> bool:
        while (answer := await self._read("poll", path, 0.0)) is not None:
            if answer.status == 303 and answer.location is not None:
                return await self._follow(answer.location, "result", 0.0)
            if answer.problem in _GONE or not self._patient:
                return False
            await asyncio.sleep(_AGAIN)
        return False

    async def _follow(self, path: str, road: str, may_take: float) -> bool:
        while (answer := await self._read(road, path, may_take)) is not None:
            if answer.status == 303 and answer.location is not None:
                path = answer.location
                continue
            return _has_outcome(answer)
        return False

    async def _look(self) -> bool:
        """Ask the monitor until the job has ended, then for the result."""
        path = f"/-/jobs/{self._job}"
        while (answer := await self._read("monitor", f"{path}?wait={_MONITOR_WAIT}", _MONITOR_WAIT)) is not None:
            if answer.problem in _GONE:
                return False
            if answer.status == 200 and json.loads(answer.body)["resultUrl"]:
                return await self._follow(f"{path}/result", "result", 0.0)
            if not self._patient:
                return False
        return False

    async def _called_back(self) -> bool:
        try:
            async with asyncio.timeout(max(0.0, self._ends - self._exchanges.history.now())):
                await self._receiver.arrived(self._call.call).wait()
        except TimeoutError:
            return False
        return True

    async def _listen(self, answer: Complete) -> bool:
        last = answer.events[-1].id if answer.events else None
        while self._patient:
            again = await self._read("events", f"/-/jobs/{self._job}/events", self._settings.patience, last_event=last)
            if again is None or again.problem in _GONE or again.status == 204:
                return again is not None and again.status == 204
            if again.events:
                last = again.events[-1].id
                if again.events[-1].name == "outcome":
                    return True
            await asyncio.sleep(_AGAIN)
        return False

    async def _read(self, road: str, path: str, may_take: float, **more: Any) -> Complete | None:
        """Read one of the job's URLs until there is an answer to go by; None when patience is over."""
        while True:
            answer = await self._exchanges.make(
                self._call.call, road, "GET", path, token=self._token, may_take=may_take, job=self._job, **more
            )
            # A 503 about a job may be how it ended; `job-unavailable` never is.
            passing = answer.status == 503 and (answer.job is None or answer.problem == "job-unavailable")
            if answer.events or (answer.error is None and not passing):
                return answer
            if not self._patient:
                return None
            await asyncio.sleep(_AGAIN)


def _has_outcome(answer: Complete) -> bool:
    return answer.error is None and answer.job_status is not None
