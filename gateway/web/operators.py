"""Jobs on the admin port: an operator sees any job but its outcome, cancels it, and says what became of it.

There are no credentials there: who reaches the port from its own host is the operator. So no page in a browser may
reach it in the operator's stead, neither from another site (`Origin`) nor under a name that was made to lead here
(`Host`).
"""

from __future__ import annotations

import ipaddress
import itertools

import msgspec
import structlog

from gateway.caller import views
from gateway.caller.links import JobUrls
from gateway.caller.port import Call
from gateway.core.errors import AlreadyEnded, BadRequest, OperatorsOnly
from gateway.core.exchange import is_json
from gateway.core.job import Job
from gateway.store.port import Canceling
from gateway.web.access import of_operator
from gateway.web.answering import answer
from gateway.web.commands import asking, check_asked, check_cancelable, give_verdict, terms
from gateway.web.gateway import Gateway
from gateway.web.request import Request
from gateway.web.response import Response

_log = structlog.get_logger("operator")

_PRIVATE = (".localhost", ".local", ".internal", ".svc")
"""What ends names that nobody can register (RFC 6761, RFC 6762, and those of networks and clusters)."""


def check_operator(request: Request) -> None:
    """Refuse what a browser may have been made to send. Probes are not concerned.

    Raises `OperatorsOnly`, `BadRequest`.
    """
    if request.path.startswith("/-/"):
        _check_peer(request.remote)
        _check_name(request.headers.get("Host", ""))
        if request.method not in {"GET", "HEAD"}:
            _check_origin(request.headers.get("Origin"), request.headers.get("Host", ""))


def _check_peer(peer: str | None) -> None:
    # Probes may have to come from elsewhere, so the port may listen to the network; its powers do not.
    if peer is None:
        return
    address = ipaddress.ip_address(peer.partition("%")[0])
    # A socket that listens on both families tells IPv4 peers as IPv6.
    mapped = address.ipv4_mapped if address.version == 6 else None
    if not (mapped or address).is_loopback:
        raise OperatorsOnly("operators call from the gateway's own host, or through a tunnel to it")


def _check_name(host: str) -> None:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.strip("[]").rstrip(".").lower()
    # A name without a dot is looked up in the operator's own network.
    if not (_is_address(name) or "." not in name or name.endswith(_PRIVATE)):
        raise BadRequest("the admin port is called by an address, or by a name of a private network")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_origin(origin: str | None, host: str) -> None:
    if origin is not None and origin.partition("://")[2] != host:
        raise BadRequest("a page of another site has no business here")


async def show(request: Request) -> Response:
    """`GET /-/jobs/{id}`: the monitor, without the way to the outcome."""
    job = await _job(request)
    call = _terms(request, job)
    return await answer(request, job.id, msgspec.structs.replace(call, until=call.arrived), views.show)


async def cancel(request: Request) -> Response:
    """`POST /-/jobs/{id}/cancel`: for all who share the job."""
    gateway, job = request.gateway, await _job(request)
    if job.state.terminal:
        raise AlreadyEnded(f"it is {job.state.value}", job_id=job.id)
    check_cancelable(gateway, job)
    with asking(job.id):
        asked = await _ask_for_all(gateway, job.id)
    check_asked(asked, job.id)
    _log.info("operator", what="cancel", job=job.id)
    return await answer(request, job.id, _terms(request, job), views.canceling)


async def _ask_for_all(gateway: Gateway, job_id: str) -> Canceling:
    asked = await gateway.store.request_cancel(job_id)
    if asked is not Canceling.SHARED:
        return asked
    for share in itertools.count(1):
        asked = await gateway.store.request_cancel(job_id, share)
        if asked is not Canceling.WAITING:
            break
    return asked


async def resolve(request: Request) -> Response:
    """`POST /-/jobs/{id}/resolve`: say what became of a job whose start is in doubt."""
    job = await _job(request)
    if not is_json(request.headers.get("Content-Type")):
        raise BadRequest("a verdict is `application/json`")
    response = await give_verdict(request, job, _terms(request, job))
    _log.info("operator", what="resolve", job=job.id)
    return response


async def _job(request: Request) -> Job:
    return await of_operator(request.gateway, request.id)


def _terms(request: Request, job: Job) -> Call:
    links, origin = request.gateway.links, f"http://{request.headers.get('Host', '')}"

    def urls(job: Job) -> JobUrls:
        # Its links are the operator's, who is not given the right to read the outcome.
        return msgspec.structs.replace(links.urls(job, origin), sig=None)

    return msgspec.structs.replace(terms(request, job), urls=urls, for_operator=True)
