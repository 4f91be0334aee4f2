"""Cross-origin calls: fields for the pages that a route allows, none for strangers."""

from __future__ import annotations

import pytest

from gateway.core.exchange import Headers
from gateway.web import cors
from gateway.web.request import Request
from gateway.web.settings import Route, WebSettings
from tests.web.support import made

PAGE = "https://page.example"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


def asked(origins: frozenset[str], **headers: str) -> Request:
    """Return a request whose answer belongs to `origins`."""
    request = made("POST", "/", headers)
    cors.belongs_to(request, origins)
    return request


def finished(origins: frozenset[str], fields: Headers = (), **headers: str) -> Headers:
    """Return the fields of an answer with its head finished."""
    return cors.finished(asked(origins, **headers), fields)


@pytest.mark.parametrize("origins", [{PAGE}, {"*"}, {PAGE, "https://other.example"}])
def test_an_allowed_page(origins: set[str]):
    """May read the answer and what it needs of its head."""
    headers = dict(finished(frozenset(origins), Origin=PAGE))
    assert headers["Access-Control-Allow-Origin"] == PAGE
    exposed = {name.strip() for name in headers["Access-Control-Expose-Headers"].split(",")}
    assert {"Location", "Job-Id", "Job-Status", "Link", "Retry-After"} <= exposed
    assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize("origin", ["https://evil.example", "http://page.example", f"{PAGE}:444", "null"])
def test_a_stranger(origin: str):
    """Gets nothing; and caches are told that others may."""
    headers = dict(finished(frozenset({PAGE}), Origin=origin))
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["Vary"] == "Origin"


def test_a_route_without_cors():
    """Says nothing of it."""
    assert finished(frozenset(), Origin=PAGE) == ()
    assert cors.finished(made("GET", "/", {"Origin": PAGE}), ()) == ()


def test_no_page_at_all():
    """A caller without an origin needs no permission."""
    assert "Access-Control-Allow-Origin" not in dict(finished(frozenset({"*"})))


def test_what_is_there_stays():
    """`Vary` may have been said before."""
    fields = finished(frozenset({PAGE}), (("Vary", "Accept"),), Origin=PAGE)
    assert [value for name, value in fields if name == "Vary"] == ["Accept", "Origin"]


def test_a_preflight_of_an_allowed_page():
    """What the URL takes, and whatever fields the page asked for."""
    response = cors.preflight(asked(frozenset({PAGE}), **PREFLIGHT), frozenset({"POST", "GET"}))
    assert response.status == 204
    assert response.fields == (
        ("Allow", "GET, OPTIONS, POST"), ("Access-Control-Allow-Methods", "GET, OPTIONS, POST"),
        ("Access-Control-Allow-Headers", "authorization"), ("Access-Control-Max-Age", "600"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("origins", "headers"),
    [({"https://other.example"}, PREFLIGHT), (set(), PREFLIGHT), ({PAGE}, {"Origin": PAGE}), ({PAGE}, {})],
)
def test_a_plain_options(origins: set[str], headers: dict[str, str]):
    """Of a stranger, or no preflight: only what the URL takes."""
    response = cors.preflight(asked(frozenset(origins), **headers), frozenset({"POST"}))
    assert response.fields == (("Allow", "OPTIONS, POST"),)


def test_whose_origins():
    """A route's own, or, for a job not yet known, those of all routes."""
    one = Route(name="one", path="/1", trigger="/t/a/1", cors=frozenset({PAGE}))
    two = Route(name="two", path="/2", trigger="/t/a/2", cors=frozenset({"https://other.example"}))
    settings = WebSettings(routes=(one, two))
    assert cors.origins_of(settings, "two") == two.cors
    assert cors.origins_of(settings, "no longer there") == frozenset()
    assert cors.all_origins(settings) == {PAGE, "https://other.example"}
    assert cors.all_origins(WebSettings()) == frozenset()
