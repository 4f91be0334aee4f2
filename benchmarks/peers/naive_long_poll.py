"""A naive gateway over long-polls: a handler that holds one `ClientSession` call until the job ends. No record.

`python -m benchmarks.peers.naive_long_poll PORT UPSTREAM`
"""

import sys
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

CLIENT = web.AppKey("client", aiohttp.ClientSession)


def application(upstream: str) -> web.Application:
    """Return the gateway."""

    async def session(app: web.Application) -> AsyncIterator[None]:
        no_limit = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=no_limit) as app[CLIENT]:
            yield

    async def call(request: web.Request) -> web.Response:
        headers = {"Authorization": request.headers["Authorization"]}
        arguments = await request.json() | {"$callMode": "LongPolling"}
        async with request.app[CLIENT].post(f"{upstream}/t/bench/job", json=arguments, headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

    app = web.Application()
    app.cleanup_ctx.append(session)
    app.router.add_post("/job", call)
    return app


if __name__ == "__main__":
    port, upstream = sys.argv[1:]
    web.run_app(application(upstream), host="127.0.0.1", port=int(port), access_log=None, print=None, backlog=1024)
