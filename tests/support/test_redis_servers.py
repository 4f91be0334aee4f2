"""The helpers that other tests lean on."""

from __future__ import annotations

import pytest
import redis

from tests.support.redis_servers import RedisServer, real_redis_binary, redis_server, report_header, require


@pytest.fixture
def binary():
    """Return the server that this machine has."""
    return require(real_redis_binary(), "redis-server")


def test_a_killed_server_comes_back_on_its_port_with_its_data(tmp_path, binary):
    """With an append-only file a kill -9 is survived, by the data and by the URL."""
    with redis_server(binary, tmp_path, appendonly=True) as server:
        url, pid = server.url, server.pid
        with redis.Redis.from_url(url) as client:
            client.set("k", "v")
        server.kill()
        server.start()
        assert server.pid != pid
        assert server.url == url
        with redis.Redis.from_url(url) as client:
            assert client.get("k") == b"v"


def test_a_server_that_cannot_start_says_why(tmp_path, binary):
    """The error holds the server's own words."""
    server = RedisServer(binary, tmp_path, options=("--no-such-option", "1"))
    with pytest.raises(RuntimeError, match="no-such-option"):
        server.start()


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_what_is_absent_skips_at_a_desk_and_fails_in_ci(monkeypatch, ci, outcome):
    """The reason names what is missing."""
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="mono is not installed"):
        require(None, "mono")
    assert require("mcs", "mono") == "mcs"


def test_the_report_names_a_stand_in(monkeypatch, tmp_path):
    """Nobody takes a run on Valkey for a run on Redis."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert report_header().endswith(("(stands in for redis-server, which is not on PATH)", "store server: none"))
