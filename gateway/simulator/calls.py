"""One call to the tenant's APIs, with what every handler needs to know of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.simulator import answers
from gateway.simulator.answers import Answer
from gateway.simulator.catalog import Folder


class RefusedError(Exception):
    """The call is refused with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Call:
    """A call: its request, the tenant's base path, the origin that the caller addressed, and the folder it selects."""

    request: web.Request
    base: str
    origin: str
    selected: Folder | None

    @property
    def context(self) -> str:
        """The URL of the OData service root, which every answer's `@odata.context` begins with."""
        return f"{self.origin}{self.base}/odata/"

    async def json_object(self) -> dict[str, Any]:
        """Return the body's JSON object. Raises RefusedError where it holds none."""
        try:
            value = json.loads(await self.request.read())
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise invalid("Could not parse body as json.")
        return value


def invalid(message: str) -> RefusedError:
    """Return Orchestrator's 400 for a request that makes no sense."""
    return RefusedError(answers.error(400, message, answers.INVALID_REQUEST))


def missing(message: str) -> RefusedError:
    """Return Orchestrator's 404 for an item that does not exist."""
    return RefusedError(answers.error(404, message, answers.ITEM_NOT_FOUND))
