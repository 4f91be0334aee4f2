"""The one error of the embedded server."""

from __future__ import annotations


class EmbeddedStoreError(Exception):
    """The gateway cannot have its own store server. The message says why, and what the operator can do."""
