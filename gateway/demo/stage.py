"""What the demo plays on: a simulator and a gateway, each a process of its own, the gateway's jobs in a directory."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import json
import re
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from importlib import resources
from pathlib import Path

from gateway.demo.child import Child, DemoError

_HOST = "127.0.0.1"
_CONFIG = "demo.yaml"
_BASE_PATH = "/acme/prod/orchestrator_"
_LEG = "0.25"
"""Seconds that the simulator holds a long-poll leg: short, so that jobs of a second have several."""

_START = 20.0
"""Seconds that a process may take to start; on a machine that does nothing else it takes one."""


class Stage:
    """A running simulator and a running gateway.

    `simulator_url` and `gateway_url` are origins without a trailing slash; `secret` is what callbacks are signed with.
    """

    def __init__(self, config: Path, data_dir: Path) -> None:
        self.simulator_url = ""
        self.gateway_url = ""
        self.secret = secrets.token_bytes(32)
        self._config = config
        self._data_dir = data_dir
        self._simulator: Child | None = None
        self._gateway: Child | None = None

    @property
    def gateway(self) -> Child:
        """The gateway's process."""
        assert self._gateway is not None, "it is started"
        return self._gateway

    async def start_simulator(self, port: int) -> None:
        """Start the simulator. Raises DemoError."""
        with _of("the simulator"):
            self._simulator = await Child.start("simulate", "--listen", f"{_HOST}:{port}", "--leg", _LEG)
            self.simulator_url = await self._simulator.says(_simulator_url, within=_START)

    async def start_gateway(self, port: int) -> None:
        """Start the gateway on its data directory, also after a `kill_gateway`. Raises DemoError."""
        env = {
            "CALLMODE_DEMO_LISTEN": f"{_HOST}:{port}",
            "CALLMODE_DEMO_UPSTREAM": self.simulator_url + _BASE_PATH,
            "CALLMODE_DEMO_DATA": str(self._data_dir),
            "CALLMODE_DEMO_SECRET": "whsec_" + base64.b64encode(self.secret).decode(),
        }
        with _of("the gateway"):
            self._gateway = await Child.start("serve", str(self._config), env=env)
            self.gateway_url = await self._gateway.says(_gateway_url, within=_START)

    async def kill_gateway(self) -> None:
        """`kill -9` the gateway."""
        await self.gateway.kill()

    async def restart_gateway(self) -> None:
        """Start it again where it was. Raises DemoError."""
        await self.start_gateway(int(self.gateway_url.rpartition(":")[2]))

    async def broken(self) -> str:
        """Wait until one of the processes ends by itself, and return which."""
        gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        for name, child in (("simulator", self._simulator), ("gateway", self._gateway)):
            assert child is not None, "both are started"
            child.on_exit = functools.partial(_first, gone, name)
        return await gone

    async def stop(self) -> None:
        """End both processes."""
        try:
            if self._gateway is not None:
                await self._gateway.stop()
        finally:
            if self._simulator is not None:
                await self._simulator.stop()


@contextlib.asynccontextmanager
async def running(*, gateway_port: int = 0, simulator_port: int = 0) -> AsyncIterator[Stage]:
    """Run simulator and gateway; 0 is any free port. Leaving ends both and forgets the jobs. Raises DemoError."""
    with (
        resources.as_file(resources.files(__package__) / _CONFIG) as config,
        tempfile.TemporaryDirectory(prefix="callmode-demo-", ignore_cleanup_errors=True) as data_dir,
    ):
        stage = Stage(config, Path(data_dir))
        try:
            await stage.start_simulator(simulator_port)
            await stage.start_gateway(gateway_port)
            yield stage
        finally:
            await stage.stop()


def free(port: int) -> int:
    """Return `port` if nothing listens there, else 0: any free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return 0
    return port


def _first(gone: asyncio.Future[str], name: str) -> None:
    if not gone.done():
        gone.set_result(name)


@contextlib.contextmanager
def _of(what: str) -> Iterator[None]:
    """Say in a DemoError which process it is about."""
    try:
        yield
    except DemoError as error:
        raise DemoError(f"{what} cannot be started: {error}") from None


def _simulator_url(line: str) -> str | None:
    """Return the origin from the line that says where the simulator is."""
    found = re.match(r"simulator on (http://[^/]+)", line)
    return None if found is None else found[1]


def _gateway_url(line: str) -> str | None:
    """Return the origin from the log line that says where the gateway's data port is."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    listens = isinstance(entry, dict) and entry.get("event") == "listening" and entry.get("port") == "data"
    return f"http://{entry['address']}" if listens else None
