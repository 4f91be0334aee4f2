"""The credentials that a request can carry."""

import asyncio

import pytest

from gateway.core.exchange import Reason, Request
from gateway.upstream.credentials import Authorized, FixedBearer, PassedOn
from tests.upstream.support import ScriptedClient, answered

CALL = Request("GET", "https://h/x")


@pytest.mark.parametrize(
    ("credential", "sent", "own"),
    [(PassedOn(), "Bearer theirs", False), (FixedBearer("ours"), "Bearer ours", True)],
)
async def test_whose_token_goes_upstream(credential, sent, own):
    """The caller's where the gateway has none, else the gateway's own; refused or not, it is sent once."""
    client = ScriptedClient(lambda _: answered(401))
    calls = Authorized(client, credential)
    assert (await calls.exchange(CALL, "theirs", timeout=1.0)).status == 401
    assert [dict(request.headers)["Authorization"] for request in client.requests] == [sent]
    assert calls.own is own


async def test_nobodys_token():
    """A call without a credential goes without one."""
    client = ScriptedClient(lambda _: answered(200))
    await Authorized(client, PassedOn()).exchange(CALL, None, timeout=1.0)
    assert client.requests == [CALL]


class Slow:
    """A credential that takes its time, whatever it was given."""

    own = True

    async def bearer(self, callers, *, timeout):
        """Return a token late."""
        await asyncio.sleep(2 * timeout)
        return "late"

    def refused(self, token):
        """Return False."""
        return False


@pytest.mark.looptime
async def test_nothing_is_sent_without_time_for_it():
    """A start that is cut off at once would be in doubt for nothing."""
    client = ScriptedClient(lambda _: answered(200))
    failure = await Authorized(client, Slow()).exchange(CALL, None, timeout=1.0)
    assert (failure.reason, failure.sent, client.requests) == (Reason.TIMEOUT, False, [])


class Renewable:
    """A credential that always has another token."""

    own = True

    async def bearer(self, callers, *, timeout):
        """Return the same one."""
        return "token"

    def refused(self, token):
        """Return True."""
        return True


@pytest.mark.parametrize(("status", "sent"), [(200, 1), (401, 2), (403, 1), (407, 1), (429, 1), (500, 1), (503, 1)])
async def test_only_a_401_is_repeated(status, sent):
    """And once: of any other answer it is not certain that nothing ran."""
    client = ScriptedClient(lambda _: answered(status))
    assert (await Authorized(client, Renewable()).exchange(CALL, None, timeout=1.0)).status == status
    assert len(client.requests) == sent
