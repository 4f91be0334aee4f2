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
    """See `address`; None starts the embedded server in `data_dir`."""
    username: str | None = None
    """Of an ACL user, instead of one in the URL."""
    password: str | None = None
    sentinel_username: str | None = None
    """The Sentinels have users of their own."""
    sentinel_password: str | None = None
    ca_file: Path | None = None
    """PEM certificates that sign the servers' instead of the system's."""
    cert_file: Path | None = None
    """PEM: the certificate that this client shows, where servers ask for one."""
    key_file: Path | None = None
    """Its private key; None if it is in `cert_file`."""
    data_dir: Path = Path()
    durability: Durability = "memory"
    """`memory`: as the store is set up; `disk`: refuse a store that does not say `appendfsync always`."""
    wait_replicas: int = 0
    """How many replicas must have a job's record before it counts as written."""
    wait_timeout: int = 1_000
    """They may take this long."""
    prefix: str = "callmode"
    """What every key begins with."""
    lease: int = 10_000
    """Within this time of a replica's death others follow its jobs; it sends a few heartbeats in this time."""
    timeout: int = 5_000
    """One command may take this long."""

    @property
    def granted(self) -> int:
        """How long a heartbeat counts: a tenth of the lease is left for the others to take the jobs over in."""
        return self.lease - self.lease // 10
