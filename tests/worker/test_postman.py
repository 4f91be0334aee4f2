"""Delivering outcomes to a real receiver, which checks the signature with the unmodified verifier."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
import time

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from gateway.auth.keyring import generate, parse
from gateway.caller.links import JobUrls
from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.delivery import Delivery
from gateway.core.job import Job, Outcome, State
from gateway.worker.callback_secrets import CallbackSecrets
from gateway.worker.guard import Guard
from gateway.worker.postman import Postman
from gateway.worker.settings import CallbackSettings
from gateway.worker.vault import Vault
from tests.caller.calls import policy
from tests.core.strategies import in_state
from tests.worker.doubles import OnePolicy

RING = parse(generate())
SECRET = RING.derive("callbacks", in_state(State.RUNNING).principal)
"""Whose deliveries name nobody are signed for the job's principal."""
LOOPBACK = CallbackSettings(allow=("127.0.0.0/8",), insecure=True, timeout=300)


class Receiver:
    """Verifies what it is sent, notes it, and answers as it is told."""

    def __init__(self) -> None:
        self.came: list[tuple[dict, bytes]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.answering = asyncio.Event()
        self.answering.set()
        self.paths: list[str] = []
        self.port = 0

    async def hook(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.came.append((dict(request.headers), body))
        self.paths.append(request.raw_path)
        await self.answering.wait()
        return web.Response(status=self.status, headers=self.headers, body=self.body)


@pytest.fixture
async def receiver(aiohttp_server):
    """A receiver on loopback."""
    it = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", it.hook)
    it.port = (await aiohttp_server(app)).port
    yield it
    it.answering.set()


@pytest.fixture
async def post(receiver):
    """Deliver `job` to the receiver once, under these settings; return the attempt and the hint."""
    postmen = []

    async def posted(
        job: Job, body: bytes = b"", *, settings=LOOPBACK, host="127.0.0.1", path="/hook", now=None, ring=RING,
        callback_secrets=(), subject=b"",
    ):  # fmt: skip
        policies = OnePolicy(policy(callback_secrets=callback_secrets))
        postman = Postman(
            settings,
            Guard(settings),
            policies,
            CallbackSecrets(settings, policies, ring),
            urls=lambda job: JobUrls("https://gate.example", job.id, "sig"),
        )
        postmen.append(postman)
        delivery = Delivery(
            "03delivery", job.id, f"http://{host}:{receiver.port}{path}", created=0, due=0, subject=subject
        )
        return await postman.deliver(delivery, job, body, now or round(time.time() * 1000))

    yield posted
    for postman in postmen:
        await postman.close()


def ended(outcome: Outcome) -> Job:
    """Return a job that ended with `outcome`."""
    running = in_state(State.RUNNING)
    return apply(running, e.Ended(outcome), running.created + 500)


JSON_OUTCOME = Outcome(200, (("Content-Type", "application/json"), ("X-Own", "1"), ("ETag", '"1"')), b'{"sum": 3}')


async def test_a_delivery(receiver, post):
    """The outcome's bytes under its own type, who sent it, how it ended; and the signature is good."""
    job = ended(JSON_OUTCOME)
    attempt, hint = await post(job, JSON_OUTCOME.body)
    assert (attempt.status, attempt.error, hint) == (200, None, 0)
    ((headers, body),) = receiver.came
    assert body == JSON_OUTCOME.body
    named = ("Content-Type", "Job-Id", "Job-Status", "Outcome-Status", "User-Agent")
    assert {name: headers[name] for name in named} == {
        "Content-Type": "application/json",
        "Job-Id": job.id,
        "Job-Status": "succeeded",
        "Outcome-Status": "200",
        "User-Agent": "callmode",
    }  # fmt: skip
    assert "X-Own" not in headers
    assert headers["webhook-id"] == "03delivery"
    assert Webhook(SECRET).verify(body, headers) == {"sum": 3}


async def test_a_configured_secret(receiver, post):
    """In the form that Standard Webhooks gives secrets."""
    secret = "whsec_" + base64.b64encode(b"another secret of 24 bts").decode()
    settings = CallbackSettings(allow=LOOPBACK.allow, insecure=True, secret=secret)
    await post(ended(JSON_OUTCOME), JSON_OUTCOME.body, settings=settings)
    ((headers, body),) = receiver.came
    assert Webhook(secret).verify(body, headers) == {"sum": 3}


def secret_of(number: int) -> str:
    """Return a secret as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(bytes([number]) * 24).decode()


NEW, OLD, OTHER = secret_of(1), secret_of(2), secret_of(3)


def verifies(secret: str | bytes, came: tuple[dict, bytes]) -> bool:
    """Whether the unmodified verifier takes a delivery under a secret."""
    headers, body = came
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


async def test_all_current_secrets_sign(receiver, post):
    """A receiver changes from the old one to the new one when it likes."""
    settings = CallbackSettings(allow=LOOPBACK.allow, insecure=True, secrets=(NEW, OLD))
    await post(ended(JSON_OUTCOME), JSON_OUTCOME.body, settings=settings)
    (came,) = receiver.came
    assert [verifies(secret, came) for secret in (NEW, OLD, OTHER)] == [True, True, False]
    assert [part[:3] for part in came[0]["webhook-signature"].split(" ")] == ["v1,", "v1,"]


async def test_a_route_signs_with_its_own(receiver, post):
    """And with none of the gateway's."""
    settings = CallbackSettings(allow=LOOPBACK.allow, insecure=True, secrets=(OTHER,))
    await post(ended(JSON_OUTCOME), JSON_OUTCOME.body, settings=settings, callback_secrets=(NEW, OLD))
    assert [verifies(secret, receiver.came[0]) for secret in (NEW, OLD, OTHER)] == [True, True, False]


async def test_each_caller_has_secrets_of_its_own(receiver, post):
    """One from each key of the ring, whoever the record's principal is hashed as."""
    old, new = generate(), generate()
    ring, former = parse(new + old), parse(old)
    job = ended(JSON_OUTCOME)
    for keys in (ring, former):  # sealed before the rotation, and after it
        delivery_of = {"subject": Vault(keys).seal_subject(job.id, "me")}
        await post(job, JSON_OUTCOME.body, ring=ring, **delivery_of)
    secrets = CallbackSecrets(LOOPBACK, OnePolicy(policy()), ring)
    assert len(secrets.of("me")) == 2
    assert secrets.of("me")[1:] == CallbackSecrets(LOOPBACK, OnePolicy(policy()), former).of("me")
    for came in receiver.came:
        assert all(verifies(secret, came) for secret in secrets.of("me"))
        assert not any(verifies(secret, came) for secret in secrets.of("you"))


async def test_whose_secret_signs_is_not_known(receiver, post):
    """The key that sealed it is gone: nothing goes out unsigned, and the reason is on record."""
    job = ended(JSON_OUTCOME)
    attempt, _ = await post(job, ring=parse(generate()), subject=Vault(parse(generate())).seal_subject(job.id, "me"))
    assert (attempt.status, receiver.came) == (None, [])
    assert attempt.error.startswith("CannotSign: no key of the keyring")


async def test_every_try_is_signed_anew(receiver, post):
    """Its own timestamp, under the same id."""
    now = round(time.time() * 1000)
    for later in (0, 60_000):
        await post(ended(JSON_OUTCOME), JSON_OUTCOME.body, now=now + later)
    first, second = (headers for headers, _ in receiver.came)
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 60
    assert first["webhook-signature"] != second["webhook-signature"]
    assert first["webhook-id"] == second["webhook-id"]
    assert all(verifies(SECRET, came) for came in receiver.came)


async def test_a_host_that_is_no_name(post):
    """An error like any other, and no defect: a label may have 63 characters."""
    settings = CallbackSettings(allow=("127.0.0.0/8",), insecure=True, timeout=2_000)
    attempt, _ = await post(ended(JSON_OUTCOME), settings=settings, host=f"{'a' * 70}.example")
    assert attempt.status is None
    assert attempt.error


@pytest.mark.parametrize("body", [b"", b"\x00\xff\x80", b"x" * 400_000], ids=["empty", "binary", "400 kB"])
async def test_bodies_are_exact(receiver, post, body: bytes):
    """Binary, empty or large, with no type where the upstream gave none."""
    await post(ended(Outcome(200, (), body)), body)
    ((headers, received),) = receiver.came
    assert received == body
    assert "Content-Type" not in headers
    signed = f"03delivery.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


async def test_compressed_outcomes_stay_so(receiver, post):
    """Their encoding comes along, and they are not compressed once more."""
    body = gzip.compress(b"hello" * 100)
    job = ended(Outcome(200, (("Content-Encoding", "gzip"), ("Content-Language", "de")), body))
    await post(job, body)
    ((headers, received),) = receiver.came
    assert (headers["Content-Encoding"], headers["Content-Language"]) == ("gzip", "de")
    assert headers["Content-Length"] == str(len(body))
    assert received == b"hello" * 100  # the receiver's server has unpacked it


async def test_a_dispatched_job_is_its_monitor(receiver, post):
    """202 and the job's JSON, as every other caller gets it."""
    job = in_state(State.DISPATCHED)
    await post(job)
    ((headers, body),) = receiver.came
    assert (headers["Outcome-Status"], headers["Job-Status"]) == ("202", "dispatched")
    view = json.loads(body)
    assert (view["id"], view["status"]) == (job.id, "dispatched")
    assert view["resultUrl"] == f"https://gate.example/-/jobs/{job.id}/result?sig=sig"


async def test_an_end_that_the_gateway_made_is_a_problem_document(receiver, post):
    """With its type, its status, and the monitor."""
    job = in_state(State.CANCELED)
    await post(job)
    ((headers, body),) = receiver.came
    assert (headers["Content-Type"], headers["Outcome-Status"]) == ("application/problem+json", "409")
    view = json.loads(body)
    assert view["type"].endswith(":job-canceled")
    assert view["monitor"] == f"https://gate.example/-/jobs/{job.id}?sig=sig"


async def test_an_answer_is_on_record(receiver, post):
    """Status and first bytes, however much the receiver has to say."""
    receiver.status, receiver.body = 500, b"stack trace \xff" + b"x" * 100_000
    attempt, _ = await post(ended(JSON_OUTCOME))
    assert attempt.status == 500
    assert attempt.answer.startswith("stack trace \ufffd")
    assert len(attempt.answer) <= 256


@pytest.mark.parametrize(
    ("retry_after", "hint"),
    [
        ("120", 120_000), ("0", 0), ("-5", 0), ("soon", 0), ("9" * 30, 0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0),
        ("Sat, 01 Jan 2000 00:10:00 GMT", 600_000),
        ("Sat, 01 Jan 2000 00:10:00 -0000", 0),
    ],
)  # fmt: skip
async def test_retry_after(receiver, post, retry_after: str, hint: int):
    """Seconds, or a date by the receiver's own clock; anything else says nothing."""
    date = "Sat, 01 Jan 2000 00:00:00 GMT"
    receiver.status, receiver.headers = 503, {"Retry-After": retry_after, "Date": date}
    attempt, said = await post(ended(JSON_OUTCOME))
    assert (attempt.status, said) == (503, hint)


async def test_redirects_are_not_followed(receiver, post):
    """They would lead past the guard."""
    receiver.status, receiver.headers = 307, {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"}
    attempt, _ = await post(ended(JSON_OUTCOME))
    assert (attempt.status, len(receiver.came)) == (307, 1)


async def test_cookies_are_not_kept(receiver, post):
    """One receiver's cookie is nothing to the next delivery."""
    receiver.headers = {"Set-Cookie": "a=b"}
    await post(ended(JSON_OUTCOME))
    await post(ended(JSON_OUTCOME))
    assert "Cookie" not in receiver.came[1][0]


async def test_a_receiver_that_stalls(receiver, post):
    """Costs the time-out, and is an attempt like any other."""
    receiver.answering.clear()
    attempt, _ = await post(ended(JSON_OUTCOME))
    assert attempt.status is None
    assert "Timeout" in attempt.error
    assert 250 <= attempt.took <= 2_000


async def test_nobody_there(post, unused_tcp_port):
    """A refused connection is an error by its kind; no address is told."""
    settings = CallbackSettings(allow=("127.0.0.0/8",), insecure=True)
    postman = Postman(
        settings,
        Guard(settings),
        OnePolicy(policy()),
        CallbackSecrets(settings, OnePolicy(policy()), RING),
        urls=lambda job: JobUrls("", job.id),
    )
    job = ended(JSON_OUTCOME)
    delivery = Delivery("03d", job.id, f"http://127.0.0.1:{unused_tcp_port}/", created=0, due=0)
    attempt, hint = await postman.deliver(delivery, job, b"", 0)
    await postman.close()
    assert (attempt.status, attempt.error, hint) == (None, "ClientConnectorError", 0)


async def test_the_guard_is_asked_again_at_every_attempt(receiver, post):
    """The configuration may have changed since the delivery was made; the reason is on record."""
    attempt, _ = await post(ended(JSON_OUTCOME), settings=CallbackSettings(allow=("hooks.example",), insecure=True))
    assert attempt.status is None
    assert attempt.error.startswith("Refused: callbacks.allow")
    assert receiver.came == []


async def test_an_allowed_name_that_leads_to_loopback(receiver, post):
    """Is refused at the connection, and says so."""
    settings = CallbackSettings(allow=("localhost",), insecure=True)
    attempt, _ = await post(ended(JSON_OUTCOME), settings=settings, host="localhost")
    assert attempt.error.startswith("Refused: callbacks.allow does not name the network")
    assert receiver.came == []


async def test_the_url_goes_out_as_it_was_given(receiver, post):
    """A signed query of the receiver's own survives."""
    await post(ended(JSON_OUTCOME), path="/a%2Fb?sig=%2b%2B+x&y")
    assert receiver.paths == ["/a%2Fb?sig=%2b%2B+x&y"]
