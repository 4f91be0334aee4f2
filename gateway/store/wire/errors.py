"""What may become of a command instead of an answer.

    StoreDown
    ├── Lost      no reply: nobody there, a connection that ended, a reply that was late or was none
    └── Refused   the reply is an error

Each carries whether the command may have been carried out (`perhaps`). An error is handed to one caller only, so who
repeats a command may write into the second what is known of the first.
"""

from __future__ import annotations

from gateway.store.port import StoreDown

_ONLY_COPIES = ("READONLY ", "MASTERDOWN ")
"""How a server begins that has become another's replica, or has lost the one that it copies."""


class Lost(StoreDown):
    """There is no answer on this connection; there may be one on the next."""


class Refused(StoreDown):
    """The server answered that it will not: nothing was carried out, by this attempt at least."""

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
    return Refused(message)
