"""A load generator on raw sockets: kept-alive connections, one request at a time on each, every answer checked.

`python load.py PORT PATH CONNECTIONS REQUESTS FIRST_ID` prints `{"requests", "seconds", "p50_ms", "p99_ms"}`, or ends
with an error at the first answer that is not the one asked for.
"""

import asyncio
import itertools
import json
import statistics
import sys
import time

import uvloop
from origin import LENGTH, answer_to

HEAD = (
    "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer token-of-a-caller\r\n"
    "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
)
PADDING = "y" * 256


class WrongAnswerError(Exception):
    """An answer that was not the one asked for."""


class Caller(asyncio.Protocol):
    """One connection: sends the next request of `numbers` when the last one is answered; `done` when there is none."""

    def __init__(self, port, path, numbers, latencies):
        self.port, self.path = port, path
        self.numbers, self.latencies = numbers, latencies
        self.done = asyncio.get_running_loop().create_future()
        self.received = b""

    def connection_made(self, transport):
        """Begin."""
        self.transport = transport
        self.send()

    def send(self):
        """Send the next request, or end."""
        number = next(self.numbers, None)
        if number is None:
            self.transport.close()
            self.done.set_result(None)
            return
        self.number = b"%010d" % number
        body = f'{{"id":"{number:010d}","padding":"{PADDING}"}}'
        self.sent_at = time.perf_counter()
        self.transport.write((HEAD.format(path=self.path, port=self.port, length=len(body)) + body).encode())

    def data_received(self, data):
        """Check the answer once it is complete, and go on."""
        self.received += data
        end = self.received.find(b"\r\n\r\n") + 4
        length = LENGTH.search(self.received, 0, end) if end >= 4 else None
        if length is None or len(self.received) < end + int(length[1]):
            return
        if not self.received.startswith(b"HTTP/1.1 200 ") or self.received[end:] != answer_to(self.number):
            self.fail(self.received)
            return
        self.latencies.append(time.perf_counter() - self.sent_at)
        self.received = b""
        self.send()

    def connection_lost(self, error):
        """Fail, unless all is done."""
        self.fail(b"the connection was closed: %r" % error)

    def fail(self, why):
        """End with an error."""
        if not self.done.done():
            self.done.set_exception(WrongAnswerError(why))
            self.transport.abort()


async def main(port, path, connections, requests, first):
    """Send `requests` requests over `connections` connections; return what it took."""
    loop, latencies = asyncio.get_running_loop(), []
    numbers = itertools.islice(itertools.count(first), requests)
    begun = time.perf_counter()
    callers = [
        (await loop.create_connection(lambda: Caller(port, path, numbers, latencies), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(caller.done for caller in callers))
    centiles = statistics.quantiles(latencies, n=100)
    return {
        "requests": len(latencies),
        "seconds": time.perf_counter() - begun,
        "p50_ms": centiles[49] * 1000,
        "p99_ms": centiles[98] * 1000,
    }


if __name__ == "__main__":
    port, path, *counts = sys.argv[1:]
    print(json.dumps(uvloop.run(main(int(port), path, *map(int, counts)))))
