"""`POST /-/hooks/orchestrator`: Orchestrator says that jobs have ended, so they are looked at sooner.

If it comes to the replica that follows the job, that one looks at once. Unless that is the one for certain, all are
told, for one of them is. It is never more than a hint: no answer of ours makes Orchestrator send it again, and a failed
one disables the webhook for an hour, so what can be answered well is.
"""

from __future__ import annotations

import hashlib
from contextlib import nullcontext, suppress

from gateway.core.errors import MethodNotAllowed, NotATrigger, SignatureInvalid
from gateway.core.policy import HOUR
from gateway.store.port import Hint, StoreDown
from gateway.upstream.webhooks import SIGNATURE, Event, is_signed, read_event
from gateway.web.bodies import read_body
from gateway.web.gateway import Gateway
from gateway.web.log import note
from gateway.web.replies import NO_STORE
from gateway.web.request import Request
from gateway.web.response import Response
from gateway.worker import outages

_REMEMBERED = HOUR
"""For how long an event that comes once more is known."""


async def orchestrator(request: Request) -> Response:
    """Take an event. Raises `SignatureInvalid`, `StoreUnavailable`."""
    gateway = request.gateway
    if not gateway.settings.hook_secrets:
        raise NotATrigger("no webhooks are taken here (webhooks.secrets)")
    if request.method != "POST":
        raise MethodNotAllowed(headers=(("Allow", "POST"),))
    body = await read_body(request)
    if not is_signed(body, request.headers.get(SIGNATURE), gateway.settings.hook_secrets):
        # RFC 9110 11.6.1 wants a challenge with every 401.
        raise SignatureInvalid(f"`{SIGNATURE}` is not of this body", headers=(("WWW-Authenticate", SIGNATURE),))
    event = read_event(body)
    note(request, jobs=0 if event is None else len(event.ended))
    if event is not None:
        await _announce(gateway, event, body)
    # What is signed and means nothing here is taken all the same: refusing it would cost an hour of webhooks.
    return Response(204, (NO_STORE,))


async def _announce(gateway: Gateway, event: Event, body: bytes) -> None:
    identity = event.id or hashlib.sha256(body).hexdigest()
    with outages.told(detail="the job store cannot be reached; jobs are read when they are due"):
        for number, ended in enumerate(event.ended):
            mark = gateway.keyring.hash("webhook", identity, str(number))
            hint = Hint(mark, reference=ended.reference, key=ended.key, folder=ended.folder)
            taken = gateway.hints.take_own(hint)
            if taken and gateway.hints.is_surely_own(hint):
                continue
            with suppress(StoreDown) if taken else nullcontext():
                await gateway.store.announce(hint, keep=_REMEMBERED)
