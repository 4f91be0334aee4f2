"""A naive proxy: an `Application` and one `ClientSession`.

`python -m benchmarks.peers.naive_proxy PORT UPSTREAM [uvloop]`
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web

CLIENT = web.AppKey("client", aiohttp.ClientSession)
UPSTREAM = web.AppKey("upstream", str)
HOP_BY_HOP = {"connection", "content-length", "date", "host", "keep-alive", "server", "transfer-encoding"}


async def session(app: web.Application) -> AsyncIterator[None]:
    """Keep one client session, its connections unlimited, for the life of the application."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False) as client:
        app[CLIENT] = client
        yield


async def proxy(request: web.Request) -> web.Response:
    """Pass one request on and its answer back."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
    url, body = request.app[UPSTREAM] + request.raw_path, await request.read()
    async with request.app[CLIENT].request(
        request.method, url, headers=headers, data=body, allow_redirects=False
    ) as answer:
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        return web.Response(status=answer.status, headers=headers, body=await answer.read())


def main(port: str, upstream: str, loop: str = "asyncio") -> None:
    """Serve until terminated."""
    app = web.Application()
    app[UPSTREAM] = upstream
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", proxy)
    new_loop = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, print=None, loop=new_loop())


if __name__ == "__main__":
    main(*sys.argv[1:])
