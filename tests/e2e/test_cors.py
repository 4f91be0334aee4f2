"""Pages of other origins: only those that a route names may read its answers, problems and streams included."""

from __future__ import annotations

import json

from gateway.web.settings import Route
from gateway.worker.settings import CallbackSettings
from tests.e2e.support import eventually, receiving
from tests.support.rig import rig, with_store

PAGE = "https://app.example"
JOB = "00aaaaaaaaaaaaaaaaaaaaaa"
ROUTE = Route(name="shop", path="/shop", trigger="/t/folder/async", cors=frozenset({PAGE}))


async def test_a_preflight_is_answered_before_anything_is_asked_of_the_caller(redis_url):
    """The browser sends OPTIONS without the token; nothing starts."""
    asks = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    async with rig(shared=with_store(redis_url), routes=(ROUTE,)) as running:
        for path in (
            "/shop",
            f"/-/jobs/{JOB}/poll",
            f"/-/jobs/{JOB}/callbacks",
            f"/-/callbacks/{JOB}/redeliver",
            "/-/callbacks/secret",
        ):
            status, headers, _ = await running.call("OPTIONS", path, headers=asks)
            assert status == 204
            assert headers["Access-Control-Allow-Origin"] == PAGE
            assert headers["Access-Control-Allow-Headers"] == "authorization"
        assert running.simulator.counters.starts == 0


async def test_a_page_follows_its_job_through_every_answer(redis_url):
    """Start, poll, result and problem can all be read by the page, with the headers that lead on."""
    async with rig(shared=with_store(redis_url), routes=(ROUTE,)) as running:
        body = json.dumps({"duration": 0.2})
        status, headers, _ = await running.call(
            "POST", "/shop", data=body, headers={"Origin": PAGE, "Call-Mode": "async"}
        )
        assert (status, headers["Access-Control-Allow-Origin"]) == (202, PAGE)
        assert "Location" in headers["Access-Control-Expose-Headers"]
        for suffix in ("poll", "result"):
            url = headers["Location"].replace("/poll", f"/{suffix}")
            _, answered, _ = await running.call("GET", url, headers={"Origin": PAGE})
            assert answered["Access-Control-Allow-Origin"] == PAGE
        status, refused, _ = await running.call(
            "POST", "/shop", data="{", headers={"Origin": PAGE, "Content-Type": "application/json"}
        )
        assert (status, refused["Access-Control-Allow-Origin"]) == (400, PAGE)


async def test_a_page_reads_its_callbacks(redis_url):
    """Those of its job, the same again, and the secret that signs them; a page that no route names reads none."""
    callbacks = CallbackSettings(allow=("127.0.0.0/8",), insecure=True)
    async with (
        rig(shared=with_store(redis_url), routes=(ROUTE,), callbacks=callbacks) as running,
        receiving() as receiver,
    ):
        wanted = {"Call-Mode": "callback", "Callback-Url": receiver.url}
        _, started, _ = await running.call("POST", "/shop", data='{"duration":0.1}', headers=wanted)
        listed = f"/-/jobs/{started['Job-Id']}/callbacks"

        async def delivered():
            (delivery,) = json.loads((await running.call("GET", listed))[2])["callbacks"]
            return delivery if delivery["status"] == "delivered" else None

        again = f"/-/callbacks/{(await eventually(delivered))['id']}/redeliver"
        for origin, allowed in ((PAGE, PAGE), ("https://evil.example", None)):
            for method, path, good in (("GET", listed, 200), ("POST", again, 202), ("GET", "/-/callbacks/secret", 200)):
                status, headers, _ = await running.call(method, path, headers={"Origin": origin})
                assert (status, headers.get("Access-Control-Allow-Origin")) == (good, allowed), path


async def test_a_stranger_gets_no_permission(redis_url):
    """Another origin's page is told nothing that would let it read the answer."""
    async with rig(shared=with_store(redis_url), routes=(ROUTE,)) as running:
        status, headers, _ = await running.call(
            "POST", "/shop", data='{"duration":0.1}', headers={"Origin": "https://evil.example"}
        )
        assert status == 200
        assert "Access-Control-Allow-Origin" not in headers
        assert headers["Vary"] == "Origin"
