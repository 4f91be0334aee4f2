"""OAuth client credentials: one fetch for all, renewed ahead of expiry, replaced once when refused."""

import asyncio
from urllib.parse import parse_qs

import pytest

from gateway.core.exchange import Answer, Failure, Reason, Request
from gateway.upstream.credentials import Authorized
from gateway.upstream.listing import Trouble
from gateway.upstream.oauth import ClientCredentials, usual_token_url
from gateway.upstream.settings import OAuthSettings
from gateway.worker.tasks import Tasks
from tests.upstream.support import ScriptedClient, answered

pytestmark = pytest.mark.looptime

ENDPOINT = "https://id.example/connect/token"
SETTINGS = OAuthSettings("me", "s&cret", scope="OR.Jobs OR.Folders", tenant="Default")
CALL = Request("POST", "https://h/odata/Jobs", (("Accept", "*/*"),), b"{}")


class Issuer:
    """A token endpoint: issues `t1`, `t2`, … of a lifetime, takes a while, and fails as it is told."""

    def __init__(self, *, lifetime=3600, takes=0.0):
        self.issued = 0
        self.lifetime = lifetime
        self.takes = takes
        self.failing: list[object] = []

    async def __call__(self, request):
        """Answer a token request."""
        await asyncio.sleep(self.takes)
        if self.failing:
            return self.failing.pop(0)
        self.issued += 1
        token = {"access_token": f"t{self.issued}", "expires_in": self.lifetime, "token_type": "Bearer"}
        return answered(200, token)


@pytest.fixture
async def tasks():
    """Background tasks, none of which failed."""
    failed = []
    tasks = Tasks(failed.append)
    yield tasks
    await tasks.close()
    assert not failed


@pytest.fixture
def credential(tasks):
    """Return a credential over an issuer, and the client that it is asked through."""

    def make(issuer, endpoint=ENDPOINT):
        async def known():
            return endpoint

        client = ScriptedClient(issuer)
        return ClientCredentials(client, SETTINGS, known, tasks.spawn), client

    return make


async def test_two_hundred_waiters_cost_one_token(credential):
    """Whoever comes while a token is fetched waits for that one."""
    own, client = credential(Issuer(takes=1.0))
    tokens = await asyncio.gather(*(own.bearer(None, timeout=30.0) for _ in range(200)))
    assert (set(tokens), len(client.requests)) == ({"t1"}, 1)


async def test_a_waiter_that_gives_up_takes_the_token_from_nobody(credential):
    """The fetch is everybody's."""
    own, client = credential(Issuer(takes=1.0))
    first = asyncio.ensure_future(own.bearer(None, timeout=30.0))
    await asyncio.sleep(0.5)
    first.cancel()
    assert await own.bearer(None, timeout=30.0) == "t1"
    assert len(client.requests) == 1


async def test_what_is_asked(credential):
    """RFC 6749, 4.4.2: a form; the tenant's name in the field that a standalone server reads."""
    own, client = credential(Issuer())
    await own.bearer("a caller's own", timeout=30.0)
    (asked,) = client.requests
    assert (asked.method, asked.url) == ("POST", ENDPOINT)
    assert dict(asked.headers)["Content-Type"] == "application/x-www-form-urlencoded"
    assert dict(asked.headers)["X-UIPATH-TenantName"] == "Default"
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["me"],
        "client_secret": ["s&cret"],
        "scope": ["OR.Jobs OR.Folders"],
    }


async def test_a_token_is_renewed_before_it_expires_and_nobody_waits(credential):
    """At some time between 70 and 85 % of its life, by whoever calls then, in the background."""
    issuer = Issuer(lifetime=1000, takes=5.0)
    own, client = credential(issuer)
    await own.bearer(None, timeout=30.0)
    loop = asyncio.get_running_loop()
    for _ in range(300):
        await asyncio.sleep(10)
        before = loop.time()
        assert isinstance(await own.bearer(None, timeout=30.0), str)
        assert loop.time() == before
    assert 3 <= len(client.requests) <= 5


async def test_an_expired_token_is_never_sent(credential):
    """After a pause as long as its life, its next user waits for another."""
    own, _ = credential(Issuer(lifetime=100))
    assert await own.bearer(None, timeout=30.0) == "t1"
    await asyncio.sleep(100)
    assert await own.bearer(None, timeout=30.0) == "t2"


async def test_a_renewal_that_fails_costs_nothing_while_the_token_lives(credential):
    """The old one serves on; the next try is not before a pause."""
    issuer = Issuer(lifetime=1000)
    own, client = credential(issuer)
    await own.bearer(None, timeout=30.0)
    issuer.failing = [Answer(503, (), b"")]
    await asyncio.sleep(900)
    assert [await own.bearer(None, timeout=30.0) for _ in range(3)] == ["t1"] * 3
    await asyncio.sleep(1)
    assert await own.bearer(None, timeout=30.0) == "t1"
    await asyncio.sleep(0.1)
    assert len(client.requests) == 3
    assert await own.bearer(None, timeout=30.0) == "t2"


@pytest.mark.parametrize(
    ("answer", "reason", "said"),
    [
        (answered(400, {"error": "invalid_client"}), Reason.CREDENTIAL, "400 (invalid_client)"),
        (answered(401, {"error": "s&cret"}), Reason.CREDENTIAL, "the token endpoint answered 401"),
        (answered(400, "s&cret"), Reason.CREDENTIAL, "the token endpoint answered 400"),
        (Answer(503, (), b"<html>"), Reason.CONNECT, "the token endpoint answered 503"),
        (answered(200, {"expires_in": 1}), Reason.CONNECT, "has no access_token"),
        (answered(200, {"access_token": "a\nb"}), Reason.CONNECT, "no token that a header can hold"),
        (Failure(Reason.TRUNCATED, sent=True), Reason.CONNECT, "gave no answer: truncated"),
    ],
)
async def test_a_failure_says_what_and_repeats_no_secret(credential, answer, reason, said):
    """Denied is the gateway's credential; all else is a road that may be free again soon. Nothing was sent."""
    issuer = Issuer()
    issuer.failing = [answer]
    own, _ = credential(issuer)
    failure = await own.bearer(None, timeout=30.0)
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.sent) == (reason, False)
    assert said in failure.detail
    assert "s&cret" not in failure.detail


async def test_failures_are_paused_after(credential):
    """Calls meanwhile get the same failure at once; the endpoint's Retry-After is heeded."""
    issuer = Issuer()
    issuer.failing = [answered(503, None, ("Retry-After", "20"))]
    own, client = credential(issuer)
    failures = [await own.bearer(None, timeout=30.0) for _ in range(100)]
    assert all(isinstance(failure, Failure) for failure in failures)
    await asyncio.sleep(19)
    assert isinstance(await own.bearer(None, timeout=30.0), Failure)
    assert len(client.requests) == 1
    await asyncio.sleep(1.1)
    assert await own.bearer(None, timeout=30.0) == "t1"


async def test_an_endpoint_that_cannot_be_found_is_a_failure(credential):
    """The discovery said why."""
    own, client = credential(Issuer(), Trouble("the authority was away"))
    failure = await own.bearer(None, timeout=30.0)
    assert "the authority was away" in failure.detail
    assert client.requests == []


async def test_a_lifetime_that_is_not_said_is_short(credential):
    """RFC 6749, 5.1: `expires_in` is only recommended. Some servers send it as text."""
    issuer = Issuer(lifetime=None)
    own, client = credential(issuer)
    await own.bearer(None, timeout=30.0)
    await asyncio.sleep(299)
    assert await own.bearer(None, timeout=30.0) == "t2"
    issuer.lifetime = "7200"
    await asyncio.sleep(300)
    assert await own.bearer(None, timeout=30.0) == "t3"
    await asyncio.sleep(3600)
    assert await own.bearer(None, timeout=30.0) == "t3"
    assert len(client.requests) == 3


class Orchestrator:
    """Answers calls by the token that they bring."""

    def __init__(self, issuer, *good):
        self.issuer = issuer
        self.good = set(good)
        self.tokens: list[str] = []

    async def __call__(self, request):
        """Answer a call, or a token request."""
        if request.url == ENDPOINT:
            return await self.issuer(request)
        token = dict(request.headers)["Authorization"].removeprefix("Bearer ")
        self.tokens.append(token)
        return answered(200 if token in self.good else 401)


async def test_a_refused_token_is_replaced_and_the_call_sent_once_more(credential):
    """401 comes before anything runs, so a start may be sent again with a token that is good."""
    upstream = Orchestrator(Issuer(), "t2")
    own, client = credential(upstream)
    exchanged = await Authorized(client, own).exchange(CALL, None, timeout=5.0)
    assert (exchanged.status, upstream.tokens) == (200, ["t1", "t2"])


async def test_many_refused_at_once_cost_one_token(credential):
    """Each call is sent twice at most, and all wait for the same replacement."""
    upstream = Orchestrator(Issuer(takes=1.0), "t2")
    own, client = credential(upstream)
    calls = Authorized(client, own)
    await own.bearer(None, timeout=30.0)
    exchanged = await asyncio.gather(*(calls.exchange(CALL, None, timeout=5.0) for _ in range(50)))
    assert {each.status for each in exchanged} == {200}
    assert (upstream.issuer.issued, upstream.tokens.count("t2")) == (2, 50)


async def test_a_replacement_that_is_refused_too_is_not_replaced(credential):
    """Then it is not the token that is wrong: the 401 is the answer, for a while without another fetch."""
    upstream = Orchestrator(Issuer())
    own, client = credential(upstream)
    calls = Authorized(client, own)
    for _ in range(10):
        assert (await calls.exchange(CALL, None, timeout=5.0)).status == 401
    assert (upstream.issuer.issued, len(upstream.tokens)) == (2, 11)
    await asyncio.sleep(30)
    upstream.good = {"t3"}
    assert (await calls.exchange(CALL, None, timeout=5.0)).status == 200


async def test_a_call_that_gets_no_token_was_not_sent(credential):
    """In time or not: the failure is exact."""
    issuer = Issuer(takes=10.0)
    own, client = credential(issuer)
    late = await Authorized(client, own).exchange(CALL, None, timeout=2.0)
    assert (late.reason, late.sent) == (Reason.TIMEOUT, False)
    await asyncio.sleep(10)
    issuer.failing = [answered(400, {"error": "invalid_scope"})]
    own.refused("t1")
    denied = await Authorized(client, own).exchange(CALL, None, timeout=20.0)
    assert (denied.reason, denied.sent) == (Reason.CREDENTIAL, False)
    assert [request.url for request in client.requests] == [ENDPOINT, ENDPOINT]


@pytest.mark.parametrize(
    ("upstream", "endpoint"),
    [
        ("https://cloud.uipath.com/acme/prod/orchestrator_", "https://cloud.uipath.com/acme/identity_/connect/token"),
        ("https://suite.example:8443/o/t/orchestrator_", "https://suite.example:8443/o/identity_/connect/token"),
        ("https://orchestrator.example", "https://orchestrator.example/identity/connect/token"),
    ],
)
async def test_where_tokens_are_by_default(upstream, endpoint):
    """In the cloud and a suite the organisation's; on a standalone server the host's."""
    assert usual_token_url(upstream) == endpoint
