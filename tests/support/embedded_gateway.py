"""A process that owns an `EmbeddedServer` and does nothing else: tests kill it to see what its server does.

`python embedded_gateway.py DATA_DIR`: prints the URL and the server's pid on one line, then waits for the end of
its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gateway.store.embedded import EmbeddedServer


async def main(data_dir: Path) -> None:
    """Own a server until standard input ends."""
    server = EmbeddedServer(data_dir)
    print(await server.start(), server.pid, flush=True)  # noqa: T201 - the protocol with the test
    await asyncio.to_thread(sys.stdin.read)
    await server.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
