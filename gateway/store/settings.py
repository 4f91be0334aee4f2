"""What the configuration says of the job store."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

Durability = Literal["memory", "disk"]
"""What an acknowledged write survives: the end of any process (of the machine too, once a second has passed), or of
the machine at once, at the price of an fsync before the reply."""


class StoreSettings(msgspec.Struct, frozen=True):
    """Which store, and how leases work. Durations are milliseconds."""

    url: str | None = None
    """`redis://`, `rediss://` or `unix://`; None starts the embedded server in `data_dir`."""
    data_dir: Path = Path()
    durability: Durability = "memory"
    """`memory`: as the store is set up; `disk`: refuse a store that does not say `appendfsync always`."""
    prefix: str = "callmode"
    """What every key begins with."""
    lease: int = 10_000
    """A replica silent for this long has lost its jobs; it sends a few heartbeats in this time."""
    timeout: int = 5_000
    """One command may take this long."""
