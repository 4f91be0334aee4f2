"""TLS to the store: who is trusted, and who we are."""

from __future__ import annotations

import msgspec
import pytest

from gateway.store.port import Created, StoreDown
from gateway.store.redis import connect
from gateway.store.settings import StoreSettings
from tests.store.rows import KEEP, job, new
from tests.support.listening import free_port
from tests.support.redis_servers import debian_redis_binary, redis_server, require
from tests.support.store_topologies import certificates

SETTINGS = StoreSettings(prefix="tls", timeout=2_000)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """An authority and what it signed for 127.0.0.1."""
    return certificates(tmp_path_factory.mktemp("ours"))


@pytest.fixture
def tls_server(tmp_path):
    """Start a server that speaks TLS with given certificates; give its URL."""

    def started(shown, *options):
        port = free_port()
        server = redis_server(
            require(debian_redis_binary(), "redis-server"),
            tmp_path,
            options=("--tls-port", str(port), *shown.options, *options),
        )
        server.__enter__()
        running.append(server)
        return f"rediss://127.0.0.1:{port}/0"

    running = []
    yield started
    for server in running:
        server.__exit__(None, None, None)


async def served(url, **settings):
    """Create a job there."""
    store = connect(msgspec.structs.replace(SETTINGS, **settings), url)
    try:
        return await store.create(new(job()), "a", keep=KEEP)
    finally:
        await store.close()


async def test_a_server_of_a_known_authority(tls_server, ours):
    """Whose certificate names the host that was asked for."""
    url = tls_server(ours, "--tls-auth-clients", "no")
    assert await served(url, ca_file=ours.ca) == Created()


@pytest.mark.parametrize("name", ["no file", "another authority"])
async def test_a_server_of_an_unknown_authority(tls_server, ours, tmp_path, name):
    """Is not spoken to."""
    url = tls_server(ours, "--tls-auth-clients", "no")
    other = None if name == "no file" else certificates(tmp_path / "other").ca
    with pytest.raises(StoreDown, match="CERTIFICATE_VERIFY_FAILED"):
        await served(url, ca_file=other)


async def test_a_server_with_the_certificate_of_another(tls_server, tmp_path):
    """Is not spoken to either."""
    theirs = certificates(tmp_path / "theirs", host="127.0.0.2")
    url = tls_server(theirs, "--tls-auth-clients", "no")
    with pytest.raises(StoreDown, match="CERTIFICATE_VERIFY_FAILED"):
        await served(url, ca_file=theirs.ca)


async def test_a_server_that_asks_who_we_are(tls_server, ours):
    """Is shown a certificate, and refuses who has none."""
    url = tls_server(ours, "--tls-auth-clients", "yes")
    assert await served(url, ca_file=ours.ca, cert_file=ours.certificate, key_file=ours.key) == Created()
    with pytest.raises(StoreDown):
        await served(url, ca_file=ours.ca)


async def test_a_plain_server_is_not_taken_for_one_with_tls(redis_url, ours):
    """It waits for a command where we wait for its certificate."""
    with pytest.raises(StoreDown):
        await served(redis_url.replace("redis://", "rediss://"), ca_file=ours.ca, timeout=200)


async def test_listening_over_tls(tls_server, ours):
    """Wake-ups come the same way."""
    url = tls_server(ours, "--tls-auth-clients", "no")
    store = connect(msgspec.structs.replace(SETTINGS, ca_file=ours.ca), url)
    wakes = store.wakes("w")
    assert await anext(wakes) is None
    await wakes.aclose()
    await store.close()
