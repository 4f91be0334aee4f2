"""A whole gateway to test against: in this process (`rig`) or as processes of its own (`GatewayProcess`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from gateway.app.lifecycle import running
from gateway.auth.keyring import generate
from gateway.auth.settings import AuthSettings
from gateway.config import Config
from gateway.core.policy import Policy
from gateway.observability.settings import LogSettings
from gateway.simulator import Settings, Simulator
from gateway.store.redis import RedisStore
from gateway.store.settings import StoreSettings
from gateway.upstream.settings import UpstreamSettings
from gateway.web.settings import Address, Route, WebSettings
from gateway.worker.settings import CallbackSettings, WorkerSettings
from tests.support.listening import listening

BASE_PATH = "/acme/prod/orchestrator_"
TOKEN = "token-of-a-caller"
ANY_PORT = Address("127.0.0.1", 0)
_ROOT = Path(__file__).parents[2]


@dataclass
class Rig:
    """A running gateway in front of a running simulator, and a client that carries a bearer token."""

    url: str
    """The data port, without a trailing slash."""
    admin_url: str
    simulator: Simulator
    upstream_url: str
    client: aiohttp.ClientSession

    async def call(
        self, method: str = "POST", path: str = "/t/folder/async", **kwargs: Any
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Call the gateway without following redirects; return status, headers and body."""
        url = path if path.startswith("http") else self.url + path
        async with self.client.request(method, url, allow_redirects=False, **kwargs) as response:
            return response.status, response.headers, await response.read()


@contextlib.asynccontextmanager
async def simulated(settings: Settings | None = None, *, port: int = 0) -> AsyncIterator[tuple[Simulator, str]]:
    """Run a simulator in this process; give it and its origin, `http://127.0.0.1:PORT`."""
    simulator = Simulator(settings or Settings())
    async with listening(simulator.app(), port=port, handler_cancellation=True) as origin:
        yield simulator, origin


def config(
    upstream_url: str,
    *,
    shared: StoreSettings | None = None,
    policy: Policy | None = None,
    routes: tuple[Route, ...] = (),
    bearer: str | None = None,
    callbacks: CallbackSettings | None = None,
    keyring: str | None = None,
    drain: int = 2_000,
    hook_secrets: tuple[str, ...] = (),
    **upstream: Any,
) -> Config:
    """Return a configuration for tests: free ports, quiet logs, a fresh key prefix."""
    return Config(
        upstream=UpstreamSettings(url=upstream_url, bearer=bearer, **upstream),
        store=shared or StoreSettings(prefix=f"test-{secrets.token_hex(4)}"),
        web=WebSettings(
            listen=ANY_PORT,
            admin=ANY_PORT,
            routes=routes,
            default_policy=policy or Policy(),
            base_path=BASE_PATH,
            drain=drain,
            hook_secrets=hook_secrets,
        ),
        auth=AuthSettings(keyring=keyring or generate()),
        worker=WorkerSettings(callbacks=callbacks or CallbackSettings()),
        log=LogSettings(format="json", level="error"),
    )


@contextlib.asynccontextmanager
async def rig(
    *, simulator: Settings | None = None, store: RedisStore | None = None, token: str = TOKEN, **settings: Any
) -> AsyncIterator[Rig]:
    """Run simulator and gateway in this process.

    `settings` go to `config`, among them `shared`, the settings of a store server; `store` is one already connected.
    """
    async with simulated(simulator) as (running_simulator, origin):
        upstream_url = origin + BASE_PATH
        async with (
            running(config(upstream_url, **settings), store=store) as addresses,
            aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {token}"},
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
            ) as client,
        ):
            yield Rig(
                f"http://{addresses['data']}", f"http://{addresses['admin']}", running_simulator, upstream_url, client
            )


def with_store(url: str, **settings: Any) -> StoreSettings:
    """Return settings for a shared store under a key prefix of its own."""
    return StoreSettings(url=url, prefix=f"test-{secrets.token_hex(4)}", **settings)


def policy(**changes: Any) -> Policy:
    """Return the default policy with changes."""
    return msgspec.structs.replace(Policy(), **changes)


class GatewayProcess:
    """`callmode …` as a process of its own, whose log is read line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.log: list[dict[str, Any]] = []
        self._grown = asyncio.Event()
        self._reader = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def start(
        cls,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        patches: Sequence[str] = (),
    ) -> GatewayProcess:
        """Start `callmode` with `arguments`; with `patches`, as the failing gateway of `tests.support`."""
        program = ["gateway"]
        if patches:
            program = ["tests.support.failing_gateway", *(word for patch in patches for word in ("--patch", patch))]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *program, *arguments,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(_ROOT), **(env or {})},
        )  # fmt: skip
        return cls(process)

    @classmethod
    async def serve(
        cls, upstream_url: str, data_dir: Path, *arguments: str, host: str = "127.0.0.1", **settings: Any
    ) -> GatewayProcess:
        """Start `callmode serve` on free ports of `host` with an embedded store, and wait until it listens.

        `settings` as for `start`.
        """
        gateway = await cls.start(
            "serve", *arguments, "--upstream", upstream_url, "--data-dir", str(data_dir),
            "--listen", f"{host}:0", "--admin", f"{host}:0",
            **settings,
        )  # fmt: skip
        await gateway.logged("listening", port="data")
        return gateway

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def url(self) -> str:
        """The data port's URL."""
        return next(f"http://{line['address']}" for line in self.log if line.get("port") == "data")

    async def logged(self, event: str, *, timeout: float = 20, **fields: object) -> dict[str, Any]:
        """Wait for a log line with this event and these fields."""
        async with asyncio.timeout(timeout):
            while True:
                for line in self.log:
                    if line.get("event") == event and all(line.get(name) == value for name, value in fields.items()):
                        return line
                if self._reader.done():
                    raise AssertionError(f"the gateway ended without logging {event}: {self.log[-5:]}")
                self._grown.clear()
                await self._grown.wait()

    async def logged_times(self, event: str, times: int, *, timeout: float = 20, **fields: object) -> None:
        """Wait until the log has that many lines with this event and these fields."""
        seen = 0
        async with asyncio.timeout(timeout):
            while True:
                while seen < len(self.log) and times > 0:
                    line, seen = self.log[seen], seen + 1
                    fits = line.get("event") == event and all(line.get(name) == value for name, value in fields.items())
                    times -= fits
                if times <= 0:
                    return
                if self._reader.done():
                    raise AssertionError(f"the gateway ended, {times} times {event} short: {self.log[-5:]}")
                self._grown.clear()
                await self._grown.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def ended(self, *, timeout: float = 30) -> int:
        """Wait until it is gone, with all that it has started; return its exit status."""
        async with asyncio.timeout(timeout):
            return await self._gone()

    async def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        self._process.kill()
        await self._gone()

    async def stop(self, *, timeout: float = 30) -> int:
        """SIGTERM, and wait until it is gone; return its exit status."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(timeout):
            return await self._gone()

    async def _gone(self) -> int:
        status = await self._process.wait()
        await self._reader
        return status

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            with contextlib.suppress(ValueError):
                self.log.append(json.loads(line))
            if not line.startswith(b"{"):
                self.log.append({"event": line.decode(errors="replace").strip()})
            self._grown.set()
        self._grown.set()
