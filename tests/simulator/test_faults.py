"""Everything that goes wrong on purpose: what a caller sees of it, and whether a job ran."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

import pytest

from gateway.simulator.faults import FAULTS, Stage

EDGE = [502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527]


@dataclass
class Heard:
    """All the bytes that came on a connection, and how it ended."""

    data: bytes
    reset: bool

    @property
    def head(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]


async def listen(t, method: str, target: str, body: bytes = b"") -> Heard:
    """Send one request over a socket of its own and hear everything until the connection's end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", t.server.port)
    path = target.removeprefix(t.origin)
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{t.server.port}\r\nAuthorization: Bearer t0\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )
    data, reset = b"", False
    try:
        while part := await reader.read(65536):
            data += part
    except ConnectionResetError:
        reset = True
    writer.close()
    return Heard(data, reset)


async def start(t, slug: str = "job", **arguments) -> Heard:
    """Start a job over a socket of its own."""
    return await listen(t, "POST", t.path(slug), json.dumps(arguments).encode())


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [("401", 401, 0), ("403", 403, 0), ("404", 404, 1623), ("429", 429, 0), ("500-cold", 500, 0)],
)
async def test_refused_starts(tenant, fault, status, code):
    """Orchestrator's own refusals are JSON, and nothing has started."""
    t = await tenant()
    reply = await t.start(fault=fault)
    assert (reply.status, reply.json["errorCode"], t.simulator.counters.jobs) == (status, code, 0)
    assert (reply.headers.get("Retry-After") == "1") is (fault == "429")


@pytest.mark.parametrize("status", EDGE)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_edge_pages(tenant, status, when):
    """Cloudflare's pages are HTML, whether the job started or not: nothing in them tells."""
    t = await tenant()
    reply = await t.start(id="a", fault=f"{status}-{when}")
    assert reply.status == status
    assert reply.headers["Content-Type"].startswith("text/html")
    assert t.simulator.starts_by_argument["a"] == 1
    assert t.simulator.jobs_by_argument["a"] == (1 if when == "after" else 0)


async def test_html_429(tenant):
    """The edge's own 429 is HTML."""
    t = await tenant()
    reply = await t.start(fault="429-html")
    assert (reply.status, reply.headers["Retry-After"], t.simulator.counters.jobs) == (429, "1", 0)
    assert reply.body.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("fault", "reset", "jobs"),
    [("reset-before", True, 0), ("reset-after", True, 1), ("close-before", False, 0), ("close-after", False, 1)],
)
async def test_no_answer_at_all(tenant, fault, reset, jobs):
    """The connection ends without a byte, by RST or FIN, before or after the job started."""
    t = await tenant()
    heard = await start(t, fault=fault)
    assert (heard.data, heard.reset, t.simulator.counters.jobs) == (b"", reset, jobs)


async def test_reset_in_head(tenant):
    """The job runs; half a response head arrives, then RST."""
    t = await tenant()
    heard = await start(t, fault="reset-in-head")
    assert heard.data.startswith(b"HTTP/1.1 202 Accepted\r\n")
    assert b"\r\n\r\n" not in heard.data
    assert (heard.reset, t.simulator.counters.jobs) == (True, 1)


async def test_not_http(tenant):
    """The job runs; what comes back is no HTTP."""
    t = await tenant()
    heard = await start(t, fault="not-http")
    assert not heard.data.startswith(b"HTTP/")
    assert (len(heard.data), t.simulator.counters.jobs) == (7, 1)


@pytest.mark.parametrize("fault", ["reset-in-body", "truncated", "truncated-close", "truncated-chunked"])
@pytest.mark.parametrize("on", ["start", "output"])
async def test_half_a_body(tenant, fault, on):
    """Half of the outcome arrives, framed every way in which a body can be cut; the next read gives all of it."""
    t = await tenant(duration=0, mode="LongPolling" if on == "start" else "AsyncRequestReply")
    whole = json.dumps({"n": 1, "s": "x" * 100}, separators=(",", ":")).encode()
    if on == "start":
        heard = await start(t, fault=fault, n=1, s="x" * 100)
    else:
        started = await t.start(fault=fault, fault_on="output", n=1, s="x" * 100)
        output = (await t.get(started.location)).location
        heard = await listen(t, "GET", output)
        assert (await t.get(output)).body == whole
    assert heard.head.startswith(b"HTTP/1.1 200 OK\r\n")
    half = whole[: len(whole) // 2]
    if fault == "truncated-chunked":
        assert heard.body == b"%x\r\n%b\r\n" % (len(half), half)
        assert b"transfer-encoding: chunked" in heard.head.lower()
    else:
        assert heard.body == half
        declared = b"content-length: %d" % len(whole)
        assert (declared in heard.head.lower()) is (fault != "truncated-close")
    assert heard.reset is (fault == "reset-in-body")
    assert t.simulator.counters.jobs == 1


@pytest.mark.looptime
@pytest.mark.parametrize(("fault", "jobs"), [("stall-before", 0), ("stall", 1)])
async def test_stall(tenant, fault, jobs):
    """Nothing comes for as long as the tenant stalls, then RST."""
    t = await tenant(stall=300)
    loop = asyncio.get_running_loop()
    began = loop.time()
    heard = await start(t, fault=fault)
    assert (heard.data, heard.reset, t.simulator.counters.jobs) == (b"", True, jobs)
    assert loop.time() - began == pytest.approx(300, abs=1)


@pytest.mark.looptime
async def test_stopping_ends_stalls(tenant):
    """A tenant that stops does not wait for its stalled calls."""
    t = await tenant(stall=10_000, mode="LongPolling", duration=0)
    async with asyncio.TaskGroup() as group:
        stalled = group.create_task(start(t, fault="stall-in-body", n=1))
        await asyncio.sleep(1)
        await t.server.close()
    assert stalled.result().body == b'{"n'


async def test_location_missing_or_foreign(tenant):
    """A 202 without a Location, and one whose Location names another host; the job runs."""
    t = await tenant(foreign_origin="http://evil.invalid")
    missing = await t.start(fault="no-location")
    assert missing.status == 202
    assert "Location" not in missing.headers
    foreign = await t.start(fault="foreign-location")
    assert foreign.location.startswith("http://evil.invalid/acme/prod/orchestrator_/api%2Dcalls/")
    assert t.simulator.counters.jobs == 2


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_other_redirects(tenant, status):
    """Another redirect status, with the right Location."""
    t = await tenant(duration=0)
    assert (await t.start(fault=str(status))).status == status
    started = await t.start(fault=str(status), fault_on="status")
    odd = await t.get(started.location)
    assert odd.status == status
    assert (await t.get(odd.location)).status == 200


async def test_fault_waits_for_an_answer_it_can_spoil(tenant):
    """A poll of a running job has no Location to lose: the fault is kept for the one that has."""
    t = await tenant(duration=0.2)
    started = await t.start(fault="no-location", fault_on="status")
    assert (await t.get(started.location)).status == 200
    await asyncio.sleep(0.3)
    lost = await t.get(started.location)
    assert lost.status == 303
    assert "Location" not in lost.headers
    assert "Location" in (await t.get(started.location)).headers
    assert t.simulator.counters.faults == 1


async def test_empty_output(tenant):
    """An output read may come back as 200 with nothing in it."""
    t = await tenant(duration=0)
    started = await t.start(fault="empty", fault_on="output", n=1)
    output = (await t.get(started.location)).location
    assert [(await t.get(output)).body for _ in range(2)] == [b"", b'{"n":1}']


@pytest.mark.parametrize("on", ["status", "output"])
async def test_faults_of_reads(tenant, on):
    """A read goes wrong as often as was asked, then works."""
    t = await tenant(duration=0)
    started = await t.start(fault="502-after", fault_on=on, fault_times=3)
    target = started.location if on == "status" else (await t.get(started.location)).location
    assert [(await t.get(target)).status for _ in range(4)] == [502] * 3 + [303 if on == "status" else 200]
    assert t.simulator.counters.faults == 3


@pytest.mark.looptime
async def test_faults_of_legs(tenant):
    """The second leg of a long poll goes wrong once; the next try carries on."""
    t = await tenant(mode="LongPolling", duration=40)
    held = await t.start(fault="524-after", fault_on="leg", n=1)
    assert held.status == 303
    assert [(await t.get(held.location)).status for _ in range(2)] == [524, 200]


async def test_fault_times_on_start(tenant):
    """A start fails as often as was asked, counted by its tag; without a count it fails every time."""
    t = await tenant()
    statuses = [(await t.start(id="a", fault="429", fault_times=2)).status for _ in range(4)]
    assert statuses == [429, 429, 202, 202]
    assert [(await t.start(id="b", fault="429")).status for _ in range(3)] == [429] * 3
    assert t.simulator.starts_by_argument["a"] == 4
    assert t.simulator.jobs_by_argument["a"] == 2


@pytest.mark.parametrize("arguments", [{"fault": "gremlins"}, {"fault": "429", "fault_on": "sunday"}])
async def test_unknown_fault(tenant, arguments):
    """A fault that there is none of is refused by name, and nothing starts."""
    t = await tenant()
    reply = await t.start(**arguments)
    assert (reply.status, t.simulator.counters.jobs) == (400, 0)
    assert next(iter(arguments.values() if len(arguments) == 1 else ["sunday"])) in reply.json["message"]


async def test_cold_start(tenant):
    """The first start of each slug is answered 500; the next one works."""
    t = await tenant(cold_start=True)
    assert [(await t.start("one")).status for _ in range(2)] == [500, 202]
    assert (await t.start("two")).status == 500
    assert t.simulator.counters.jobs == 1


async def test_seeded_rate(tenant):
    """Faults at a rate come in an order that the seed decides."""
    runs = []
    for seed in (1, 1, 2):
        t = await tenant(fault_rate=0.5, faults=("429@start", "502-before"), seed=seed)
        runs.append([(await t.start()).status for _ in range(40)])
    assert runs[0] == runs[1] != runs[2]
    assert set(runs[0]) == {202, 429, 502}


async def test_rate_keeps_to_its_point(tenant):
    """A fault that is named for one point never happens at another."""
    t = await tenant(duration=60, fault_rate=1.0, faults=("404@output", "reset-after@leg"))
    started = await t.start()
    assert (started.status, (await t.get(started.location)).status) == (202, 200)


@pytest.mark.parametrize("faults", [("gremlins",), ("429@sunday",)])
async def test_settings_name_known_faults(tenant, faults):
    """Settings with a fault that there is none of are refused at once."""
    with pytest.raises(ValueError, match=r"gremlins|sunday"):
        await tenant(faults=faults)


@pytest.mark.parametrize("fault", [f.name for f in FAULTS.values() if f.stage is not Stage.ANSWERED])
async def test_reads_survive_every_fault(tenant, fault):
    """Whatever happens to a poll, the job is unharmed and the next poll works."""
    t = await tenant(duration=0, stall=0.01)
    started = await t.start(fault=fault, fault_on="status", n=1)
    await listen(t, "GET", started.location)
    ended = await t.get(started.location)
    assert ended.status == 303
    assert (await t.get(ended.location)).json == {"n": 1}
    assert (t.simulator.counters.jobs, t.simulator.counters.faults) == (1, 1)
