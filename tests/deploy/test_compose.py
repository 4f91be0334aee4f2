"""What the Compose file promises: two gateways, one store, one keyring, and nothing open that need not be."""

from __future__ import annotations

import re
import subprocess
from urllib.parse import urlsplit

import pytest

from tests.deploy.deployment import DEPLOY, ROOT, documents, seconds, version

[COMPOSE] = documents(DEPLOY / "compose.yaml")
[CONFIG] = documents(DEPLOY / "compose/gateway.yaml")
SERVICES = COMPOSE["services"]
GATEWAYS = ["gateway-1", "gateway-2"]


def test_services():
    """Two gateways, the store, the simulator."""
    assert set(SERVICES) == {*GATEWAYS, "store", "simulator"}


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateway_has_time_to_drain(name):
    """Compose kills no gateway that is still draining."""
    assert seconds(SERVICES[name]["stop_grace_period"]) >= seconds(CONFIG["drain"]) + 10


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateway_is_reached_from_this_machine_only(name):
    """The published port leads to the port listened on, from loopback."""
    [published] = SERVICES[name]["ports"]
    address, _, inner = published.split(":")
    assert address == "127.0.0.1"
    assert CONFIG["listen"] == f"0.0.0.0:{inner}"


def test_the_gateways_ports_differ():
    """Both can be published at once."""
    assert len({SERVICES[name]["ports"][0].rpartition(":")[0] for name in GATEWAYS}) == 2


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_held_down(name):
    """Read-only root, no capabilities, none to be gained; the store and the gateways name an unprivileged user."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("user", "image's own") not in {"root", "0", "0:0"}


def test_the_keyring_is_one_secret_file():
    """Both gateways mount the secret that is declared, where the configuration looks for it."""
    assert set(COMPOSE["secrets"]) == {"keyring"}
    for name in GATEWAYS:
        assert SERVICES[name]["secrets"] == ["keyring"]
        assert "./compose/gateway.yaml:/etc/callmode/gateway.yaml:ro" in SERVICES[name]["volumes"]
    assert CONFIG["keyring_file"] == "/run/secrets/keyring"


def test_the_keyring_cannot_be_committed():
    """Git ignores the file that the instructions make."""
    file = (DEPLOY / COMPOSE["secrets"]["keyring"]["file"]).relative_to(ROOT)
    assert f"> {file}" in (DEPLOY / "compose.yaml").read_text()
    subprocess.run(["git", "check-ignore", "--quiet", file], cwd=ROOT, check=True)


def test_the_store_keeps_what_it_is_given():
    """An append-only file on a volume, no eviction, and gateways that wait until it is loaded."""
    store = SERVICES["store"]
    flags = dict(zip(store["command"][1::2], store["command"][2::2], strict=True))
    assert flags["--appendonly"] == "yes"
    assert flags["--maxmemory-policy"] == "noeviction"
    assert store["volumes"] == ["store:/data"]
    assert "store" in COMPOSE["volumes"]
    assert store["healthcheck"]["test"] == ["CMD", "valkey-cli", "-e", "ping"]
    assert "ports" not in store
    for name in GATEWAYS:
        assert SERVICES[name]["depends_on"]["store"] == {"condition": "service_healthy"}


def test_the_configuration_names_the_services():
    """The store's and the upstream's hosts are services, at the ports that those listen on."""
    store, upstream = urlsplit(CONFIG["store"]["url"]), urlsplit(CONFIG["upstream"]["url"])
    assert (store.hostname, store.port) == ("store", 6379)
    assert upstream.hostname == "simulator"
    assert SERVICES["simulator"]["command"] == ["simulate", "--listen", f"0.0.0.0:{upstream.port}"]


def test_the_image_is_built_from_this_tree_under_this_version():
    """Whoever runs `up --build` runs what he checked out."""
    for name in [*GATEWAYS, "simulator"]:
        assert SERVICES[name]["image"] == f"callmode-gateway:{version()}"
        assert (DEPLOY / SERVICES[name]["build"]["context"] / "Dockerfile").is_file()
    assert re.fullmatch(r"valkey/valkey:\d+\.\d+-alpine", SERVICES["store"]["image"])
