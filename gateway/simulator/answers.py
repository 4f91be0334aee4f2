"""What Orchestrator and the edge in front of it say, as plain data: status, fields, bytes.

An `Answer` is made by a handler, may be spoilt by a fault, and is sent last, so that a fault never needs to know how an
answer came about.
"""

from __future__ import annotations

import http.client
import json
import uuid
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=UTF-8"

EDGE_FIELDS = (
    ("Server", "cloudflare"),
    ("CF-RAY", "8e1f3a5b7c9d0e2f-WAW"),
    ("CF-Cache-Status", "DYNAMIC"),
    ("Cache-Control", "no-cache, no-store"),
    ("Set-Cookie", "__cf_bm=simulated; Path=/; HttpOnly"),
)
"""What the edge adds to every answer; a gateway has to keep these to itself."""

# Orchestrator's error codes.
INVALID_REQUEST = 1000
ITEM_NOT_FOUND = 1002
FOLDER_REQUIRED = 1101
FAULTED = 4801
STOPPED = 4802
SYNC_LIMIT_REACHED = 4803
BAD_REQUEST = 4804
TRIGGER_NOT_FOUND = 1623


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer: its status, its own header fields in order, and its body's bytes as they go out."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def reason(self) -> str:
        """The reason phrase; empty where the status has no registered one (520 and its like)."""
        return http.client.responses.get(self.status, "")

    @property
    def location(self) -> str | None:
        """The Location field, or None."""
        return next((value for name, value in self.headers if name.lower() == "location"), None)

    def with_location(self, location: str | None) -> Answer:
        """Return the answer with another Location in place of its own, or with none."""
        rest = tuple(field for field in self.headers if field[0].lower() != "location")
        return Answer(self.status, self.body, rest if location is None else (*rest, ("Location", location)))

    def response(self) -> web.Response:
        """Return the answer as aiohttp sends it: complete, with a length."""
        fields: CIMultiDict[str] = CIMultiDict(EDGE_FIELDS)
        fields.extend(self.headers)
        return web.Response(status=self.status, reason=self.reason, body=self.body, headers=fields)


def encode(value: Any) -> bytes:
    """Return `value` as compact JSON, in UTF-8; all of it escaped where a lone surrogate leaves no other way."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def json_answer(status: int, value: Any, *headers: tuple[str, str]) -> Answer:
    """Return `value` as a JSON answer."""
    return Answer(status, encode(value), (("Content-Type", JSON), *headers))


def error(status: int, message: str, code: int, *headers: tuple[str, str]) -> Answer:
    """Return an error in the envelope that API triggers use: `{"message", "errorCode", "traceId"}`."""
    return json_answer(status, {"message": message, "errorCode": code, "traceId": uuid.uuid4().hex}, *headers)


def redirect(status: int, location: str, *headers: tuple[str, str]) -> Answer:
    """Return an empty answer with a Location."""
    return Answer(status, headers=(("Location", location), *headers))


def edge_page(status: int, *headers: tuple[str, str]) -> Answer:
    """Return the HTML page that the edge (Cloudflare) gives in Orchestrator's place."""
    title = f"cloud.uipath.com | {status}: {Answer(status).reason or 'Web server returned an unknown error'}"
    page = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1>cloudflare</body></html>\n"
    return Answer(status, page.encode(), (("Content-Type", HTML), *headers))
