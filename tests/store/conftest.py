"""Four stores under one suite: fakeredis, the bundled Valkey, Debian's Redis, and a Cluster of the latter's kind.

Each test has a key prefix of its own.
At the end of each test no key under its prefix may be without a time to live: what nobody renews must go away.
"""

from __future__ import annotations

import secrets

import fakeredis
import pytest
import redis.asyncio

from gateway.store.keys import Keys
from gateway.store.redis import RedisStore
from gateway.store.settings import StoreSettings
from gateway.store.topology import servers
from tests.support.fake_store import fake_servers
from tests.support.redis_servers import debian_redis_binary, real_redis_binary, require
from tests.support.store_topologies import cluster, cluster_url

LEASE = StoreSettings().granted
"""What a heartbeat is worth (ms)."""


class Fake:
    """A fakeredis server, as the real ones look to the fixtures."""

    url = None

    def __init__(self) -> None:
        self._server = fakeredis.FakeServer()

    def client(self) -> redis.asyncio.Redis:
        """Return a client of it."""
        return fakeredis.FakeAsyncRedis(server=self._server)

    def store(self, settings, kind=RedisStore, **options) -> RedisStore:
        """Return a store on it."""
        return kind(fake_servers(self._server), settings, **options)


class Real:
    """A server process."""

    def __init__(self, url: str) -> None:
        self.url = url

    def client(self) -> redis.asyncio.Redis:
        """Return a client of it."""
        return redis.asyncio.Redis.from_url(self.url)

    def store(self, settings, kind=RedisStore, **options) -> RedisStore:
        """Return a store on it, as the gateway makes it, or with `options` of its own."""
        return kind(servers(settings, self.url), settings, **options)


@pytest.fixture(scope="session")
def valkey(valkey_url):
    """The bundled Valkey, for the whole run."""
    return Real(valkey_url)


@pytest.fixture(scope="session")
def debian_redis(request):
    """Debian's Redis, for the whole run; no other server stands in for it here, that would test Valkey twice."""
    require(debian_redis_binary(), "redis-server")
    return Real(request.getfixturevalue("redis_url"))


class Nodes(Real):
    """A Cluster of server processes. Looking and meddling is left to redis-py's own client of it."""

    def client(self) -> redis.asyncio.RedisCluster:
        """Return a client of it."""
        return redis.asyncio.RedisCluster.from_url(self.url.split(",")[0].replace("redis+cluster", "redis"))


@pytest.fixture(scope="session")
def nodes(tmp_path_factory):
    """Three nodes of a Cluster, for the whole run."""
    binary = require(real_redis_binary(), "redis-server")
    with cluster(binary, tmp_path_factory.mktemp("cluster")) as running:
        yield Nodes(cluster_url(running))


@pytest.fixture(params=["fakeredis", "valkey", "debian_redis", "nodes"])
def server(request):
    """Each server in turn."""
    return Fake() if request.param == "fakeredis" else request.getfixturevalue(request.param)


@pytest.fixture
def settings():
    """Store settings with a fresh prefix."""
    return StoreSettings(prefix=f"t{secrets.token_hex(6)}")


@pytest.fixture
def keys(settings):
    """The key names under the prefix."""
    return Keys(settings.prefix)


@pytest.fixture
async def raw(server, settings):
    """A plain client of the server, for looking and for meddling; checks every key's time to live at the end."""
    client = server.client()
    yield client
    try:
        async for key in client.scan_iter(f"{settings.prefix}*", count=1000):
            assert await client.pttl(key) != -1, f"{key!r} would stay forever"
    finally:
        await client.aclose()


@pytest.fixture
async def open_store(server, settings, raw):
    """Open stores under the test's prefix; all are closed at the end."""
    stores = []

    def opened(**options) -> RedisStore:
        stores.append(server.store(settings, **options))
        return stores[-1]

    yield opened
    for store in stores:
        await store.close()


@pytest.fixture
async def store(open_store):
    """A store on each server."""
    return open_store()


@pytest.fixture
def forward(raw, settings):
    """Let the time to live of every key pass by so many milliseconds."""

    async def passed(milliseconds: int) -> None:
        async for key in raw.scan_iter(f"{settings.prefix}*", count=1000):
            left = await raw.pttl(key)
            await (raw.delete(key) if left <= milliseconds else raw.pexpire(key, left - milliseconds))

    return passed
