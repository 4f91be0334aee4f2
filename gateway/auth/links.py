"""The signature in a job's links: whoever has the link may read this job, until the link expires.

`sig` is `expiry.key.mac`: seconds since the epoch in base 36, the key's id, and 128 bits of HMAC-SHA256 over job and
expiry. Clients that drop Authorization on a redirect, an EventSource, a caller with a refreshed token: all read by it.
"""

from __future__ import annotations

import base64
import hmac
from functools import lru_cache

from gateway.auth.keyring import Keyring, Mac

_MAC_BYTES = 16
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Signer:
    """Signs and checks links under one keyring. Times are milliseconds."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def sign(self, job_id: str, expires: int) -> str:
        """Return the signature that lets its holder read `job_id` until `expires`."""
        found = self._keyring.link_key()
        assert found is not None, "a keyring has a first key"
        key_id, key = found
        expiry = _base36(-(-expires // 1000))
        return f"{expiry}.{key_id}.{_mac(key, job_id, expiry)}"

    def valid(self, job_id: str, sig: str, now: int) -> bool:
        """Whether `sig` was made for `job_id` and has not expired."""
        expiry, _, rest = sig.partition(".")
        key_id, _, mac = rest.partition(".")
        found = self._keyring.link_key(key_id) if key_id else None
        if found is None or not (expiry.isascii() and expiry.isalnum() and len(expiry) <= 10):
            return False
        good = hmac.compare_digest(_mac(found[1], job_id, expiry).encode(), mac.encode("utf-8", "replace"))
        return good and now <= int(expiry, 36) * 1000


def _mac(key: Mac, job_id: str, expiry: str) -> str:
    digest = key(f"{job_id}.{expiry}".encode("utf-8", "surrogatepass"))
    return base64.urlsafe_b64encode(digest[:_MAC_BYTES]).decode().rstrip("=")


@lru_cache(maxsize=16)
def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
