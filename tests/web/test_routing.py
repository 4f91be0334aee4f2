"""From a request target to a route."""

from __future__ import annotations

import pytest

from gateway.core.errors import BadRequest, NotATrigger
from gateway.core.modes import CallerMode
from gateway.web.routing import RoutePolicies, find
from gateway.web.settings import Route, WebSettings
from tests.caller.calls import policy

INVOICES = Route(name="invoices", path="/invoices", trigger="/t/0f3c/invoice", policy=policy(hold=1))
TABLE = WebSettings(routes=(INVOICES, Route(name="odd", path="/a%20b", trigger="/t/0f3c/odd%2D")))
BASE_PATH = "/acme/prod/orchestrator_"
THROUGH = WebSettings(base_path=BASE_PATH, default_policy=policy(caller_mode=CallerMode.ASYNC))
UPSTREAM = f"https://cloud.uipath.com{BASE_PATH}"


def test_configured_routes():
    """Found by their exact path; the query goes along."""
    found = find(TABLE, "/invoices?a=%2F&b", "POST")
    assert (found.route, found.query, found.mode) == (INVOICES, "a=%2F&b", None)
    assert found.upstream_url(UPSTREAM, found.query) == f"{UPSTREAM}/t/0f3c/invoice?a=%2F&b"
    assert found.upstream_url(f"{UPSTREAM}/", None) == f"{UPSTREAM}/t/0f3c/invoice"


@pytest.mark.parametrize(
    "target", ["/", "/invoice", "/invoices/", "/Invoices", "/invoices/1", "/%69nvoices", "/t/0f3c/invoice", "/a b"]
)
def test_no_other_path_is_a_route(target: str):
    """Compared as text; with routes configured nothing passes through."""
    with pytest.raises((NotATrigger, BadRequest)):
        find(TABLE, target, "POST")


def test_a_route_with_an_escaped_path():
    """As it comes over the wire, on both sides."""
    assert find(TABLE, "/a%20b", "POST").upstream_url(UPSTREAM, None).endswith("/t/0f3c/odd%2D")


@pytest.mark.parametrize("path", ["/t/folder/slug", f"{BASE_PATH}/t/folder/slug"])
def test_passing_through(path: str):
    """With and without the upstream's own path; the route is called by its trigger either way."""
    found = find(THROUGH, f"{path}?x=1", "POST")
    assert (found.route.name, found.route.trigger) == ("/t/folder/slug", "/t/folder/slug")
    assert found.route.policy is THROUGH.default_policy
    assert found.upstream_url(UPSTREAM, found.query) == f"{UPSTREAM}/t/folder/slug?x=1"


def test_absolute_form():
    """As a proxy would be asked; its authority decides nothing."""
    assert find(THROUGH, "http://anything.example/t/a/b", "POST").route.name == "/t/a/b"


@pytest.mark.parametrize("target", ["/", "/t", "/t/", "/x/t/a", "/odata/Jobs", f"{BASE_PATH}/odata/Jobs", "/T/a/b"])
def test_what_is_no_trigger(target: str):
    """404, and nothing of the upstream can be reached."""
    with pytest.raises(NotATrigger):
        find(THROUGH, target, "POST")


OUT = [
    "/t/../odata",
    "/t/%2e%2e/odata",
    "/t/a/..%2fb",
    "/t/..;/odata",
    "/t//odata",
    "/t/a%5cb",
    "/t/a\\b",
    "/t/a%",
]


@pytest.mark.parametrize("target", OUT)
def test_nothing_leads_out_of_the_triggers(target: str):
    """A path with two readings is refused, before and behind the prefix of a mode."""
    for path in (target, f"/-/call/sync{target}"):
        with pytest.raises(BadRequest, match="target is refused"):
            find(THROUGH, path, "POST")


@pytest.mark.parametrize("mode", ["sync", "long-poll", "AsyncRequestReply", "anything", ""])
def test_a_mode_in_the_path(mode: str):
    """Is taken off; whether there is such a mode is for `choose` to say."""
    if mode:
        found = find(THROUGH, f"/-/call/{mode}/t/folder/slug?x", "POST")
        assert (found.mode, found.route.trigger, found.query) == (mode, "/t/folder/slug", "x")
        assert find(TABLE, f"/-/call/{mode}/invoices", "POST").route is INVOICES
    else:
        with pytest.raises(BadRequest):
            find(THROUGH, "/-/call//t/folder/slug", "POST")


@pytest.mark.parametrize("target", ["/-/call/sync", "/-/call/sync/", "/-/call/", "/-/jobs/x", "/-/call/sync/-/jobs/x"])
def test_the_reserved_prefix_is_no_route(target: str):
    """Nor is anything behind it but a call."""
    for settings in (TABLE, THROUGH):
        with pytest.raises(NotATrigger):
            find(settings, target, "POST")


def test_the_policy_of_a_records_route():
    """By its name; a route that has gone from the configuration leaves its jobs to the default policy."""
    policies = RoutePolicies(TABLE)
    assert policies.policy("invoices") is INVOICES.policy
    assert policies.policy("gone") is TABLE.default_policy
    assert RoutePolicies(THROUGH).policy("/t/folder/slug") is THROUGH.default_policy
