"""Outputs that lie in an attachment, since they are too large for the job's document: look it up, then download it.

The download goes to a store of blobs, mostly on another host, with a signature in its URL and no bearer: the gateway's
credential goes there only where Orchestrator asks for it. The signature is short-lived, so each read looks it up anew.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec

from gateway.core import events as e
from gateway.core.exchange import Answer, Exchanged, Failure, Headers, Request
from gateway.core.job import Leg
from gateway.core.jobs_api import folder_headers, is_guid, succeeded
from gateway.core.locations import BadLocation
from gateway.core.outcome import Origins, cut_short, failed_read, retry_after
from gateway.upstream.credentials import Authorized
from gateway.upstream.listing import READ_HEADERS
from gateway.upstream.port import Client


class _Fields(msgspec.Struct, frozen=True, rename="pascal"):
    keys: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


class _Access(msgspec.Struct, frozen=True, rename="pascal"):
    """Where a blob is read, and with which header fields."""

    uri: Annotated[str, msgspec.Meta(min_length=1)]
    headers: _Fields = _Fields()
    requires_auth: bool = False


class _Attachment(msgspec.Struct, frozen=True, rename="pascal"):
    blob_file_access: _Access


_attachment = msgspec.json.Decoder(_Attachment)


class Attachments:
    """Reads outputs. `calls` carry the credential, `client` none."""

    def __init__(self, calls: Authorized, client: Client, origins: Origins) -> None:
        self._calls = calls
        self._client = client
        self._origins = origins

    async def outcome(self, key: str, leg: Leg, bearer: str | None, *, timeout: float, failures: int) -> e.Event:
        """Return `Ended` with the output in the attachment `key` of the job of `leg`, or why there is none yet.

        `timeout` is seconds, for all of it; `failures` are the reads that failed in a row just before.
        """
        if not is_guid(key):
            return e.ReadFailed("the job's output is in an attachment without a key")
        ends = asyncio.get_running_loop().time() + timeout
        url = f"{self._origins.upstream_url}/odata/Attachments({key})"
        request = Request("GET", url, (*READ_HEADERS, *folder_headers(leg.folder)))
        looked_up = await self._calls.exchange(request, bearer, timeout=timeout)
        access = _access(looked_up)
        if isinstance(access, e.ReadFailed):
            return access
        return _judged(await self._download(access, bearer, ends), leg, failures)

    async def _download(self, access: _Access, bearer: str | None, ends: float) -> Exchanged | e.ReadFailed:
        try:
            url = self._origins.follow(self._origins.upstream_url, access.uri)
        except BadLocation as error:
            return e.ReadFailed(f"the job has ended; for its output, {error}")
        fields: Headers = tuple(zip(access.headers.keys, access.headers.values, strict=False))
        request = Request("GET", url, (("Accept-Encoding", "identity"), *fields))
        timeout = ends - asyncio.get_running_loop().time()
        if access.requires_auth:
            return await self._calls.exchange(request, bearer, timeout=timeout)
        return await self._client.exchange(request, timeout=timeout)


def _access(looked_up: Exchanged) -> _Access | e.ReadFailed:
    if isinstance(looked_up, Failure):
        return e.ReadFailed(f"the job's output was not looked up ({looked_up.reason.value})")
    if looked_up.status == 200:
        try:
            return _attachment.decode(looked_up.body).blob_file_access
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    why = f"the look-up of the job's output was answered {looked_up.status} and nothing of it"
    return e.ReadFailed(why, retry_after(looked_up), unauthorized=looked_up.status == 401)


def _judged(exchanged: Exchanged | e.ReadFailed, leg: Leg, failures: int) -> e.Event:
    if isinstance(exchanged, e.ReadFailed):
        return exchanged
    if isinstance(exchanged, Failure):
        return failed_read(exchanged, leg, failures)
    if exchanged.status != 200:
        return e.ReadFailed(f"the job's output was answered {exchanged.status}", retry_after(exchanged))
    if not _is_json(exchanged):
        return cut_short("the job's output is no JSON", leg, failures)
    return e.Ended(succeeded(exchanged.body))


def _is_json(answer: Answer) -> bool:
    """Whether the output is whole: out-arguments are a JSON object, and half of one is not JSON."""
    try:
        msgspec.json.decode(answer.body, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
