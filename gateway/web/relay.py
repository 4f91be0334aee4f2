"""`track: off`: a forget call whose start is relayed, with no record behind it and so nothing to read later."""

from __future__ import annotations

from gateway.core import events as e
from gateway.core.errors import BadRequest, UpstreamAmbiguous
from gateway.core.job import Outcome
from gateway.core.plan import start_timeout
from gateway.core.policy import Policy
from gateway.core.problem_details import recorded
from gateway.core.start import StartRequest
from gateway.web import replies
from gateway.web.log import note
from gateway.web.request import Request
from gateway.web.response import Response


async def forget(request: Request, start: StartRequest, bearer: str | None, policy: Policy) -> Response:
    """Send the start and answer as the upstream did. Raises `UpstreamAmbiguous`, `BadRequest`."""
    if "idempotency-key" in request.names.present:
        raise BadRequest("this route keeps no records (track: off), so it cannot honour an Idempotency-Key")
    gateway = request.gateway
    note(request, mode="forget", tracked=False)
    # Who forgets may well go without waiting for the answer: the start is sent all the same.
    with request.kept():
        event = await gateway.upstream.start(
            start,
            policy.upstream_mode,
            bearer,
            timeout=start_timeout(policy.upstream_mode, policy),
            max_idle=policy.start_max_idle,
        )
    match event:
        case e.StartRefused(outcome) | e.Ended(outcome):
            return _relayed(outcome)
        case e.StartAmbiguous(why):
            raise UpstreamAmbiguous(why)
        case _:
            return replies.response(200, (("Call-Mode-Applied", "forget"), replies.NO_STORE), b"")


def _relayed(outcome: Outcome) -> Response:
    if outcome.problem is not None:
        raise recorded(outcome.problem, outcome.detail, "")
    return replies.response(outcome.status, (*outcome.headers, replies.NO_STORE), outcome.body)
