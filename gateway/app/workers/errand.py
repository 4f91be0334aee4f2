"""What a worker is told when it starts, as its parent writes it and it reads it."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config import Config
from gateway.web.settings import Address


@dataclass(frozen=True)
class Errand:
    """One worker's errand.

    The configuration comes as the parent understood it, never from the file again: what is in the file since then may
    be wrong, and a worker that replaces a dead one must be like its siblings.
    """

    number: int
    """From 1; what logs call it."""
    config: Config
    addresses: Mapping[str, Address]
    """Where the parent listens."""
    parent: int | None
    """The process to die with at once, since the store dies with it; None where the store is no child of it."""
    channel: tuple[int, int] = (-1, -1)
    """The inherited ends of the socket that connections come over, and of the pipe that tells of their end."""

    def written(self) -> bytes:
        """Return it as one line."""
        return base64.b64encode(pickle.dumps(self)) + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Errand:
        """Return what a line says that `written` has made."""
        errand = pickle.loads(base64.b64decode(line))  # noqa: S301 - over a pipe that only the parent holds
        assert isinstance(errand, cls)
        return errand
