"""The identity server: who gets a token, and what a token is good for."""

from __future__ import annotations

import asyncio
import base64

import pytest
from uipath.platform.identity import IdentityService

pytestmark = pytest.mark.looptime

CLIENTS = {"client": "s3cret/+"}
FORM = {"grant_type": "client_credentials", "client_id": "client", "client_secret": "s3cret/+"}
TOKEN = "/acme/identity_/connect/token"


def basic(client: str, secret: str) -> dict:
    """Return the Authorization field of a client."""
    return {"Authorization": f"Basic {base64.b64encode(f'{client}:{secret}'.encode()).decode()}"}


async def ask(t, form: dict | list | None = None, headers: dict | None = None, path: str = TOKEN):
    """Ask for a token."""
    return await t.call("POST", path, headers or {}, data=FORM if form is None else form)


async def start(t, token: str) -> int:
    """Start a job with a token and return the status."""
    return (await t.call("POST", t.path(), {"Authorization": f"Bearer {token}"}, json={})).status


@pytest.mark.parametrize("path", [TOKEN, "/identity_/connect/token", "/identity/connect/token"])
async def test_token(tenant, path):
    """A client with its secret gets a token for its scopes, and the token starts jobs."""
    t = await tenant(oauth_clients=CLIENTS, token_lifetime=600)
    reply = await ask(t, {**FORM, "scope": "OR.Jobs.Read OR.Default"}, path=path)
    token = reply.json.pop("access_token")
    assert (reply.status, reply.json | {"access_token": 0}) == (200, {
        "access_token": 0, "expires_in": 600, "token_type": "Bearer", "scope": "OR.Jobs.Read OR.Default",
    })  # fmt: skip
    assert "no-store" in reply.headers["Cache-Control"]
    assert await start(t, token) == 202
    assert (t.simulator.counters.token_requests, t.simulator.counters.tokens) == (1, 1)


async def test_client_in_the_authorization_field(tenant):
    """The client may say who it is in the Authorization field, percent-encoded."""
    t = await tenant(oauth_clients=CLIENTS)
    form = {"grant_type": "client_credentials"}
    assert (await ask(t, form, basic("client", "s3cret%2F%2B"))).status == 200
    wrong = await ask(t, form, basic("client", "wrong"))
    assert (wrong.status, wrong.json["error"]) == (401, "invalid_client")
    assert wrong.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({**FORM, "client_secret": "wrong"}, "invalid_client"),
        ({**FORM, "client_id": "nobody"}, "invalid_client"),
        ({"grant_type": "client_credentials"}, "invalid_client"),
        ({**FORM, "grant_type": "password"}, "unsupported_grant_type"),
        ({**FORM, "scope": "OR.Jobs OR.Everything.Read"}, "invalid_scope"),
        ({"client_id": "client"}, "invalid_request"),
        ([*FORM.items(), ("scope", "OR.Jobs"), ("scope", "OR.Jobs")], "invalid_request"),
        (b"grant_type=client_credentials", "invalid_request"),
        (b"", "invalid_request"),
    ],
)
async def test_refused(tenant, form, error):
    """A request that is wrong is 400 with RFC 6749's own words."""
    t = await tenant(oauth_clients=CLIENTS)
    reply = await ask(t, form)
    assert (reply.status, reply.json["error"]) == (400, error)
    assert (t.simulator.counters.token_requests, t.simulator.counters.tokens) == (1, 0)


@pytest.mark.parametrize("authorization", ["Bearer x", "Basic ?", "Basic eA=="])
async def test_authorization_that_is_not_understood(tenant, authorization):
    """Another scheme, or credentials that are none, is 401; two ways at once are 400."""
    t = await tenant(oauth_clients=CLIENTS)
    form = {"grant_type": "client_credentials"}
    assert (await ask(t, form, {"Authorization": authorization})).status == 401
    both = await ask(t, FORM, {"Authorization": authorization})
    assert (both.status, both.json["error"]) == (400, "invalid_request")


async def test_only_issued_tokens_are_good(tenant):
    """With an identity server a token of one's own making is 401; one that the settings name still does."""
    t = await tenant(oauth_clients=CLIENTS, tokens=frozenset({"pat"}))
    assert [await start(t, token) for token in ("made-up", "pat")] == [401, 202]


async def test_tokens_expire(tenant):
    """A token is good for as long as it says."""
    t = await tenant(oauth_clients=CLIENTS, token_lifetime=60)
    token = (await ask(t)).json["access_token"]
    await asyncio.sleep(59)
    assert await start(t, token) == 202
    await asyncio.sleep(2)
    assert await start(t, token) == 401
    assert await start(t, (await ask(t)).json["access_token"]) == 202


async def test_admin_ends_all_tokens(tenant):
    """An admin can end all tokens at once; a job's URIs need a new one then."""
    t = await tenant(oauth_clients=CLIENTS)
    old = (await ask(t)).json["access_token"]
    started = await t.call("POST", t.path(), {"Authorization": f"Bearer {old}"}, json={})
    assert await t.admin("POST", "tokens/expire") == {"expired": 1}
    assert await t.admin("POST", "tokens/expire") == {"expired": 0}
    assert (await t.get(started.location, {"Authorization": f"Bearer {old}"})).status == 401
    new = (await ask(t)).json["access_token"]
    assert (await t.get(started.location, {"Authorization": f"Bearer {new}"})).status == 200


async def test_discovery(tenant):
    """The discovery document names the token endpoint beside it."""
    t = await tenant(oauth_clients=CLIENTS)
    found = (await t.get("/acme/identity_/.well-known/openid-configuration", {})).json
    assert found["token_endpoint"] == t.origin + TOKEN
    assert (await t.call("POST", found["token_endpoint"], {}, data=FORM)).status == 200


async def test_without_clients_there_is_no_identity_server(tenant):
    """A tenant without OAuth clients answers 404, and any token does."""
    t = await tenant()
    assert (await ask(t)).status == 404
    assert await start(t, "made-up") == 202


async def test_other_methods(tenant):
    """The token endpoint takes POST alone, the discovery document GET."""
    t = await tenant(oauth_clients=CLIENTS)
    assert (await t.get(TOKEN, {})).status == 405
    assert (await t.call("POST", "/identity/.well-known/openid-configuration", {})).status == 405


async def test_faults_of_token_requests(tenant):
    """A token request can go wrong: before a token is issued, or after."""
    t = await tenant(oauth_clients=CLIENTS)
    for fault in ("503-before", "502-after"):
        await t.admin("POST", "faults", json={"fault": fault, "on": "token"})
    assert [(await ask(t)).status for _ in range(3)] == [503, 502, 200]
    assert (t.simulator.counters.token_requests, t.simulator.counters.tokens) == (3, 2)


async def test_uipath_client(tenant):
    """UiPath's own client gets a token."""
    t = await tenant(oauth_clients=CLIENTS)
    token = await IdentityService(t.origin).get_client_credentials_token_async("client", "s3cret/+", "OR.Execution")
    assert (token.expires_in, token.scope) == (3600, "OR.Execution")
    assert await start(t, token.access_token) == 202
