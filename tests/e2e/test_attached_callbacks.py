"""A callback that was promised comes; one that cannot be is refused."""

from __future__ import annotations

import json

from gateway.worker.settings import CallbackSettings
from tests.support.rig import rig, with_store

ALLOWED = CallbackSettings(allow=("127.0.0.1/32",), insecure=True)
KEY = {"Idempotency-Key": "order-7"}


async def test_a_repeated_call_cannot_add_a_callback(redis_url):
    """The earlier job knows nothing of the new URL: saying 202 would promise a delivery that never comes."""
    async with rig(shared=with_store(redis_url), callbacks=ALLOWED) as running:
        body = json.dumps({"duration": 0.1})
        status, first, _ = await running.call(data=body, headers=KEY)
        assert status == 200
        wish = {"Call-Mode": "callback", "Callback-Url": "http://127.0.0.1:9/hook"}
        status, _, problem = await running.call(data=body, headers=KEY | wish)
        assert status == 422
        assert json.loads(problem)["jobId"] == first["Job-Id"]


async def test_a_repeated_call_with_the_same_callback_is_the_same_call(redis_url):
    """A client that lost the 202 repeats its request, and is told of its job."""
    async with rig(shared=with_store(redis_url), callbacks=ALLOWED) as running:
        wish = {"Call-Mode": "callback", "Callback-Url": "http://127.0.0.1:9/hook"}
        body = json.dumps({"duration": 0.1})
        answers = [await running.call(data=body, headers=KEY | wish) for _ in range(2)]
        assert [status for status, _, _ in answers] == [202, 202]
        assert len({headers["Job-Id"] for _, headers, _ in answers}) == 1
        assert running.simulator.counters.starts == 1
