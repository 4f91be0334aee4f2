"""Choosing the caller's mode: the first that says so wins, from demands over a wish down to the route's default."""

from __future__ import annotations

import re

import msgspec

from gateway.caller.stream import EVENT_STREAM
from gateway.core.errors import BadRequest, ModeNotAllowed, NotAcceptable, UnknownMode
from gateway.core.modes import BY_CALL_MODE, BY_NAME, CallerMode
from gateway.core.policy import SECOND, OnTimeout, Policy
from gateway.core.preferences import Preferences, applied

_REFUSED = re.compile(r"q=0(?:\.0{0,3})?")


class Said(msgspec.Struct, frozen=True):
    """Everything in a request that speaks of its mode."""

    prefix: str | None = None
    """From the path: `/-/call/{mode}/…`."""
    header: str | None = None
    """`Call-Mode`."""
    argument: str | None = None
    """`$callMode`, from the body or the query."""
    accept: str | None = None
    preferences: Preferences = Preferences()
    on_timeout: str | None = None
    """`Call-On-Timeout`."""


_NOTHING = Said()


class Choice(msgspec.Struct, frozen=True):
    """How the caller is to be answered."""

    mode: CallerMode | None
    """None: as the trigger itself answers."""
    wait: int
    """Milliseconds that a sync caller is held."""
    on_timeout: OnTimeout | None = None
    respond_async: bool = False
    preference_applied: str | None = None


def choose(said: Said, policy: Policy) -> Choice:
    """Return the caller's mode. Raises `UnknownMode`, `ModeNotAllowed`, `NotAcceptable`, `BadRequest`."""
    if said == _NOTHING:
        return Choice(policy.caller_mode, policy.wait)
    wish = said.preferences
    mode, wished = _mode(said, policy)
    wait = wish.wait if mode is CallerMode.SYNC else None
    on_timeout = read_on_timeout(said.on_timeout)
    # A wait that runs out is answered as `respond-async` has it, unless somebody says otherwise.
    accepts = wait is not None and (on_timeout or policy.on_timeout or OnTimeout.ACCEPT) is OnTimeout.ACCEPT
    granted = Preferences(respond_async=wish.respond_async and (wished or accepts), wait=wait)
    return Choice(
        mode=mode,
        wait=policy.wait if wait is None else min(wait * SECOND, policy.wait),
        on_timeout=on_timeout,
        respond_async=wish.respond_async,
        preference_applied=applied(granted),
    )


def _mode(said: Said, policy: Policy) -> tuple[CallerMode | None, bool]:
    """Return the mode, and whether it comes from the wish to be answered asynchronously."""
    for demand in (said.prefix, said.header, said.argument):
        if demand is not None:
            return _demanded(demand, policy), False
    if said.accept is not None and _accepts_stream(said.accept):
        if CallerMode.STREAM not in policy.allowed_modes:
            raise NotAcceptable("this route does not allow the mode `stream`")
        return CallerMode.STREAM, False
    wish = said.preferences
    if wish.wait is not None and CallerMode.SYNC in policy.allowed_modes:
        return CallerMode.SYNC, False
    if wish.respond_async and CallerMode.ASYNC in policy.allowed_modes:
        return CallerMode.ASYNC, True
    return policy.caller_mode, False


def _accepts_stream(accept: str) -> bool:
    """Whether `Accept` names event streams, other than to refuse them (`q=0`, RFC 9110 12.4.2)."""
    if EVENT_STREAM not in accept.lower():
        return False
    for element in accept.lower().split(","):
        media_type, *parameters = (part.strip() for part in element.split(";"))
        if media_type == EVENT_STREAM:
            return not any(_REFUSED.fullmatch(parameter) for parameter in parameters)
    return False


def _demanded(name: str, policy: Policy) -> CallerMode:
    mode = BY_CALL_MODE.get(name) or BY_NAME.get(name.lower())
    if mode is None:
        raise UnknownMode(f"the modes are {', '.join(BY_NAME)}; as `$callMode`: {', '.join(BY_CALL_MODE)}")
    if mode not in policy.allowed_modes:
        raise ModeNotAllowed(f"this route allows {', '.join(sorted(policy.allowed_modes))}")
    return mode


def read_on_timeout(value: str | None) -> OnTimeout | None:
    """Return what a caller says of a wait that runs out, if it does. Raises `BadRequest`."""
    if value is None:
        return None
    try:
        return OnTimeout(value.strip().lower())
    except ValueError:
        raise BadRequest(f"`Call-On-Timeout` is one of {', '.join(OnTimeout)}") from None
