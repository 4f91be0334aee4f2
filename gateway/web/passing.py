"""Which fields of a caller's go upstream, as far as their names alone decide it."""

from __future__ import annotations

_HOP_BY_HOP = {
    "connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip
_OF_THE_GATEWAY = {
    "accept", "accept-encoding", "authorization", "call-mode", "call-on-disconnect", "call-on-timeout", "callback-url",
    "cancel-after", "content-length", "content-type", "cookie", "host", "idempotency-key", "last-event-id", "prefer",
    "range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range",
}  # fmt: skip
_OF_PROXIES = (
    "forwarded",
    "via",
    "x-forwarded",
    "x-real-ip",
    "x-original",
    "x-rewrite",
    "x-http-method",
    "cf-",
    "sec-",
)


def passes(name: str) -> bool:
    """Whether a field of this name, in lower case, may pass."""
    # Some servers read `_` in a name as `-`: a twin of a field that was checked here.
    return not (name in _HOP_BY_HOP or name in _OF_THE_GATEWAY or "_" in name or name.startswith(_OF_PROXIES))
