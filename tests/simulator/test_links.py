"""Status and output URIs: opaque, signed, exact to the byte."""

from __future__ import annotations

import asyncio

import pytest


async def links(t) -> list[str]:
    """Return the path and query of a status URI and of an output URI."""
    started = await t.start(duration=0, n=1)
    ended = await t.get(started.location)
    return [reply.location.removeprefix(t.origin) for reply in (started, ended)]


async def test_every_kind_of_escape(tenant):
    """The URIs carry escapes of reserved and unreserved characters, in both cases of hex."""
    t = await tenant()
    for target in await links(t):
        assert all(escape in target for escape in ("%2D", "%20", "%2b", "%2F", "%2B", "%3D"))


@pytest.mark.parametrize(
    ("sent", "changed"),
    [
        ("%2D", "-"),
        ("%20", "+"),
        ("%2b", "%2B"),
        ("%2F", "/"),
        ("%2F", "%2f"),
        ("%2B", "+"),
        ("hop=0", "hop=1"),
        ("%3D", "="),
    ],
)
async def test_signature_covers_every_byte(tenant, sent, changed):
    """A client that decodes, re-encodes or edits a Location is refused with 403."""
    t = await tenant()
    for target in await links(t):
        assert sent in target
        reply = await t.get(target.replace(sent, changed))
        assert reply.status == 403
    assert t.simulator.counters.refused == 2
    assert t.simulator.counters.outputs == 0


async def test_signature_itself(tenant):
    """A signature of another length or value is refused."""
    t = await tenant()
    status, output = await links(t)
    for target in (status + "A", status[:-4], output.replace("&sig=", "&sig=A"), output.partition("&")[0]):
        assert (await t.get(target)).status == 403


async def test_status_is_not_output(tenant):
    """One URI's signature does not open the other."""
    t = await tenant()
    status, _ = await links(t)
    assert (await t.get(status.replace("/status%20", "/output%20"))).status == 403


async def test_unknown_job(tenant):
    """A URI of another tenant's job is 404."""
    t, other = await tenant(seed=1), await tenant(seed=2)
    status, _ = await links(t)
    assert (await other.get(status)).status == 404


async def test_relative_locations(tenant):
    """Relative Locations are path and query alone."""
    t = await tenant(location="relative", duration=0)
    started = await t.start(n=1)
    assert started.location.startswith("/acme/prod/orchestrator_/api%2Dcalls/status")
    assert (await t.get((await t.get(started.location)).location)).json == {"n": 1}


async def test_another_host(tenant):
    """Absolute Locations can name another host than the one that was called."""
    t = await tenant(location_host="localhost:1", duration=0)
    started = await t.start()
    assert started.location.startswith("http://localhost:1/acme/")
    path = started.location.removeprefix("http://localhost:1")
    assert (await t.get(path)).location.startswith("http://localhost:1/acme/")


async def test_host_of_the_request(tenant):
    """Otherwise they name the host as the caller addressed it."""
    t = await tenant()
    url = f"http://localhost:{t.server.port}{t.path()}"
    assert (await t.call("POST", url, json={})).location.startswith(f"http://localhost:{t.server.port}/acme/")


@pytest.mark.looptime
async def test_retention(tenant):
    """After its retention a job's URIs are unknown."""
    t = await tenant(retention=100, duration=0)
    started = await t.start()
    await t.start(duration=200)
    await asyncio.sleep(101)
    await t.start(duration=200)
    assert (await t.get(started.location)).status == 404
    assert len(t.simulator.jobs) == 2
