"""What one HTTP exchange with the upstream came to: an `Answer`, or a `Failure` that says whether anything was sent.

Plain data. The upstream client makes them, the outcome rules (`outcome.py`) judge them.
"""

from __future__ import annotations

import enum

import msgspec

Headers = tuple[tuple[str, str], ...]
"""Field lines in wire order, names as received, values as latin-1 text."""

BODILESS = frozenset({204, 205, 304})
"""Statuses whose answers have no body (RFC 9110 6.4.1)."""


def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type says JSON (RFC 6839 for `+json`)."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


class Framing(enum.Enum):
    """How the end of an answer's body was known."""

    LENGTH = "length"
    """Content-Length, or a status that has no body (1xx, 204, 304)."""
    CHUNKED = "chunked"
    """The last chunk was seen."""
    CLOSE = "close"
    """The connection closed: a body cut short looks just like a whole one."""


class Reason(enum.StrEnum):
    """Why an exchange gave no answer."""

    CONNECT = "connect"
    """Refused, unreachable, or no connection within the connect time-out."""
    DNS = "dns"
    TLS = "tls"
    RESET = "reset"
    """The connection ended before the answer's head was complete."""
    TRUNCATED = "truncated"
    """The connection ended inside the body, before its declared end."""
    TIMEOUT = "timeout"
    """The answer was not complete in time."""
    MALFORMED = "malformed"
    """What came back is not HTTP/1.1, or has a field that may not be passed on."""
    TOO_LARGE = "too-large"
    """The answer's head or body is over the limit."""
    CREDENTIAL = "credential"
    """The gateway was refused a credential of its own to send it with."""


class Request(msgspec.Struct, frozen=True):
    """One request to the upstream, exactly as it goes out.

    `url` is absolute and is never normalised: its path and query reach the wire byte for byte.
    `headers` are the end-to-end fields; the client adds Host, Content-Length and Connection itself.
    """

    method: str
    url: str
    headers: Headers = ()
    body: bytes = b""


class Answer(msgspec.Struct, frozen=True):
    """A complete answer: final status, end-to-end and hop-by-hop fields as received, the body's bytes undecoded."""

    status: int
    headers: Headers
    body: bytes
    framing: Framing = Framing.LENGTH

    def header(self, name: str) -> str | None:
        """Return the first value of `name` (any case), or None."""
        wanted = name.lower()
        for key, value in self.headers:
            if key == name or key.lower() == wanted:
                return value
        return None


class Failure(msgspec.Struct, frozen=True):
    """No complete answer. `sent` is False only if it is certain that no byte of the request left this process."""

    reason: Reason
    sent: bool
    detail: str = ""
    """For logs and problem documents: no tokens, no query strings."""


Exchanged = Answer | Failure
