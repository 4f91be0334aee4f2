"""What a person says became of a job whose start is in doubt, as JSON: read strictly, for it is acted upon.

    {"verdict": "never-ran"}
    {"verdict": "running", "key": "<the job's key in Orchestrator>"}
    {"verdict": "ended", "status": 200, "headers": {"X-Sum": "3"}, "body": {"sum": 3}}

A `body` that is a string is the outcome's text; any other JSON value stands for itself, byte for byte. Bytes that are
no text come as `bodyBase64`.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated

import msgspec

from gateway.core.arguments import BadArguments, NotJson, scan
from gateway.core.errors import BadVerdict
from gateway.core.exchange import BODILESS, Headers
from gateway.core.job import Outcome
from gateway.core.outcome import end_to_end

_JSON = ("Content-Type", "application/json")

# RFC 9110 5.1 and 5.5: what may be written as a field without changing how the next one is read.
_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


class NeverRan(msgspec.Struct, frozen=True, tag_field="verdict", tag="never-ran", forbid_unknown_fields=True):
    """Nothing was started."""


class Runs(msgspec.Struct, frozen=True, tag_field="verdict", tag="running", forbid_unknown_fields=True):
    """It runs, or has run, in Orchestrator."""

    key: str
    """Its key there, a GUID."""


class HasEnded(msgspec.Struct, frozen=True, tag_field="verdict", tag="ended", forbid_unknown_fields=True):
    """It has ended, and this is how."""

    status: Annotated[int, msgspec.Meta(ge=200, le=599)]
    headers: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw()
    bodyBase64: str | None = None  # noqa: N815 - its name in JSON, as in the last event of a stream

    def outcome(self) -> Outcome:
        """Return what was told as the job's outcome. Raises `BadVerdict`."""
        headers, body = _fields(self.headers), b""
        if bytes(self.body) and self.bodyBase64 is not None:
            raise BadVerdict("the body is told twice: in `body` and in `bodyBase64`")
        if self.bodyBase64 is not None:
            body = _decoded(self.bodyBase64)
        elif bytes(self.body):
            body, typed = _text(bytes(self.body))
            if typed and not any(name.lower() == "content-type" for name, _ in headers):
                headers = (_JSON, *headers)
        if body and self.status in BODILESS:
            raise BadVerdict(f"an answer of {self.status} has no body")
        return Outcome(self.status, end_to_end(headers), body)


Told = NeverRan | Runs | HasEnded

_told: msgspec.json.Decoder[Told] = msgspec.json.Decoder(Told)


def read_verdict(body: bytes) -> Told:
    """Return what a verdict says. Raises `BadVerdict`."""
    try:
        scan(body)
        return _told.decode(body)
    except (BadArguments, NotJson) as error:
        raise BadVerdict(f"the verdict is no JSON object that can be read: {error.detail}") from error
    except msgspec.ValidationError as error:
        raise BadVerdict(str(error)) from error


def _fields(headers: dict[str, str]) -> Headers:
    for name, value in headers.items():
        if not _FIELD_NAME.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
            raise BadVerdict("a header of the outcome is none")
    return tuple((name, value.strip(" \t")) for name, value in headers.items())


def _text(value: bytes) -> tuple[bytes, bool]:
    """Return the body that a JSON value stands for, and whether that is JSON."""
    text = msgspec.json.decode(value)
    return (text.encode(), False) if isinstance(text, str) else (value, True)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadVerdict("`bodyBase64` is not base64") from error
