"""What the gateway asks of a store server before it trusts jobs to it."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.store.settings import Durability


class Unsuitable(Exception):  # noqa: N818 - a condition, not a defect
    """The store server is set up so that jobs would be lost; the message says what would be right."""


def judge(server: Mapping[str, str], *, durability: Durability) -> None:
    """Raise `Unsuitable` if the server's settings break a promise. `server`: what CONFIG GET told, if it may be asked.

    Eviction loses live jobs silently, whichever of its policies is on, so it is refused where there is a limit.
    """
    policy, limit = server.get("maxmemory-policy", "noeviction"), server.get("maxmemory", "0")
    if policy != "noeviction" and limit != "0":
        raise Unsuitable(f"the store evicts keys (maxmemory-policy {policy}): jobs would be lost; set it to noeviction")
    if durability == "disk" and (server.get("appendonly"), server.get("appendfsync")) != ("yes", "always"):
        raise Unsuitable("durability: disk needs a store with `appendonly yes` and `appendfsync always`")
