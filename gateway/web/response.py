"""What a handler answers."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from gateway.core.exchange import Headers


class Response:
    """A whole answer: status, fields as latin-1 text, body. Length, date and connection are added as it is written."""

    __slots__ = ("body", "close", "fields", "status")

    def __init__(self, status: int, fields: Headers = (), body: bytes = b"", *, close: bool = False) -> None:
        self.status = status
        self.fields = fields
        self.body = body
        self.close = close
        """The connection is not used again."""

    def values(self, name: str) -> list[str]:
        """Return the values of the fields of this name, in any case of letters."""
        wanted = name.lower()
        return [value for each, value in self.fields if each.lower() == wanted]


Answered = Response | Coroutine[Any, Any, "Answered"]
"""What a handler comes to: an answer, or what is left to do for one. Handed back, it waits in no frame but its own."""


class Sent(Response):
    """An answer that its handler has written itself, all of it or until its caller went: a stream."""

    __slots__ = ()
