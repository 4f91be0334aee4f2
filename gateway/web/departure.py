"""A blocked caller that goes away, on a route or by a wish that has its job canceled then.

Only a caller that was promised an answer on this very connection can go away: a sync one, and who opened the stream.
A long-poll caller comes and goes by design, the others were answered, and a stream that is opened again, or anything
else that reads a job, is a visitor. Nor has a caller gone that was answered, or that this replica left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from gateway.core.errors import BadRequest
from gateway.core.job import Job
from gateway.core.modes import CallerMode
from gateway.core.policy import OnDisconnect, Policy
from gateway.core.reach import cancelable
from gateway.store.port import StoreDown
from gateway.web.request import Request
from gateway.web.response import Response
from gateway.worker.intake import Accepted

_AGAIN = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds between tries to reach the store for somebody who is not there any more."""

_BLOCKED = frozenset({CallerMode.SYNC, CallerMode.STREAM})


class Departure:
    """Watches one call from before its job is accepted until its answer is complete or ready to be written."""

    def __init__(self, request: Request, mode: CallerMode | None, policy: Policy) -> None:
        self._request = request
        self._gateway = request.gateway
        self._policy = policy
        said = read_on_disconnect(request.headers.get("Call-On-Disconnect"))
        self._cancels = mode in _BLOCKED and (said or policy.on_disconnect) is OnDisconnect.CANCEL
        self._accepted: Accepted | None = None
        self._gone = False

    async def of(self, accepting: Coroutine[Any, Any, Accepted]) -> Accepted:
        """Take note of the job that is accepted, though its caller may have gone before it was."""
        accepted = await accepting
        # Who only repeats a call whose job is another's has nothing to give up.
        if not accepted.replayed or accepted.share:
            self._accepted = accepted
            if self._gone:
                self._cancel(accepted)
        return accepted

    @property
    def matters(self) -> bool:
        """Whether its caller's going would mean anything from here on."""
        return self._cancels and self._accepted is not None

    async def watching(self, answering: Coroutine[Any, Any, Response]) -> Response:
        """Watch it until `answering` is done."""
        with self:
            return await answering

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # The handler of a lost connection is cancelled, and at the replica's own end those of connections that are
        # still there.
        self._gone = self._request.gone and not self._gateway.drain.hurry
        if self._gone and self._accepted is not None:
            self._cancel(self._accepted)

    def turned_away(self) -> None:
        """Take note that the caller is refused what it has joined: it will never give up a share it is not told of."""
        if self._accepted is not None and self._accepted.share:
            self._begin_giving_up(self._accepted)
        self._accepted = None

    def _cancel(self, accepted: Accepted) -> None:
        if self._cancels:
            self._accepted = None
            self._begin_giving_up(accepted)

    def _begin_giving_up(self, accepted: Accepted) -> None:
        self._gateway.tasks.spawn(self._give_up(accepted), name=f"caller of {accepted.job_id} is gone")

    async def _give_up(self, accepted: Accepted) -> None:
        for pause in _AGAIN:
            try:
                job = self._gateway.driver.job(accepted.job_id) or await self._gateway.store.read(accepted.job_id)
                if isinstance(job, Job) and cancelable(job, self._policy):
                    await self._gateway.store.request_cancel(accepted.job_id, accepted.share)
            except StoreDown:
                await asyncio.sleep(pause)
            else:
                return


def read_on_disconnect(value: str | None) -> OnDisconnect | None:
    """Return what a caller says of its own going away, if it does. Raises `BadRequest`."""
    if value is None:
        return None
    try:
        return OnDisconnect(value.strip().lower())
    except ValueError:
        raise BadRequest(f"`Call-On-Disconnect` is one of {', '.join(OnDisconnect)}") from None
