"""The upstream's HTTP/1.1 client: one request out, one answer or one exact failure back, nothing ever sent twice.

Why not aiohttp's own client: it re-sends GET, PUT and DELETE by itself when a connection dies
(aio-libs/aiohttp#10790), which would start a job twice, and it hides the two facts that the outcome rules live on:
whether a byte of the request left, and how the answer's end was known. It is also most of a proxy's CPU time.

There is deliberately no redirect, retry, cookie, decompression or forward proxy here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from functools import cached_property, partial

import msgspec

from gateway.core.exchange import Exchanged, Failure, Reason, Request
from gateway.upstream.http1_connection import Connection
from gateway.upstream.http1_pool import Pool
from gateway.upstream.http1_request import Origin, encode_request


class ClientOptions(msgspec.Struct, frozen=True):
    """Limits and trust of the client. Times are in seconds, sizes in bytes.

    Forward proxies are not supported, and the environment's proxy variables are not read.
    """

    connect_timeout: float = 5.0
    """Name resolution, TCP and TLS together."""
    connections_per_origin: int = 1024
    """Open connections to one scheme, host and port; further exchanges wait in order of arrival."""
    keep_alive: float = 55.0
    """How long an idle connection is kept: just under the 60 s after which common load balancers drop it."""
    max_head: int = 64 * 1024
    """An answer's head, all its interim (1xx) answers included; also any run of chunk framing without content."""
    max_body: int = 16 * 1024 * 1024
    tls: ssl.SSLContext | None = None
    """Overrides `ca_file`. None: certificate and host name are verified."""
    ca_file: str | None = None
    """PEM file of trusted authorities. None: the system's."""


class Http1Client:
    """The `gateway.upstream.port.Client` over HTTP/1.1. Belongs to the event loop it first runs on."""

    def __init__(self, options: ClientOptions | None = None) -> None:
        self._options = options or ClientOptions()
        self._pools: dict[Origin, Pool] = {}
        self._pending: set[asyncio.Timeout] = set()
        """Exchanges that have no connection yet, by the time-out that `close` can bring forward."""
        self._closed = False

    async def exchange(self, request: Request, *, timeout: float, max_idle: float | None = None) -> Exchanged:
        """Send `request` once. See `gateway.upstream.port.Client.exchange`."""
        try:
            origin, head = encode_request(request)
        except ValueError as error:
            return Failure(Reason.MALFORMED, sent=False, detail=str(error))
        pool = self._pools.get(origin) or self._new_pool(origin)
        # Of the pool's loop: to ask which one runs is a system call (CPython 3.11 asks for the process's id).
        deadline = pool.loop.time() + timeout
        connection = pool.take(max_idle)
        if connection is None:
            connected = await self._lease(pool, origin, deadline)
            if isinstance(connected, Failure):
                return connected
            connection = connected
        try:
            return await connection.exchange(head, request.body, head_only=request.method == "HEAD", deadline=deadline)
        finally:
            pool.give_back(connection)

    async def close(self) -> None:
        """Close every connection and wait until the sockets are. Exchanges under way end as failures."""
        self._closed = True
        now = asyncio.get_running_loop().time()
        for scope in self._pending:
            if not scope.expired():
                scope.reschedule(now)
        for pool in self._pools.values():
            await pool.close()

    def _new_pool(self, origin: Origin) -> Pool:
        options, loop = self._options, asyncio.get_running_loop()
        pool = Pool(loop, limit=options.connections_per_origin, keep_alive=options.keep_alive)
        self._pools[origin] = pool
        return pool

    async def _lease(self, pool: Pool, origin: Origin, deadline: float) -> Connection | Failure:
        """Wait for a lease and see to it that there is a connection on it. On failure the lease is given back."""
        try:
            async with self._until(deadline):
                connection = await pool.lease()
        except TimeoutError:
            return self._given_up(Reason.TIMEOUT, "no connection became free in time")
        if connection is not None and connection.usable:
            return connection
        made: Connection | Failure | None = None
        try:
            made = await self._connect(pool, origin, deadline)
        finally:
            if not isinstance(made, Connection):
                pool.give_back(None)
        return made

    async def _connect(self, pool: Pool, origin: Origin, deadline: float) -> Connection | Failure:
        """Resolve, connect and shake hands once, address after address.

        No happy eyeballs: uvloop has none, and asyncio's loses a socket where it is cancelled in the turn in which one
        connected (`asyncio.staggered` of Python 3.11).
        """
        loop = asyncio.get_running_loop()
        options = self._options
        limits = {"max_head": options.max_head, "max_body": options.max_body}
        make = partial(Connection, loop, pool.lost, **limits)
        tls = self._tls if origin.tls else None
        until = min(deadline, loop.time() + options.connect_timeout)
        try:
            async with self._until(until):
                _, connection = await loop.create_connection(make, origin.host, origin.port, ssl=tls)
        except TimeoutError:
            reason = Reason.TIMEOUT if until == deadline else Reason.CONNECT
            return self._given_up(reason, "no connection in time")
        except (OSError, UnicodeError) as error:
            return Failure(_connect_reason(error, tls=origin.tls), sent=False, detail=str(error))
        if self._closed:
            connection.abort()
            return self._given_up(Reason.CONNECT, "")
        # Not sooner: of a connection whose dial is cancelled in the turn in which it was made, uvloop closes the socket
        # and tells nobody. The pool would wait for its end for ever.
        pool.opened(connection)
        return connection

    @contextlib.asynccontextmanager
    async def _until(self, deadline: float) -> AsyncIterator[None]:
        """Raise TimeoutError at `deadline`, or as soon as the client is closed."""
        if self._closed:
            raise TimeoutError
        async with asyncio.timeout_at(deadline) as scope:
            self._pending.add(scope)
            try:
                yield
            finally:
                self._pending.discard(scope)

    def _given_up(self, reason: Reason, detail: str) -> Failure:
        if self._closed:
            return Failure(Reason.CONNECT, sent=False, detail="the client is closed")
        return Failure(reason, sent=False, detail=detail)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made at the first https request: loading the authorities takes milliseconds that start-up can do without."""
        if self._options.tls is not None:
            return self._options.tls
        context = ssl.create_default_context(cafile=self._options.ca_file)
        context.set_alpn_protocols(["http/1.1"])
        return context


def _connect_reason(error: OSError | UnicodeError, *, tls: bool) -> Reason:
    """Name the step that failed. A host name that IDNA refuses never reaches the resolver: DNS as well."""
    if isinstance(error, (socket.gaierror, UnicodeError)) and not isinstance(error, ssl.SSLError):
        return Reason.DNS
    if isinstance(error, ssl.SSLError) or (tls and isinstance(error, (ConnectionResetError, ConnectionAbortedError))):
        return Reason.TLS
    return Reason.CONNECT
