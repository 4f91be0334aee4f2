"""Look-ups over the HTTP cache: kept for a while, never for another, and without what was asked."""

import asyncio
import contextlib

import pytest
from aiohttp import web

from gateway.upstream import http_cache
from gateway.upstream.credentials import FixedBearer, PassedOn
from gateway.upstream.listing import Place, Trouble
from gateway.upstream.metadata import Metadata, TriggerIds, token_endpoint
from tests.support.listening import listening

TRIGGER = "0d3c5b2a-1f4e-4c6d-8a9b-102132435465"
OTHER = "1d3c5b2a-1f4e-4c6d-8a9b-102132435465"


class Origin:
    """Answers every path by `answer`, and keeps what it was asked."""

    def __init__(self):
        self.requests = []
        self.answer = lambda _: web.json_response({})

    async def serve(self, request):
        """Answer."""
        self.requests.append(request)
        return self.answer(request)


@pytest.fixture
async def origin():
    """An origin, its URL, and metadata to read it with."""
    served = Origin()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.serve)
    async with listening(app) as url, contextlib.AsyncExitStack() as stack:
        metadata = Metadata()
        stack.push_async_callback(metadata.close)
        yield served, url, metadata


def triggers(*slugs):
    """Return a list of triggers."""
    return web.json_response({"value": [{"Id": key, "Slug": slug} for key, slug in slugs]})


def cached(metadata):
    """Return what the cache holds."""
    return list(metadata._session.cache.responses.data.values())


async def test_a_trigger_is_looked_up_once(origin):
    """By its path in its folder, with a filter; a thousand reconciliations cost one call."""
    served, url, metadata = origin
    served.answer = lambda _: triggers((TRIGGER, "or'ders"))
    ids = TriggerIds(metadata, PassedOn(), url)
    found = await asyncio.gather(*(ids.find(Place("Shared", "t"), "or'ders") for _ in range(20)))
    assert (set(found), len(served.requests)) == ({TRIGGER}, 1)
    (asked,) = served.requests
    assert (asked.method, asked.path) == ("GET", "/odata/HttpTriggers")
    assert asked.query["$filter"] == "Slug eq 'or''ders'"
    assert asked.headers["X-UIPATH-FolderPath"] == "Shared"
    assert asked.headers["Authorization"] == "Bearer t"


async def test_nobody_is_answered_with_what_another_saw(origin):
    """Another token, and another folder, ask for themselves."""
    served, url, metadata = origin
    served.answer = lambda request: triggers(
        (TRIGGER if request.headers["Authorization"] == "Bearer a" else OTHER, "s")
    )
    ids = TriggerIds(metadata, PassedOn(), url)
    assert await ids.find(Place("f", "a"), "s") == TRIGGER
    assert await ids.find(Place("f", "b"), "s") == OTHER
    assert await ids.find(Place("g", "a"), "s") == TRIGGER
    assert len(served.requests) == 3


async def test_no_bearer_lies_about(origin):
    """What is kept has the answer and not the request, and lives in this process."""
    served, url, metadata = origin
    served.answer = lambda _: triggers((TRIGGER, "s"))
    await TriggerIds(metadata, FixedBearer("canary-9f2c"), url).find(Place("f", None), "s")
    (entry,) = cached(metadata)
    assert served.requests[0].headers["Authorization"] == "Bearer canary-9f2c"
    kept = [getattr(entry, name, None) for name in type(entry).__slots__ if name != "__weakref__"]
    assert "canary" not in repr(kept)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda _: triggers(), "no triggers of this path"),
        (lambda _: triggers((TRIGGER, "s"), (OTHER, "S")), "2 triggers of this path"),
        (lambda _: triggers(("7", "s")), "no triggers of this path"),
        (lambda _: triggers((TRIGGER, "other")), "no triggers of this path"),
        (lambda _: web.json_response([]), "cannot be read"),
        (lambda _: web.Response(status=403), "it answered 403"),
        (lambda _: web.Response(status=302, headers={"Location": "/elsewhere"}), "it answered 302"),
    ],
)
async def test_what_does_not_tell_a_trigger(origin, answer, said):
    """The message says which key would help, where one would."""
    served, url, metadata = origin
    served.answer = answer
    found = await TriggerIds(metadata, PassedOn(), url).find(Place("f", "t"), "s")
    assert isinstance(found, Trouble)
    assert said in found.why
    assert len(served.requests) == 1


async def test_what_says_nothing_is_not_kept(origin):
    """A trigger that is made the next minute is found the next minute; so is one after an error."""
    served, url, metadata = origin
    ids = TriggerIds(metadata, PassedOn(), url)
    for answer in (lambda _: triggers(), lambda _: web.Response(status=500)):
        served.answer = answer
        assert isinstance(await ids.find(Place("f", "t"), "s"), Trouble)
    assert cached(metadata) == []
    served.answer = lambda _: triggers((TRIGGER, "s"))
    assert await ids.find(Place("f", "t"), "s") == TRIGGER


async def test_an_entry_ends(origin, monkeypatch):
    """What is kept is asked for again after its time."""
    served, url, metadata = origin
    monkeypatch.setattr(http_cache, "KEPT", 0.1)
    assert isinstance(await metadata.get(f"{url}/a"), bytes)
    await metadata.get(f"{url}/a")
    assert len(served.requests) == 1
    await asyncio.sleep(0.15)
    await metadata.get(f"{url}/a")
    assert len(served.requests) == 2


async def test_the_number_of_entries_is_bounded(origin, monkeypatch):
    """The oldest goes first."""
    served, url, metadata = origin
    monkeypatch.setattr(http_cache, "ENTRIES", 3)
    for n in range(5):
        await metadata.get(f"{url}/{n}")
    assert len(cached(metadata)) == 3
    await metadata.get(f"{url}/4")
    await metadata.get(f"{url}/0")
    assert [request.path for request in served.requests] == ["/0", "/1", "/2", "/3", "/4", "/0"]


async def test_cookies_are_not_kept(origin):
    """Neither sent back nor restored from the cache."""
    served, url, metadata = origin

    def with_cookie(_):
        response = web.json_response({"value": [1]})
        response.set_cookie("c", "v")
        return response

    served.answer = with_cookie
    for path in ("a", "a", "b"):
        await metadata.get(f"{url}/{path}")
    assert all("Cookie" not in request.headers for request in served.requests)


async def test_nobody_there(origin):
    """A refused connection is said in words."""
    _, _, metadata = origin
    found = await metadata.get("http://127.0.0.1:1/x")
    assert isinstance(found, Trouble)
    assert "not reached" in found.why


async def test_the_token_endpoint_is_discovered(origin):
    """From the authority's document, which is asked for without any credential."""
    served, url, metadata = origin
    served.answer = lambda _: web.json_response({"issuer": url, "token_endpoint": f"{url}/connect/token"})
    assert [await token_endpoint(metadata, url) for _ in range(2)] == [f"{url}/connect/token"] * 2
    (asked,) = served.requests
    assert asked.path == "/.well-known/openid-configuration"
    assert "Authorization" not in asked.headers


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"token_endpoint": "https://thief.example/token"}, "of another host"),
        ({"issuer": "x"}, "names no token_endpoint"),
    ],
)
async def test_a_secret_is_sent_only_where_the_authority_is(origin, document, said):
    """The document decides where the client's secret goes."""
    served, url, metadata = origin
    served.answer = lambda _: web.json_response(document)
    found = await token_endpoint(metadata, url)
    assert isinstance(found, Trouble)
    assert said in found.why
