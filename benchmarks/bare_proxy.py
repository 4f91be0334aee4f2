"""The yardstick: the proxy that one writes with aiohttp in half an hour. No authentication, no log, no job, no limit.

`python bare_proxy.py PORT UPSTREAM [uvloop]`
"""

import asyncio
import sys

import aiohttp
from aiohttp import web

HOP_BY_HOP = {"connection", "content-length", "date", "host", "keep-alive", "server", "transfer-encoding"}


async def session(app):
    """Keep one client session, its connections unlimited, for the life of the application."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False) as app["client"]:
        yield


async def proxy(request):
    """Pass one request on and its answer back."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
    url, body = sys.argv[2] + request.raw_path, await request.read()
    async with request.app["client"].request(
        request.method, url, headers=headers, data=body, allow_redirects=False
    ) as answer:
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        return web.Response(status=answer.status, headers=headers, body=await answer.read())


if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    if sys.argv[3:] == ["uvloop"]:
        import uvloop

        loop = uvloop.new_event_loop()
    app = web.Application()
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", proxy)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=loop)
