"""What every test has: no event loop left over from an import, and the store servers, one of each for a session."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from gateway.store.embedded.binary import bundled_binary
from tests.support.redis_servers import RedisServer, real_redis_binary, redis_server, report_header, require


def pytest_configure(config: pytest.Config) -> None:
    """Leave no loop for pytest-asyncio to find, and then not to close (Python 3.11)."""
    asyncio.set_event_loop(None)


def pytest_report_header(config: pytest.Config) -> str:
    """Say which store servers the tests run on."""
    return report_header()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real redis-server on a free port, shared by the session: every test takes a key prefix of its own."""
    server: RedisServer
    with redis_server(require(real_redis_binary(), "redis-server"), tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bundled Valkey on a free port, shared likewise."""
    server: RedisServer
    with redis_server(require(bundled_binary(), "the bundled Valkey"), tmp_path_factory.mktemp("valkey")) as server:
        yield server.url
