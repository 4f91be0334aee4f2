"""Look-ups of what seldom changes: the ids of triggers, and where an identity server gives its tokens.

They go over `http_cache.py`'s session, and neither over the client that starts jobs nor into anybody's answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp
import msgspec

from gateway.core.exchange import Failure, Headers
from gateway.core.jobs_api import folder_headers, is_guid
from gateway.core.locations import allowed
from gateway.upstream.credentials import Credential
from gateway.upstream.listing import READ_HEADERS, Place, Trouble

if TYPE_CHECKING:
    from aiohttp_client_cache.session import CachedSession


_TOKEN_TIMEOUT = 15.0


class Metadata:
    """Reads documents, from the cache where they are there. `ca_file`: a PEM file instead of the system's trust."""

    def __init__(self, ca_file: str | None = None) -> None:
        self._ca_file = ca_file
        self._session: CachedSession | None = None

    async def get(self, url: str, headers: Headers = ()) -> bytes | Trouble:
        """Return the document at `url`; `Trouble` for any answer but 200."""
        try:
            response = await self._opened().get(url, headers=dict(headers), allow_redirects=False)
            async with response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Trouble(f"it was not reached ({type(error).__name__})")
        return body if response.status == 200 else Trouble(f"it answered {response.status}")

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()  # type: ignore[no-untyped-call]  # the library's is not annotated

    def _opened(self) -> CachedSession:
        if self._session is None:
            # Most gateways look nothing up, and the library takes 30 ms of start-up.
            from gateway.upstream.http_cache import open_session

            self._session = open_session(self._ca_file)
        return self._session


class _Trigger(msgspec.Struct, frozen=True, rename="pascal"):
    id: str
    slug: str = ""


class _Triggers(msgspec.Struct, frozen=True):
    value: list[_Trigger]


class _Discovered(msgspec.Struct, frozen=True):
    token_endpoint: str


class TriggerIds:
    """Tells the ids of triggers from their paths, as the credential that asks may see them."""

    def __init__(self, metadata: Metadata, credential: Credential, base: str) -> None:
        self._metadata = metadata
        self._credential = credential
        self._base = base

    async def find(self, where: Place, slug: str | None) -> str | Trouble:
        """Return the id (a GUID) of the trigger with the path `slug` in a folder."""
        if slug is None:
            return Trouble("the route names no trigger that could be looked up (trigger_id)")
        token = await self._credential.bearer(where.bearer, timeout=_TOKEN_TIMEOUT)
        if isinstance(token, Failure):
            return Trouble(f"the trigger was not looked up: {token.detail}")
        authorization = () if token is None else (("Authorization", f"Bearer {token}"),)
        headers = (*READ_HEADERS, *folder_headers(where.folder), *authorization)
        found = await self._metadata.get(self._url(slug), headers)
        if isinstance(found, Trouble):
            return Trouble(f"the trigger's id was looked up, and {found.why}")
        return _id_of(slug, found)

    def _url(self, slug: str) -> str:
        escaped = slug.replace("'", "''")
        condition = quote(f"Slug eq '{escaped}'", safe="")
        return f"{self._base}/odata/HttpTriggers?$filter={condition}"


def _id_of(slug: str, body: bytes) -> str | Trouble:
    try:
        triggers = msgspec.json.decode(body, type=_Triggers).value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Trouble("Orchestrator's list of triggers cannot be read")
    ids = {trigger.id for trigger in triggers if trigger.slug.lower() == slug.lower() and is_guid(trigger.id)}
    if len(ids) != 1:
        return Trouble(f"Orchestrator lists {len(ids) or 'no'} triggers of this path; name it by trigger_id")
    return ids.pop()


async def token_endpoint(metadata: Metadata, authority: str) -> str | Trouble:
    """Return the token endpoint that an authority's OpenID discovery document names (OpenID Connect Discovery 1.0).

    It is sent a secret, so it must be where the authority is.
    """
    found = await metadata.get(f"{authority}/.well-known/openid-configuration", READ_HEADERS)
    if isinstance(found, Trouble):
        return Trouble(f"the authority's discovery document was asked for, and {found.why}")
    try:
        endpoint = msgspec.json.decode(found, type=_Discovered).token_endpoint
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Trouble("the authority's discovery document names no token_endpoint")
    if not allowed(endpoint, upstream_url=authority):
        return Trouble("the authority's discovery document names a token_endpoint of another host")
    return endpoint
