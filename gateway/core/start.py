"""The start of a job as it will be sent, before its credential is attached. Sealed in the store until answered."""

from __future__ import annotations

import msgspec

from gateway.core.exchange import Headers


class StartRequest(msgspec.Struct, frozen=True):
    """What starts a job: exactly what goes upstream, except for the credential and the framing."""

    method: str
    url: str
    headers: Headers
    body: bytes
