"""CPU per request of the upstream client against aiohttp's `ClientSession`, on loopback under uvloop.

The origin is a child process. Rounds are interleaved; the figures are medians, the ratio's that of each round's ratio.
"""

import asyncio
import multiprocessing
import statistics
import time

import aiohttp
import uvloop

from gateway.core.exchange import Request
from gateway.upstream.http1 import Http1Client

ROUNDS, TASKS, CALLS = 7, 64, 100
BODY = b'{"state":"Successful","n":1}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 28\r\n\r\n" + BODY
HEADERS = (("Content-Type", "application/json"), ("Authorization", "Bearer x"))


class Origin(asyncio.Protocol):
    """Answers each segment: a small request comes in one."""

    def connection_made(self, transport):
        """Keep the transport."""
        self.transport = transport

    def data_received(self, _):
        """Answer."""
        self.transport.write(ANSWER)


async def serve(pipe):
    """Serve in a process of its own; tell the port through `pipe`."""
    server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def measure(call):
    """Return the CPU microseconds of one call."""

    async def work():
        for _ in range(CALLS):
            assert await call() == BODY

    start = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(TASKS):
            group.create_task(work())
    return (time.process_time() - start) / (TASKS * CALLS) * 1e6


async def compare(url):
    """Run the rounds and print the medians."""
    client, request = Http1Client(), Request("POST", url, HEADERS, b'{"n":1}')
    connector, fields = aiohttp.TCPConnector(limit=0), dict(HEADERS)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def ours():
            return (await client.exchange(request, timeout=30)).body

        async def theirs():
            async with session.post(url, data=request.body, headers=fields) as response:
                return await response.read()

        rounds = [(await measure(ours), await measure(theirs)) for _ in range(ROUNDS)]
    await client.close()
    a, b = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(x / y for x, y in rounds)
    print(f"upstream client {a:.1f} us, aiohttp.ClientSession {b:.1f} us, ratio {ratio:.3f}")


if __name__ == "__main__":
    near, far = multiprocessing.Pipe()
    multiprocessing.Process(target=lambda: uvloop.run(serve(far)), daemon=True).start()
    uvloop.run(compare(f"http://127.0.0.1:{near.recv()}/t/f/job"))
