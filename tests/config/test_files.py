"""The files in `config/`: complete, right, and as the schema says."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from gateway.config import load
from gateway.config.model import GatewayKeys, sections
from gateway.config.routes import RECONCILE_WAIT
from gateway.config.schema import json_schema
from gateway.core.modes import CallerMode
from gateway.core.policy import SameCall
from gateway.core.reach import stoppable
from gateway.upstream.settings import JobsApiSettings

CONFIG = Path(__file__).parents[2] / "config"
FILES = ["gateway.yaml", "legacy.yaml", "sidecar.yaml", "team-endpoint.yaml"]
ENVIRONMENT = {
    "HOME": "/home/me",
    "ORCHESTRATOR_URL": "https://cloud.example/o/t/orchestrator_",
    "ORCHESTRATOR_CLIENT_ID": "7a1f0c3e-5b2d-4e8a-9c46-1d2e3f405162",
    "ORCHESTRATOR_CLIENT_SECRET": "secret",
    "REDIS_URL": "redis://redis",
}


def data(text):
    """Return the data of YAML 1.2 text."""
    return YAML(typ="safe", pure=True).load(text)


@pytest.fixture(scope="module")
def everything():
    """`gateway.yaml` with each commented key uncommented: an example of every key."""
    text = (CONFIG / "gateway.yaml").read_text(encoding="utf-8").replace("routes: []", "routes:")
    return data(re.sub(r"^( *)# (?= *(- )?[a-z_]+:( |$))", r"\1", text, flags=re.MULTILINE))


def keys_of(mapping, section=""):
    """Return the keys of a section of the file."""
    inside = mapping
    for name in section.split(".") if section else ():
        inside = inside[name][0] if isinstance(inside[name], list) else inside[name]
    return set(inside)


OF_DEFAULTS = "routes.deduplicate"
"""Said once, in the defaults."""


@pytest.mark.parametrize("section", sorted(sections().keys() - {OF_DEFAULTS}))
def test_gateway_yaml_names_every_key(everything, section):
    """Each key of the model stands in the file; a route's policy keys stand once, in the defaults."""
    inherited = set(sections()["defaults"].model_fields) if section == "routes" else set()
    assert keys_of(everything, section) == set(sections()[section].model_fields) - inherited


@pytest.mark.parametrize("section", [section for section in sections() if "." not in section])
def test_gateway_yaml_gives_every_default(section):
    """What is not commented out is the model's default, and all of those are there."""
    said = GatewayKeys.model_validate(data((CONFIG / "gateway.yaml").read_text(encoding="utf-8")))
    inside = getattr(said, section) if section else said
    if section == "routes":
        assert inside == ()
        return
    for name, field in sections()[section].model_fields.items():
        if field.is_required() or name in sections():
            continue
        assert getattr(inside, name) == field.default, name
        assert (name in inside.model_fields_set) == (field.default is not None and name != "auth"), name


def test_gateway_yaml_shows_the_defaults_of_sections_that_are_off(everything):
    """A section that a gateway need not have is commented out as a whole, with its defaults in it."""
    assert everything["upstream"]["jobs_api"]["calls_per_minute"] == JobsApiSettings().calls_per_minute
    assert everything["upstream"]["jobs_api"]["grouped_reads"] == ("off", "on")[JobsApiSettings().grouped_reads]
    assert set(everything["defaults"]["deduplicate"]["by"]) == {*SameCall}


def test_gateway_yaml_shows_a_routes_defaults(everything):
    """The commented route says what routes have by default."""
    route = sections()["routes"].model_fields
    shown = GatewayKeys.model_validate({"upstream": {"url": "https://h"}, "routes": everything["routes"]}).routes[0]
    assert (shown.methods, shown.cors) == (route["methods"].default, route["cors"].default)
    assert shown.name == shown.path.removeprefix("/")


@pytest.mark.parametrize("name", FILES)
def test_files_load(name):
    """Each file is a configuration that a gateway can run with."""
    assert load(CONFIG / name, environment=ENVIRONMENT).upstream.url


@pytest.mark.parametrize("name", FILES)
def test_files_are_valid_by_the_schema(name):
    """An editor finds nothing to mark in them."""
    jsonschema.validate(data((CONFIG / name).read_text(encoding="utf-8")), json_schema())


def test_the_schema_file_is_generated():
    """`scripts/schema` was run after the last change of the keys."""
    assert json.loads((CONFIG / "schema.json").read_text(encoding="utf-8")) == json_schema()


def test_the_schema_is_one():
    """The schema is valid by its own dialect."""
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"upstream": {"url": None}},
        {"upstream": {"url": "https://h", "typo": 1}},
        {"upstream": {"url": "https://h"}, "drain": 5},
        {"upstream": {"url": "https://h"}, "routes": [{"path": "/a"}]},
        {"upstream": {"url": "https://h"}, "defaults": {"modes": ["fax"]}},
        {"upstream": {"url": "https://h"}, "defaults": {"redirect_status": 301}},
    ],
)
def test_the_schema_refuses(wrong):
    """Missing and unknown keys, null, and values of a wrong form."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json_schema())


def test_the_schema_takes_references_everywhere():
    """`${env:…}` may stand for a number, a switch or a word."""
    reference = "${env:X}"
    jsonschema.validate(
        {
            "upstream": {"url": reference},
            "limits": {"connections": reference, "body": reference},
            "defaults": {"track": reference, "caller_mode": reference, "redirect_status": reference, "wait": reference},
        },
        json_schema(),
    )


@pytest.mark.parametrize("name", FILES)
def test_the_admin_port_stays_on_loopback(name):
    """Who reaches it cancels jobs and says what became of them, and is asked for nothing."""
    config = load(CONFIG / name, environment=ENVIRONMENT)
    assert config.web.admin is not None
    assert config.web.admin.host == "127.0.0.1"


def test_legacy_serves_clients_that_can_only_block():
    """The gateway's own credential, fixed routes, jobs that can be found, redirects as old .NET knows them."""
    config = load(CONFIG / "legacy.yaml", environment=ENVIRONMENT)
    # Together they load only because `auth: none` is spelled out.
    assert (config.upstream.own_credential, config.web.listen.host) == (True, "0.0.0.0")
    assert [stoppable(route.policy) for route in config.web.routes] == [True, False, True, False]
    assert config.web.routes[0].policy.reconcile_wait == RECONCILE_WAIT
    assert {route.policy.redirect_status for route in config.web.routes} == {302}
    assert config.web.routes[0].policy.caller_mode is CallerMode.SYNC


def test_sidecar_is_reached_by_its_own_pod_only():
    """Callers come over loopback with their own bearer, and any trigger passes through."""
    config = load(CONFIG / "sidecar.yaml", environment=ENVIRONMENT)
    assert (config.web.listen.host, config.web.routes, config.upstream.bearer) == ("127.0.0.1", (), None)


def test_team_endpoint_is_shared():
    """Replicas share store and keyring, links are absolute, and callbacks have their receivers."""
    config = load(CONFIG / "team-endpoint.yaml", environment=ENVIRONMENT)
    assert config.store.url == "redis://redis"
    assert config.auth.keyring_file == Path("/run/secrets/callmode-keyring")
    assert config.web.public_url == "https://automations.example.com"
    assert config.worker.callbacks.allow
    # Teams' tokens start jobs; the gateway's only look after them.
    assert not config.upstream.own_credential
    assert config.upstream.jobs_api is not None
    assert config.upstream.jobs_api.oauth is not None
    assert [route.policy.track for route in config.web.routes] == [True, True, True, False]
