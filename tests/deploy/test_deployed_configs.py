"""Every configuration that a deployment brings along is one that the gateway accepts, and means what is said of it."""

from __future__ import annotations

import pytest

from gateway.config.loading import load
from tests.deploy.deployment import CONFIGS, DEPLOY, KUBERNETES, ROOT

UPSTREAM = "https://cloud.uipath.com/acme/production/orchestrator_"


@pytest.fixture
def deployed(tmp_path):
    """Return a function that loads a configuration as its container would: with its secrets mounted."""
    secrets = tmp_path / "run/secrets"
    (secrets / "callmode").mkdir(parents=True)
    (secrets / "callmode/bearer").write_text("rt_ABCDEF\n")
    (secrets / "callmode/store-password").write_text("0123456789abcdef\n")

    def loaded(path):
        written = path.read_text()
        here = tmp_path / "gateway.yaml"
        here.write_text(written.replace("/run/secrets", str(secrets)))
        return load(here, environment={"CALLMODE_UPSTREAM": UPSTREAM})

    return loaded


def test_none_is_forgotten():
    """The list below is all there is."""
    assert {path for path in DEPLOY.rglob("gateway.yaml") if path.parent.name in {"image", "compose", "config"}} == set(
        CONFIGS
    )


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_gateway_accepts_it(deployed, path):
    """Loading finds nothing wrong, the log is for machines, and the admin port stays on loopback."""
    config = deployed(path)
    assert config.log.format == "json"
    assert config.web.admin.host == "127.0.0.1"


def test_the_image_passes_callers_bearers_on(deployed):
    """With nothing but an upstream named, the image is the gateway of one flag, on its volume."""
    config = deployed(DEPLOY / "image/gateway.yaml")
    assert (config.upstream.url, config.upstream.bearer) == (UPSTREAM, None)
    assert (config.store.url, str(config.store.data_dir)) == (None, "/var/lib/callmode")
    assert config.web.routes == ()


def test_the_internal_endpoint_has_a_credential_of_its_own(deployed):
    """Its secrets come from the mounted files, the password as part of the store's URL."""
    config = deployed(KUBERNETES / "internal/config/gateway.yaml")
    # Together they load only because `auth: none` is spelled out.
    assert (config.upstream.bearer, config.web.listen.host) == ("rt_ABCDEF", "0.0.0.0")
    assert config.store.url == "redis://:0123456789abcdef@callmode-store:6379/0"
    assert [route.path for route in config.web.routes] == ["/invoices", "/month-end"]


def test_the_sidecar_serves_its_pod_only(deployed):
    """It lends its credential to whoever reaches it, and that is the pod."""
    config = deployed(KUBERNETES / "sidecar/config/gateway.yaml")
    assert (config.upstream.bearer, config.web.listen.host) == ("rt_ABCDEF", "127.0.0.1")
    assert config.store.url is None
