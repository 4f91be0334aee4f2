"""A real server takes the arguments that Compose and Kubernetes give it, and runs as they mean."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import redis

from gateway.store.embedded.binary import find_server_binary
from tests.deploy.deployment import DEPLOY, KUBERNETES, documents, resources


def arguments(where: str, directory: Path) -> list[str]:
    """Return the store's arguments in one deployment, without the command itself, its volume being `directory`."""
    if where == "compose":
        [compose] = documents(DEPLOY / "compose.yaml")
        command = compose["services"]["store"]["command"]
    else:
        pod = resources(KUBERNETES / "internal")["StatefulSet", "callmode-store"]["spec"]["template"]
        command = pod["spec"]["containers"][0]["args"]
    assert command[0] == "valkey-server"
    mounted = {"$(STORE_PASSWORD)": "secret", "/data": str(directory)}
    return [mounted.get(argument, argument) for argument in command[1:]]


@pytest.mark.parametrize(("where", "password"), [("compose", None), ("kubernetes", "secret")])
def test_the_server_takes_its_arguments(where, password, tmp_path):
    """An append-only file and no snapshots, nothing evicted, and no stranger where a password is set."""
    here = ["--dir", str(tmp_path), "--port", "0", "--unixsocket", "s"]
    process = subprocess.Popen(
        [find_server_binary(), *arguments(where, tmp_path), *here], stdout=subprocess.PIPE, text=True
    )
    try:
        assert any("Ready to accept connections" in line for line in process.stdout)
        with redis.Redis(unix_socket_path=str(tmp_path / "s"), password=password, decode_responses=True) as store:
            assert store.config_get("appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy") == {
                "appendonly": "yes",
                "appendfsync": "everysec",
                "save": "",
                "maxmemory": str(256 * 1024 * 1024),
                "maxmemory-policy": "noeviction",
            }
        with redis.Redis(unix_socket_path=str(tmp_path / "s")) as stranger:
            if password is None:
                assert stranger.ping()
            else:
                with pytest.raises(redis.AuthenticationError):
                    stranger.ping()
    finally:
        process.terminate()
        process.communicate(timeout=20)
