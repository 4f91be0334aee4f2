"""Times in text: RFC 3339, in milliseconds and UTC, as OData takes them too."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(at: int) -> str:
    """Return a time (ms since the epoch) as text: `2023-11-14T22:13:20.007Z`."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
