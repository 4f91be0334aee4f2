"""What may become of a command instead of an answer.

    StoreDown
    ├── Lost      no reply: nobody there, a connection that ended, a reply that was late or was none
    └── Refused   the reply is an error

Each carries whether the command may have been carried out (`perhaps`). An error is handed to one caller only, so who
repeats a command may write into the second what is known of the first.
"""

from __future__ import annotations

from gateway.store.port import StoreDown

_CERTAIN = frozenset({
    "ASK", "BUSY", "CLUSTERDOWN", "CROSSSLOT", "DENIED", "LOADING", "MASTERDOWN", "MISCONF", "MOVED", "NOAUTH",
    "NOREPLICAS", "NOSCRIPT", "OOM", "READONLY", "TRYAGAIN", "WRONGPASS",
})  # fmt: skip
"""The kinds of error that say that nothing was carried out, of a script too: once it has written, a server looks for
none of these (`scriptVerifyWriteCommandAllow` and `scriptVerifyOOM` in Redis' script.c)."""

_IN_SCRIPT = " script: "
"""What an error that came up while a script ran is marked with (Redis 7, Valkey)."""

_SERVERS_OWN = ("ERR max number of clients", "ERR unknown command", "ERR Error compiling script", "NOPERM ")
"""How errors begin that are about a command as a whole, unless they are marked as a script's."""

_ONLY_COPIES = ("READONLY ", "MASTERDOWN ")
"""How a server begins that has become another's replica, or has lost the one that it copies."""


class Lost(StoreDown):
    """There is no answer on this connection; there may be one on the next."""


class Refused(StoreDown):
    """The server answered with an error. Of most kinds of them it is certain that nothing was carried out."""

    def __init__(self, message: str, *, perhaps: bool = False) -> None:
        super().__init__(message, perhaps=perhaps)

    @property
    def code(self) -> str:
        """The first word, which says what kind of error it is."""
        return str(self).partition(" ")[0]


def refusal(message: str) -> Lost | Refused:
    """Return what the server's error is to us.

    A server that only copies another is as good as gone, though nothing ran there: its address may lead to the primary
    by now, and a connection to it would be good for ever, and for nothing.
    """
    if message.startswith(_ONLY_COPIES):
        return Lost(f"the store's server is a replica: {message}", perhaps=False)
    return Refused(message, perhaps=not _certain(message))


def _certain(message: str) -> bool:
    """Whether nothing was carried out.

    A script that fails halfway keeps what it has written; and a proxy's errors may be about a server that it has lost.
    """
    if message.partition(" ")[0] in _CERTAIN:
        return True
    return message.startswith(_SERVERS_OWN) and _IN_SCRIPT not in message
