"""Arguments in, outcome out: what a job gives back, byte for byte."""

from __future__ import annotations

import base64
import gzip
import json

import pytest


async def run(t, headers=None, **arguments):
    """Run a job to its end in one long-polling call."""
    return await t.start("longpoll", duration=0, **arguments)


@pytest.mark.parametrize("output", [{"a": [1, "ü", None]}, "text", 0, None, [], "007"])
async def test_given_output(tenant, output):
    """`output` is any JSON value, and comes back as it is."""
    t = await tenant()
    reply = await run(t, output=output)
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert reply.body == json.dumps(output, ensure_ascii=False, separators=(",", ":")).encode()


async def test_output_in_a_query(tenant):
    """In a query a JSON value is written as text; what is no JSON is a string."""
    t = await tenant()
    for text, body in [('{"a":1}', b'{"a":1}'), ("plain", b'"plain"'), ("7", b"7")]:
        quoted = text.replace('"', "%22").replace("{", "%7B").replace("}", "%7D")
        assert (await t.get(f"{t.path('longpoll')}?duration=0&output={quoted}")).body == body


async def test_echo_has_all_other_arguments(tenant):
    """Without another output, a job gives back its arguments: unicode kept, controls and `$callMode` left out."""
    t = await tenant()
    own = {"id": "a", "s": "zażółć 🦊", "o": {"$callMode": 1}, "f": 1.5, "big": 12345678901234567890}
    reply = await run(t, **own, status=201, fault_on="output", **{"$callMode": "LongPolling"})
    assert (reply.status, reply.json) == (201, own)
    assert "zażółć 🦊".encode() in reply.body


async def test_lone_surrogate(tenant):
    """A lone surrogate, which UTF-8 cannot hold, comes back escaped."""
    t = await tenant()
    target = t.path("longpoll") + "?duration=0"
    reply = await t.call("POST", target, data=b'{"s":"\\ud800"}', headers=JSON | AUTH)
    assert reply.json == {"s": "\ud800"}


@pytest.mark.parametrize("size", [0, 1, 13, 14, 15, 400_000])
async def test_output_size(tenant, size):
    """`output_size` is exact, and JSON."""
    t = await tenant()
    reply = await run(t, output_size=size)
    assert len(reply.body) == size
    assert size == 0 or reply.json is not None


async def test_output_over_the_limit(tenant):
    """Over 512 KB of output are answered 200 with nothing and no error; 512 KB are answered whole."""
    t = await tenant()
    assert len((await run(t, output_size=512 * 1024)).body) == 512 * 1024
    over = await run(t, output_size=512 * 1024 + 1)
    assert (over.status, over.body) == (200, b"")


async def test_text_and_binary_output(tenant):
    """Output may be text or bytes, of any type."""
    t = await tenant()
    text = await run(t, output_text="żółw\n")
    assert (text.body, text.headers["Content-Type"]) == ("żółw\n".encode(), "text/plain; charset=utf-8")
    data = bytes(range(256))
    binary = await run(t, output_base64=base64.b64encode(data).decode(), output_type="image/png")
    assert (binary.body, binary.headers["Content-Type"]) == (data, "image/png")


async def test_compressed_output(tenant):
    """`output_gzip` sends the output encoded, and says so."""
    t = await tenant()
    reply = await run(t, output_gzip=True, n=1)
    assert reply.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(reply.body) == b'{"n":1}'


async def test_output_headers(tenant):
    """Further fields of the output, Set-Cookie too."""
    t = await tenant()
    reply = await run(t, output_headers={"X-Report": "7", "Set-Cookie": "a=b"})
    assert reply.headers["X-Report"] == "7"
    assert "a=b" in reply.headers.getall("Set-Cookie")


async def test_failed_job(tenant):
    """A faulted job is 500 in Orchestrator's envelope; its code and status can be set."""
    t = await tenant()
    failed = await run(t, fail="Selector not found", n=1)
    assert failed.status == 500
    assert set(failed.json) == {"message", "errorCode", "traceId"}
    assert (failed.json["message"], failed.json["errorCode"]) == ("Selector not found", 4801)
    stopped = await run(t, fail="stopped", fail_code=4802, status=409)
    assert (stopped.status, stopped.json["errorCode"]) == (409, 4802)


AUTH = {"Authorization": "Bearer t0"}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b'{"a":NaN}', b"[" * 100_000, b"\xff"])
async def test_body_that_is_not_a_json_object(tenant, body):
    """A body that is labelled JSON and is none, an empty one included, is 400 with error code 4804; nothing starts."""
    t = await tenant()
    reply = await t.call("POST", t.path(), headers=JSON | AUTH, data=body)
    assert (reply.status, reply.json["errorCode"], t.simulator.counters.jobs) == (400, 4804, 0)
    assert reply.json["message"] == "Could not parse body as json."


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"<a/>", "text/xml"), (b"a=1&b=2", "application/x-www-form-urlencoded"), (bytes(range(256)), "image/png")],
)
async def test_other_bodies_are_opaque(tenant, body, content_type):
    """A body of another type runs the job and comes back as it was."""
    t = await tenant()
    target = t.path("longpoll") + "?duration=0"
    reply = await t.call("PUT", target, headers=AUTH | {"Content-Type": content_type}, data=body)
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, body, content_type)


async def test_arguments_too_long(tenant):
    """10,000 characters of arguments are refused with 500 and 4801, and leave a job that has faulted."""
    t = await tenant()
    reply = await t.start(id="a", s="x" * 10_000)
    assert (reply.status, reply.json["errorCode"]) == (500, 4801)
    assert reply.json["message"] == "JobArguments length should be less than 10000 characters."
    assert [job.ended for job in t.simulator.jobs.values()] == [True]
    assert t.simulator.jobs_by_argument["a"] == 1
    short = 10_000 - len('{"s":""}') - 1
    assert (await t.start(s="x" * short)).status == 202
    assert (await t.start(s="x" * (short + 1))).status == 500


@pytest.mark.parametrize(
    "arguments",
    [
        {"duration": "soon"},
        {"duration": "inf"},
        {"duration": [1]},
        {"duration": 10**400},
        {"status": 99},
        {"status": 200.5},
        {"output_size": -1},
        {"output_base64": "?"},
        {"output_headers": ["X"]},
        {"output_headers": {"X": "a\r\nY: b"}},
        {"fail_code": "x"},
    ],
)
async def test_control_that_makes_no_sense(tenant, arguments):
    """A control with a value that cannot be acted on is 400 by name, and nothing starts."""
    t = await tenant()
    reply = await t.start(**arguments)
    assert (reply.status, t.simulator.counters.jobs) == (400, 0)
    assert f"'{next(iter(arguments))}'" in reply.json["message"]
