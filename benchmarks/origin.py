"""An upstream that costs next to nothing: it answers each request with the `id` found in its body, and some padding.

Raw bytes on uvloop, no HTTP library: what is measured in front of it is not waiting for it.
"""

import asyncio
import re
import sys

import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
ID = re.compile(rb'"id":"([0-9]{10})"')
PADDING = b"x" * 256
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def answer_to(number: bytes) -> bytes:
    """Return the body that answers a request with this id (ten digits)."""
    return b'{"id":"%s","padding":"%s"}' % (number, PADDING)


class Origin(asyncio.Protocol):
    """One connection: requests framed by Content-Length, answered in order."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Keep the transport."""
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self.received += data
        while (end := self.received.find(b"\r\n\r\n") + 4) >= 4:
            length = LENGTH.search(self.received, 0, end)
            total = end + (int(length[1]) if length else 0)
            if len(self.received) < total:
                return
            request, self.received = self.received[:total], self.received[total:]
            number = ID.search(request, end)
            body = answer_to(number[1] if number else b"0" * 10)
            self.transport.write(HEAD % len(body) + body)


async def main(port: int) -> None:
    """Serve on a port of the loopback until killed."""
    server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
