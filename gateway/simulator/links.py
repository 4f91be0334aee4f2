"""Status and output URIs: opaque, percent-encoded every way that RFC 3986 allows, and signed.

The escapes (`%2D`, `%20`, `%2b`, `%2F`, and base64's own) are there on purpose, in both cases of hex: a client that
decodes, re-encodes or normalises a Location before it calls it breaks the signature, and is told so by 403. Targets
are therefore compared byte for byte, as they stand in the request line.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from typing import Literal

from gateway.simulator.job import Job

Kind = Literal["status", "output"]

_TARGET = re.compile(r"/api(?:%2[Dd]|-)calls/(status|output).*?([0-9a-f]{32})(?![0-9a-f]).*?[?&]hop=(\d+)")


@dataclass(frozen=True, slots=True)
class Link:
    """What a target claims to be, before its signature is checked."""

    kind: Kind
    job_id: str
    hop: int


class Links:
    """Makes and checks the URIs of jobs, signed with `key`."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, job: Job, kind: Kind, hop: int = 0) -> str:
        """Return path and query of one of a job's URIs; `hop` tells the status URIs of a redirect loop apart."""
        unsigned = f"{job.base}/api%2Dcalls/{kind}%20of%2b{job.id}%2Fv%2B1?hop={hop}"
        digest = hmac.digest(self._key, unsigned.encode(), "sha256")
        return f"{unsigned}&sig={_escape(base64.b64encode(digest).decode())}"

    def valid(self, target: str, link: Link, job: Job) -> bool:
        """Whether `target`, as it stood in the request line, is byte for byte a URI that was given out."""
        expected = self.make(job, link.kind, link.hop)
        return hmac.compare_digest(target.encode("utf-8", "surrogateescape"), expected.encode())


def read_link(target: str) -> Link | None:
    """Return what a request target claims to be, or None where it is no link to a job at all."""
    match = _TARGET.search(target)
    if match is None:
        return None
    kind: Kind = "status" if match[1] == "status" else "output"
    return Link(kind, match[2], int(match[3]))


def _escape(signature: str) -> str:
    """Percent-encode base64's three special characters, `/` in lower case hex on purpose."""
    return signature.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D")
