"""Where a server is, how it is spoken to, and who we are to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from gateway.store.port import StoreDown
from gateway.store.wire.client import pack
from gateway.store.wire.connection import Connection
from gateway.store.wire.errors import Lost

_NO_CONNECTION = (OSError, UnicodeError, StoreDown)
"""What connecting fails with; `UnicodeError` is a host name that cannot be one."""
Connected = TypeVar("Connected", bound=Connection)


class Tls(msgspec.Struct, frozen=True):
    """PEM files of a TLS client. They are read at each connection, so that certificates can be renewed."""

    ca: Path | None = None
    """Whose signatures count instead of those that the system trusts."""
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return what a connection needs. Raises `OSError` for a file that is missing or none."""
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context


class Endpoint:
    """One address of a server, with a login. Its name and port are told by `repr`; the login never is."""

    def __init__(
        self,
        where: tuple[str, int] | str,
        *,
        tls: Tls | None = None,
        username: str | None = None,
        password: str | None = None,
        db: int = 0,
    ) -> None:
        self._where = where
        self._tls = tls
        self._greeting: list[bytes] = []
        if password is not None:
            login = (password,) if username is None else (username, password)
            self._greeting.append(pack(("AUTH", *login)))
        if db:
            self._greeting.append(pack(("SELECT", db)))

    def __repr__(self) -> str:
        """Name the host and the port, or the path of the socket."""
        return self._where if isinstance(self._where, str) else "{}:{}".format(*self._where)

    async def connect(self, timeout: float, kind: type[Connected]) -> Connected:
        """Return a connection that has been let in, within `timeout` seconds, which its replies may take too.

        Raises `Lost`.
        """
        connection = kind(asyncio.get_running_loop(), timeout)
        try:
            async with asyncio.timeout(timeout):
                await self._dial(lambda: connection)
                await self._greeted(connection)
        except _NO_CONNECTION as error:
            raise Lost(f"{self!r}: {_said(error, timeout)}", perhaps=False) from error
        return connection

    async def _dial(self, protocol: Callable[[], Connection]) -> None:
        loop = asyncio.get_running_loop()
        if isinstance(self._where, str):
            await loop.create_unix_connection(protocol, self._where)
        else:
            context = None if self._tls is None else self._tls.context()
            await loop.create_connection(protocol, *self._where, ssl=context)

    async def _greeted(self, connection: Connection) -> None:
        """Be let in. Nothing else may be sent before: without its SELECT it would be about another database."""
        try:
            await _greet(connection, self._greeting)
        except BaseException:
            # Its end is waited for here, and after no dial that failed: one that is cancelled in the turn in which its
            # connection is made has its socket closed by uvloop, which tells nobody.
            connection.fail("no connection")
            await connection.ended()
            raise


async def _greet(connection: Connection, greeting: Sequence[bytes]) -> None:
    for answer in connection.send_each(greeting):
        if isinstance(refused := await answer, StoreDown):
            raise refused


def _said(error: BaseException, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no connection within {timeout:g} s"
    return str(error) if isinstance(error, StoreDown) else f"{type(error).__name__}: {error}"
