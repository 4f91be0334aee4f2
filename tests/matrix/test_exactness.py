"""The outcome is exact in every caller mode, over every upstream mode that has one: status, bytes and what they are."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import pytest

from gateway.core.modes import CallerMode, UpstreamMode
from gateway.simulator import Settings
from tests.matrix.client import Request
from tests.matrix.conftest import Stage, Staging
from tests.matrix.conversations import converse, monitor_of
from tests.matrix.ways import Way
from tests.support.rig import policy

JSON = "application/json"
JSON_OF_THE_UPSTREAM = "application/json; charset=utf-8"
LEG = 0.1

WAYS = (
    (Way("polled", "async", UpstreamMode.ASYNC), 0.05),
    (Way("first-leg", "longpoll", UpstreamMode.LONG_POLL), 0.05),
    (Way("later-leg", "longpoll", UpstreamMode.LONG_POLL), 0.25),
)
"""Where the outcome comes from, and the seconds that its job takes: an output URI, the start's own answer, a leg."""


@dataclass(frozen=True)
class Case:
    """An outcome: what makes the simulated job end so, and how it then ends."""

    controls: dict[str, object]
    body: bytes
    content_type: str | None = JSON
    status: int = 200
    state: str = "succeeded"
    encoding: str | None = None


def output(body: bytes, content_type: str = JSON, **controls: object) -> dict[str, object]:
    """Return the arguments of a job whose output is `body`."""
    return {"output_base64": base64.b64encode(body).decode(), "output_type": content_type, **controls}


ODD_JSON = b'{ "z" :1.10,\n\t"a": 123456789012345678901234567890, "e":1E+2, "u":"\\u00e4\xc3\xa4\\/", "z2":-0.0 }\n'
BINARY = bytes(range(256)) * 4
UNICODE = "Größe 漢字 \N{PILE OF POO} e\u0301 \u2028 \ufeff \x00 \r\n end".encode()
LARGE = b'{"padding":"' + b"x" * (400 * 1024 - 14) + b'"}'
RANDOM = os.urandom(400 * 1024)

CASES: dict[str, Case] = {
    "json": Case(output(ODD_JSON), ODD_JSON),
    "json-with-charset": Case(
        output(b"[1.10]", "application/json;charset=UTF-8"), b"[1.10]", "application/json;charset=UTF-8"
    ),
    "text": Case(output(b" a\r\nb\n", "text/plain"), b" a\r\nb\n", "text/plain"),
    "latin-1": Case(
        output(b"Gr\xf6\xdfe", "text/plain; charset=iso-8859-1"), b"Gr\xf6\xdfe", "text/plain; charset=iso-8859-1"
    ),
    "unicode": Case(output(UNICODE, "text/plain; charset=utf-8"), UNICODE, "text/plain; charset=utf-8"),
    "html": Case(output(b"<p>robot</p>", "text/html"), b"<p>robot</p>", "text/html"),
    "binary": Case(output(BINARY, "application/pdf"), BINARY, "application/pdf"),
    "empty": Case({"output_text": ""}, b"", None),
    "400-kb-json": Case({"output_size": len(LARGE)}, LARGE, JSON_OF_THE_UPSTREAM),
    "400-kb-binary": Case(output(RANDOM, "application/octet-stream"), RANDOM, "application/octet-stream"),
    "gzip": Case(output(ODD_JSON, output_gzip=True), gzip.compress(ODD_JSON, 1, mtime=0), encoding="gzip"),
    "201": Case(output(b'{"n":1.0}', status=201), b'{"n":1.0}', status=201),
    "404": Case(output(b"none of it", "text/plain", status=404), b"none of it", "text/plain", 404, "failed"),
    "418": Case(output(b'{"tea": true}', status=418), b'{"tea": true}', status=418, state="failed"),
    "500": Case(output(b'{"own":"error"}', status=500), b'{"own":"error"}', status=500, state="failed"),
    "503": Case(output(b'{"own":"error"}', status=503), b'{"own":"error"}', status=503, state="failed"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_the_outcome_is_exact_in_every_mode(staged, case: Case):
    """Not a byte is decoded, re-encoded or re-labelled on its way."""
    async with _staged(staged) as stage, asyncio.TaskGroup() as group:
        for way, duration in WAYS:
            for caller in CallerMode:
                group.create_task(_check(stage, way, caller, case, duration))


def _staged(staged: Staging) -> AbstractAsyncContextManager[Stage]:
    quick = policy(hold=150)
    return staged(routes=tuple(way.route(quick) for way, _ in WAYS), simulator=Settings(leg=LEG))


async def _check(stage: Stage, way: Way, caller: CallerMode, case: Case, duration: float) -> None:
    tag = f"{way.name} {caller}"
    request = way.request(caller, {"id": tag, "duration": duration, **case.controls})
    ending = await converse(stage.signed_only, stage.receiver, caller, request, poll_every=0.05)
    assert ending.body == case.body, tag
    assert (ending.status, ending.job_status) == (case.status, case.state), tag
    assert ending.headers.get("Content-Encoding") == case.encoding, tag
    assert ending.headers.get("Content-Type") == case.content_type, tag
    assert stage.started_once(tag)


@pytest.mark.parametrize(("code", "state"), [(4801, "failed"), (4802, "canceled")])
async def test_a_failure_of_the_job_is_exact_in_every_mode(staged, code: int, state: str):
    """It is the upstream's own error, every byte of it, and the same however often it is read."""
    case = {"fail": "the robot said „no“", "fail_code": code}
    async with _staged(staged) as stage, asyncio.TaskGroup() as group:
        for way, duration in WAYS:
            for caller in CallerMode:
                request = way.request(caller, {"id": f"{way.name} {caller}", "duration": duration, **case})
                group.create_task(_check_failure(stage, caller, request, code, state))


async def _check_failure(stage: Stage, caller: CallerMode, request: Request, code: int, state: str) -> None:
    ending = await converse(stage.client, stage.receiver, caller, request, poll_every=0.05)
    assert (ending.status, ending.job_status) == (500, state)
    error = ending.json
    assert (error["message"], error["errorCode"]) == ("the robot said „no“", code)
    # The simulator's own way of writing it: a decode and re-encode by the gateway would show.
    assert ending.body == json.dumps(error, ensure_ascii=False, separators=(",", ":")).encode()
    assert ending.headers["Content-Type"] == JSON_OF_THE_UPSTREAM
    view = await monitor_of(stage.client, ending.first)
    again = await stage.client.get(view["resultUrl"])
    # The trace id differs at every answer of the upstream: this one is the gateway's own copy.
    assert (again.status, again.body) == (500, ending.body)
