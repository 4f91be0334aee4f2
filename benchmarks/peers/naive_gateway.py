"""A naive gateway: one blocking call over a polling trigger, its job recorded in Redis.

`python -m benchmarks.peers.naive_gateway PORT UPSTREAM REDIS_URL [INTERVAL]`: a handler that starts the job, asks for
its status every INTERVAL seconds (0.1) and reads its output; `ClientSession`, and redis-py with a command at a time,
six a job.
"""

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator

import aiohttp
import redis.asyncio
from aiohttp import web

CLIENT = web.AppKey("client", aiohttp.ClientSession)
REDIS = web.AppKey("redis", redis.asyncio.Redis)
RUNNING = "naive:running"
KEPT = 24 * 3600


def application(upstream: str, redis_url: str, interval: float) -> web.Application:
    """Return the gateway."""

    async def clients(app: web.Application) -> AsyncIterator[None]:
        app[REDIS] = redis.asyncio.from_url(redis_url)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as app[CLIENT], app[REDIS]:
            yield

    async def call(request: web.Request) -> web.Response:
        client, store = request.app[CLIENT], request.app[REDIS]
        headers = {"Authorization": request.headers["Authorization"]}
        arguments = await request.json() | {"$callMode": "AsyncRequestReply"}
        key = f"naive:{uuid.uuid4()}"
        await store.hset(key, mapping={"state": "accepted", "arguments": json.dumps(arguments)})
        await store.expire(key, KEPT)
        await store.zadd(RUNNING, {key: 0})
        async with client.post(f"{upstream}/t/bench/job", json=arguments, headers=headers) as started:
            location = started.headers["Location"]
        await store.hset(key, mapping={"state": "running", "location": location})
        while True:
            await asyncio.sleep(interval)
            async with client.get(location, headers=headers, allow_redirects=False) as status:
                if status.status == 303:
                    break
        async with client.get(status.headers["Location"], headers=headers) as output:
            body = await output.read()
        await store.hset(key, mapping={"state": "succeeded", "status": output.status, "body": body})
        await store.zrem(RUNNING, key)
        return web.Response(status=output.status, body=body, content_type="application/json")

    app = web.Application()
    app.cleanup_ctx.append(clients)
    app.router.add_post("/job", call)
    return app


if __name__ == "__main__":
    port, upstream, redis_url, *rest = sys.argv[1:]
    app = application(upstream, redis_url, float(rest[0]) if rest else 0.1)
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, print=None, backlog=1024)
