"""Job ids and the partitions inside them. Pure: the random bits come from outside.

An id is two hexadecimal digits that name one of 256 partitions, then 22 characters of base64url: 128 random bits. All
keys of a job carry the hash tag of its partition, so one script sees them together, on a cluster too.
"""

from __future__ import annotations

import base64
import re

PARTITIONS = 256
_ID = re.compile(r"[0-9a-f]{2}[A-Za-z0-9_-]{22}", re.ASCII)


def make_id(partition: int, random: bytes) -> str:
    """Return the id of a row in `partition` (0 to 255) from 16 random bytes."""
    return f"{partition:02x}{base64.urlsafe_b64encode(random).decode().rstrip('=')}"


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id."""
    return _ID.fullmatch(text) is not None


def partition_of(row_id: str) -> int:
    """Return the partition that a well-formed id names."""
    return int(row_id[:2], 16)
