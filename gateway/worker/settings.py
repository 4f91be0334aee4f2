"""What the configuration says of following jobs and delivering callbacks."""

from __future__ import annotations

import msgspec


class CallbackSettings(msgspec.Struct, frozen=True):
    """Who may be called back, and how deliveries are signed. Off while `allow` is empty."""

    allow: tuple[str, ...] = ()
    """Hosts (`host`, `host:port`, `*.domain`) and networks (CIDR) that outcomes may be delivered to."""
    secret: str | None = None
    """A Standard Webhooks secret (`whsec_` and base64)."""
    secrets: tuple[str, ...] = ()
    """Several of them, newest first: each delivery is signed with all. Without any, each caller has secrets of its own,
    derived from the keyring."""
    timeout: int = 15_000
    insecure: bool = False
    """Allow `http:` receivers too."""

    @property
    def signing(self) -> tuple[str, ...]:
        """The secrets that sign where a route has none of its own."""
        return self.secrets if self.secret is None else (self.secret, *self.secrets)


class WorkerSettings(msgspec.Struct, frozen=True):
    """How jobs are followed. Durations are milliseconds."""

    answer_unsaved: int = 500
    """A blocked caller is answered from memory when saving takes longer than this."""
    held_connections: int = 100
    """Upstream connections that may wait for jobs' ends at once before `auto` chooses no more of them."""
    callbacks: CallbackSettings = CallbackSettings()
