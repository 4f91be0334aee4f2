"""What keeps a gateway from serving, as one line for whoever started it."""

from __future__ import annotations

from gateway.app.workers.worker import WorkerFailed
from gateway.auth.keyring import KeyringError
from gateway.store.embedded import EmbeddedStoreError
from gateway.store.port import StoreDown
from gateway.store.requirements import Unsuitable
from gateway.web.parser import WeakParserError

CANNOT_SERVE = (EmbeddedStoreError, KeyringError, StoreDown, Unsuitable, WeakParserError, WorkerFailed, OSError)
"""Errors of a start that are no defects: something around the gateway is not as it must be."""


def line(error: BaseException) -> str:
    """Return what such an error says."""
    return f"the store cannot be reached: {error}" if isinstance(error, StoreDown) else str(error)
