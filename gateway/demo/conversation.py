"""What one caller says to the gateway and hears from it, noted as it goes, so that the table can show it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

import aiohttp
from yarl import URL

from gateway.demo.outcome import Outcome

AUTHORIZATION = {"Authorization": "Bearer demo"}
"""Every caller's own credential, which goes upstream; the simulator takes any."""


_PATIENCE = 10.0
"""Seconds after which a caller gives up."""


class UnexpectedAnswerError(Exception):
    """The gateway did not answer as the mode promises; the message says how."""


class Conversation:
    """One caller and its job, at the route `url`.

    `hops` counts the redirects followed; `job_id` is known after the first answer.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, arguments: Mapping[str, Any]) -> None:
        self.hops = 0
        self.job_id = ""
        self._http = http
        self._url = url
        self._arguments = dict(arguments)
        self._heard: list[str] = []

    @property
    def heard(self) -> str:
        """What came, in order, equal things counted: `202, 200 x5, 303, 200`."""
        runs = [(what, len(list(run))) for what, run in groupby(self._heard)]
        return ", ".join(what if count == 1 else f"{what} x{count}" for what, count in runs)

    def note(self, what: str) -> None:
        """Note something heard by another way than as an answer to this caller's requests."""
        self._heard.append(what)

    async def start(
        self, headers: Mapping[str, str] | None = None, *, extra: Mapping[str, Any] | None = None
    ) -> Outcome:
        """POST the job's arguments, and `extra` ones; return the answer."""
        async with self.starting(headers, extra=extra) as response:
            return await _whole(response)

    @asynccontextmanager
    async def starting(
        self, headers: Mapping[str, str] | None = None, *, extra: Mapping[str, Any] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """POST like `start`; give the answer while its body still comes."""
        arguments = {**self._arguments, **(extra or {})}
        async with self._http.post(self._url, json=arguments, headers=headers, allow_redirects=False) as response:
            self.note(str(response.status))
            self.job_id = response.headers.get("Job-Id", "")
            yield response

    async def get(self, url: str, *, note: str = "") -> Outcome:
        """GET one of the job's URLs. A redirect is an answer like any other. `note`: what it counts as heard."""
        async with self._http.get(URL(url, encoded=True), allow_redirects=False) as response:
            self.note(note or str(response.status))
            return await _whole(response)

    async def follow(self, redirect: Outcome) -> Outcome:
        """GET what a redirect points to, and count the hop."""
        self.hops += 1
        return await self.get(field(redirect, "Location"))


def expect(answer: Outcome, status: int, *, of: str) -> None:
    """Raise UnexpectedAnswerError unless `answer` has this status."""
    if answer.status != status:
        said = answer.body.decode(errors="replace")[:120]
        raise UnexpectedAnswerError(f"{of} was answered {answer.status} instead of {status}: {said}")


def field(answer: Outcome, name: str) -> str:
    """Return a header field. Raises UnexpectedAnswerError where there is none."""
    if name not in answer.headers:
        raise UnexpectedAnswerError(f"the answer {answer.status} has no {name}")
    return answer.headers[name]


def link(answer: Outcome, relation: str) -> str:
    """Return the target of the link (RFC 8288) with this relation. Raises UnexpectedAnswerError without one."""
    found = re.search(rf'<([^>]*)>; rel="{relation}"', field(answer, "Link"))
    if found is None:
        raise UnexpectedAnswerError(f"the answer {answer.status} links no {relation}")
    return found[1]


async def outcome_or_why(call: Awaitable[Outcome]) -> Outcome | str:
    """Return what `call` comes to: an outcome, or in plain words why there is none."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await call
    except UnexpectedAnswerError as error:
        return str(error)
    except TimeoutError:
        return f"no outcome came within {_PATIENCE:.0f} seconds"
    except (aiohttp.ClientError, OSError) as error:
        return f"the connection broke: {type(error).__name__}: {error}"
    except (ValueError, KeyError, TypeError) as error:
        return f"an answer could not be understood: {type(error).__name__}: {error}"


async def _whole(response: aiohttp.ClientResponse) -> Outcome:
    return Outcome(response.status, response.headers, await response.read())
