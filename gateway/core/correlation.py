"""Writing a job's id into its start, so that the job can be found in Orchestrator when the start's answer is lost.

A trigger's job carries it in an in-argument that the route declares; a job of mode `Jobs` in its `Reference`.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, quote

import msgspec

from gateway.core.errors import BadArgumentsProblem
from gateway.core.modes import UpstreamMode
from gateway.core.policy import Binding
from gateway.core.start import StartRequest

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def bound(start: StartRequest, job_id: str, asked: UpstreamMode | None, binding: Binding) -> StartRequest:
    """Return `start` as it goes upstream for the job. Raises `BadArgumentsProblem`.

    For mode `Jobs`, `start` has the arguments as its body, whatever its method.
    """
    in_query = start.method == "GET" and asked is not UpstreamMode.JOBS
    if binding.correlation is not None and binding.api:
        if in_query:
            start = msgspec.structs.replace(start, url=_in_query(start.url, binding.correlation, job_id))
        else:
            start = msgspec.structs.replace(start, body=_in_body(start.body, binding.correlation, job_id))
    return _start_jobs(start, job_id, binding) if asked is UpstreamMode.JOBS else start


def _in_body(body: bytes, name: str, job_id: str) -> bytes:
    members = _object(body)
    _check_free(name, members)
    opening = body.index(b"{") + 1
    member = msgspec.json.encode(name) + b":" + msgspec.json.encode(job_id) + (b"," if members else b"")
    return body[:opening] + member + body[opening:]


def _object(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        # msgspec steps over strings that nobody asked for: only decoding the whole tells that all of it is UTF-8.
        return _members.decode(body.decode())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadArgumentsProblem("this route's arguments are a JSON object") from error


def _in_query(url: str, name: str, job_id: str) -> str:
    base, _, query = url.partition("?")
    _check_free(name, [key for key, _ in parse_qsl(query, keep_blank_values=True)])
    return f"{base}?{query}{'&' if query else ''}{quote(name, safe='')}={job_id}"


def _check_free(name: str, names: list[str] | dict[str, msgspec.Raw]) -> None:
    # .NET's binders ignore case: the upstream might take either for the other.
    if any(each.casefold() == name.casefold() for each in names):
        raise BadArgumentsProblem(f"the argument {name} is the gateway's own on this route")


def _start_jobs(start: StartRequest, job_id: str, binding: Binding) -> StartRequest:
    _object(start.body)
    info: dict[str, object] = {"ReleaseKey": binding.release} if binding.release else {"ReleaseName": binding.process}
    info |= {"JobsCount": 1, "InputArguments": start.body.decode(), "Reference": job_id}
    return msgspec.structs.replace(start, body=msgspec.json.encode({"startInfo": info}))
