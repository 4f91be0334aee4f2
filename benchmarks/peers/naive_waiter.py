"""A naive handler that waits for a future: no job, no upstream, no store. The least that aiohttp holds of a caller.

`python -m benchmarks.peers.naive_waiter PORT`: `POST /job` waits for `POST /release`, and is answered as a job's
upstream would; `GET /came/N` waits until so many callers came in all. Both tell how many.
"""

import asyncio
import sys
import time

from aiohttp import web

from benchmarks.outcome import outcome_of


def application() -> web.Application:
    """Return the application."""
    waiting: list[asyncio.Future[int]] = []
    came = 0
    arrived = asyncio.Condition()

    async def call(request: web.Request) -> web.Response:
        nonlocal came
        arguments = await request.json()
        released: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiting.append(released)
        async with arrived:
            came += 1
            arrived.notify_all()
        body = outcome_of(int(arguments["id"]), await released)
        return web.Response(body=body, content_type="application/json")

    async def wait_for(request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        async with arrived:
            await arrived.wait_for(lambda: came >= number)
        return web.json_response(came)

    async def release(_: web.Request) -> web.Response:
        now = time.monotonic_ns()
        for each in waiting:
            each.set_result(now)
        waiting.clear()
        return web.json_response(came)

    app = web.Application()
    app.router.add_post("/job", call)
    app.router.add_get("/came/{number}", wait_for)
    app.router.add_post("/release", release)
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, backlog=1024)
