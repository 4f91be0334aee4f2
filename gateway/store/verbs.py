"""What the verbs of every aspect share: the servers, the names of keys, and scripts that are made once.

Because every script checks an operation id or a revision before it writes, a command whose reply was lost may be sent
again; that, and only that, is why repeating a command once is safe.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.store.keys import Keys
from gateway.store.scripts import Script, into_reserve, source
from gateway.store.settings import StoreSettings
from gateway.store.topology import Servers

_REFUSED_WHEN_FULL = frozenset({"create", "announce", "attach", "redeliver", "learn"})
"""Scripts that a server which has reached its `maxmemory` refuses: what is new waits, so that what is there can end."""


class Verbs:
    """The base of each aspect. An aspect has one cached property per script: registered once, called by its hash.

    `now` replaces the server's clock in tests that run in virtual time.
    """

    def __init__(self, servers: Servers, settings: StoreSettings, *, now: Callable[[], int] | None = None) -> None:
        self._servers = servers
        self._redis = servers.commands
        self._settings = settings
        self._keys = Keys(settings.prefix)
        self._now = now

    def _script(self, name: str) -> Script:
        return Script(self._redis, self._source(name))

    def _durable(self, name: str) -> Script:
        """Return a script whose writes must outlive a failover: starts, ends, followers, what people were promised."""
        return Script(self._servers.writes, self._source(name))

    def _source(self, name: str) -> str:
        return source(name) if name in _REFUSED_WHEN_FULL or not self._servers.flags else into_reserve(source(name))


def flag(value: bool) -> str:
    """Return a truth as scripts take it."""
    return "1" if value else ""
