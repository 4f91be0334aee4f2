from __future__ import annotations

import asyncio
import base64
import datetime as dt

import aiohttp
import pytest
from standardwebhooks import Webhook

from gateway.demo.receiver import Receiver, forged

SECRET = b"a secret of thirty-two bytes ..."
NOW = 1_700_000_000
BODY = '{"amount": 1.10, "name": "Zażółć"}'


def signed(body: str = BODY, secret: bytes = SECRET, at: int = NOW) -> dict[str, str]:
    """Return the fields of a delivery as the standard's own library signs it."""
    signature = Webhook(base64.b64encode(secret).decode()).sign("msg_1", dt.datetime.fromtimestamp(at, dt.UTC), body)
    return {"Webhook-Id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signature}


def test_a_good_signature_is_good():
    """What the standard's library signs is taken, one good signature of several too."""
    headers = signed()
    assert forged(headers, BODY.encode(), secret=SECRET, now=NOW + 5) is None
    headers["webhook-signature"] = f"v1,bm9wZQ== {headers['webhook-signature']}"
    assert forged(headers, BODY.encode(), secret=SECRET, now=NOW + 5) is None


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        (signed(secret=b"another"), BODY, "does not match"),
        (signed(), BODY.replace("1.10", "1.1"), "does not match"),
        (signed() | {"Webhook-Id": "msg_2"}, BODY, "does not match"),
        (signed(at=NOW - 400), BODY, "400 seconds off"),
        ({}, BODY, "lacks the fields"),
        (signed() | {"webhook-timestamp": "soon"}, BODY, "lacks the fields"),
    ],
)
def test_a_bad_one_is_named(headers, body, reason):
    """Another secret, another body, another id, another time, or no signature at all."""
    assert reason in (forged(headers, body.encode(), secret=SECRET, now=NOW) or "")


async def test_deliveries_go_to_whom_they_are_for():
    """The first to an awaited name is handed over, any other shown."""
    others = []
    async with Receiver(SECRET, lambda: NOW).serving() as receiver, aiohttp.ClientSession() as http:
        receiver.on_other = others.append
        awaited = receiver.expected("mine")
        headers = signed() | {"Job-Id": "j", "Outcome-Status": "201"}
        for name in ("mine", "mine", "other"):
            async with http.post(receiver.url(name), data=BODY.encode(), headers=headers) as answer:
                assert answer.status == 204
        async with asyncio.timeout(1):
            delivery = await awaited
        assert (delivery.job_id, delivery.outcome.status, delivery.outcome.body) == ("j", 201, BODY.encode())
        assert delivery.forged is None
        assert len(others) == 2
