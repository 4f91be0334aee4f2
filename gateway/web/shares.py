"""Whose share of a job is whose, where equal calls share one.

A link names its share with proof that it is this caller's: a bare number could be guessed, and another's given up.
"""

from __future__ import annotations

import hmac
import re

from gateway.auth.principal import Caller
from gateway.web.gateway import Gateway
from gateway.web.request import Request
from gateway.web.who import caller_if_said

_NAMED = re.compile(r"(?P<number>[1-9][0-9]{0,5})\.(?P<proof>[0-9a-f]{16})", re.ASCII)
_PROOF = 16
"""Hexadecimal digits."""


def name(gateway: Gateway, job_id: str, caller: Caller, number: int) -> str:
    """Return what a link says of a caller's share; "" for number 0, which is none."""
    return f"{number}.{_proof(gateway, job_id, caller.principal, number)}" if number else ""


def named(request: Request) -> str:
    """Return what a request's link says of a share, proved or not; "" where that is nothing that a link would say."""
    said = request.query.get("share", "")
    return said if _NAMED.fullmatch(said) else ""


def proved(request: Request, job_id: str) -> int:
    """Return the number of the share that a request's link names, if it is this caller's; else 0."""
    match = _NAMED.fullmatch(request.query.get("share", ""))
    caller = caller_if_said(request)
    if match is None or caller is None:
        return 0
    gateway, number = request.gateway, int(match["number"])
    principals = (caller.principal, *(principal for principal, _ in caller.former))
    good = [_proof(gateway, job_id, principal, number, age) for age, principal in enumerate(principals)]
    return number if any(hmac.compare_digest(match["proof"], proof) for proof in good) else 0


def _proof(gateway: Gateway, job_id: str, principal: str, number: int, age: int = 0) -> str:
    return gateway.keyring.hash("share", job_id, principal, str(number), age=age)[:_PROOF]
