"""The one HTTP cache of the gateway (aiohttp-client-cache), for documents that change seldom and are asked often.

Left to itself the library answers one caller with what another saw, keeps bearers, and keeps entries for ever. So:
- the key has all header fields in it, and so the folder and the credential;
- only a GET's 200 that says something is kept, for five minutes: a trigger may be made the next one;
- an entry is kept in this process, without its request: no bearer lies about longer than its call, nothing is pickled;
- at most 512 entries are kept, the oldest goes first.
Redirects, cookies and the environment's proxies are not followed, kept or read, as elsewhere in this package.
"""

from __future__ import annotations

import ssl

import aiohttp
from aiohttp_client_cache.backends.base import CacheBackend, DictCache, ResponseOrKey
from aiohttp_client_cache.response import AnyResponse, CachedResponse
from aiohttp_client_cache.session import CachedSession

KEPT = 300.0
"""Seconds that an answer is kept."""
ENTRIES = 512
_TIMEOUT = aiohttp.ClientTimeout(total=15.0, connect=5.0)


class _Entries(DictCache):
    """The library's dictionary, bounded, and without what was asked: that holds the credential."""

    async def write(self, key: str, item: ResponseOrKey) -> None:
        """Keep `item`."""
        if isinstance(item, CachedResponse):
            item.request_raw_headers = ()
        self.data.pop(key, None)
        await super().write(key, item)
        while len(self.data) > ENTRIES:
            del self.data[next(iter(self.data))]


class _Cache(CacheBackend):
    def __init__(self) -> None:
        super().__init__(
            expire_after=KEPT,
            allowed_codes=(200,),
            allowed_methods=("GET",),
            include_headers=True,
            filter_fn=_says_something,
        )
        self.responses = _Entries()
        self.redirects = _Entries()


def open_session(ca_file: str | None = None) -> CachedSession:
    """Return a session with a cache of its own. `ca_file`: a PEM file of certificates instead of the system's."""
    session: CachedSession = CachedSession(
        cache=_Cache(),
        connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=ca_file), limit=8),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_TIMEOUT,
        trust_env=False,
    )
    return session


async def _says_something(response: AnyResponse) -> bool:
    """Whether an answer is worth keeping: a list without members may have one the next time."""
    return b'"value":[]' not in (await response.read()).replace(b" ", b"")
