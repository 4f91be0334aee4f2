"""How an answer looks on the wire (RFC 9112): its head as bytes, its body whole or in chunks. Pure.

Fields are latin-1 text, as the rest of the gateway holds them, so what the upstream sent leaves as the bytes it was.
"""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from gateway.core.exchange import BODILESS, Headers

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}

_LENGTHLESS = 204
"""The status whose answers must not say how long they are (RFC 9110 8.6); of a 304 it would be another's length."""


def encode_answer(status: int, fields: Headers, body: bytes, framing: str, *, head_only: bool, second: int) -> bytes:
    """Return a whole answer. `framing`: `framing_of` its connection; `second`: any count of seconds, for the date."""
    if status in BODILESS:
        length = "" if status in {_LENGTHLESS, 304} else "Content-Length: 0\r\n"
        return encode_head(status, fields, length + framing, second)
    if head_only:
        # What GET would be answered with (RFC 9110 9.3.2); where that is not known here, nothing is said.
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        return encode_head(status, fields, length + framing, second)
    return encode_head(status, fields, f"Content-Length: {len(body)}\r\n{framing}", second) + body


def encode_head(status: int, fields: Headers, framing: str, second: int) -> bytes:
    """Return the head of an answer. Raises ValueError for a field that would end its line early or is no text."""
    text = "".join([f"{name}: {value}\r\n" for name, value in fields])
    if text.count("\n") != len(fields) or text.count("\r") != len(fields) or "\0" in text:
        raise ValueError("a field holds a line end or a NUL")
    line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"
    return f"{line}{text}Date: {_date(second)}\r\n{framing}\r\n".encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Return one chunk of a body (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def framing_of(*, keeps: bool, http10: bool) -> str:
    """Return what the head says of the connection: whether it is kept for another request."""
    if not keeps:
        return "Connection: close\r\n"
    return "Connection: keep-alive\r\n" if http10 else ""


@lru_cache(maxsize=1)
def _date(second: int) -> str:  # noqa: ARG001 - the key: within a second the date is the same
    return formatdate(usegmt=True)
