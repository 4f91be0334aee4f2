"""Callbacks as their owner has them: read with every attempt, one more, one again, and the secret that signs them."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from standardwebhooks.webhooks import Webhook

from gateway.auth.keyring import generate
from gateway.core.policy import Deduplicate, SameCall
from gateway.worker.settings import CallbackSettings
from tests.e2e.support import calling, check_problem, eventually, receiving
from tests.support.rig import policy, rig, with_store

ALLOWED = CallbackSettings(allow=("127.0.0.0/8",), insecure=True)
BODY = json.dumps({"duration": 0.1})


def jwt(subject: str, serial: int = 1) -> str:
    """Return a token that names `subject`, in one of the forms that a refresh gives it."""
    claims = json.dumps({"iss": "https://id.example", "sub": subject, "serial": serial}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2ln"


async def called_back(caller, url: str, **fields: str) -> str:
    """Start a job with a callback; return its id."""
    started = await caller(data=BODY, headers={"Call-Mode": "callback", "Callback-Url": url, **fields})
    assert started.status == 202
    return started.headers["Job-Id"]


async def callbacks(caller, job: str, status: str | None = None) -> list[dict]:
    """Return a job's callbacks; with `status`, once all have it."""

    async def look():
        shown = await caller("GET", f"/-/jobs/{job}/callbacks")
        assert shown.status == 200
        found = shown.json["callbacks"]
        return (found,) if status is None or (found and all(each["status"] == status for each in found)) else None

    (found,) = await eventually(look)
    return found


async def test_every_attempt_can_be_read(redis_url):
    """When it was, how long it took, what came back and its first bytes; the state, and what is due next."""
    async with (
        rig(shared=with_store(redis_url), callbacks=ALLOWED) as running,
        calling(running.url) as caller,
        receiving() as receiver,
    ):
        job = await called_back(caller, receiver.url)
        (delivery,) = await callbacks(caller, job, "delivered")
        assert (delivery["job"], delivery["url"], delivery["due"], delivery["made"]) == (job, receiver.url, None, 1)
        (attempt,) = delivery["attempts"]
        assert (attempt["status"], attempt["error"], attempt["answer"]) == (204, None, "")
        assert attempt["took"] >= 0
        assert attempt["at"].endswith("Z")
        assert receiver.deliveries[0].headers["webhook-id"] == delivery["id"]


async def test_a_link_is_not_enough_to_read_them(redis_url):
    """What receivers answer is the owner's; to a stranger the job does not exist at all."""
    async with (
        rig(shared=with_store(redis_url), callbacks=ALLOWED) as running,
        calling(running.url) as caller,
        calling(running.url, token=None) as nobody,
        calling(running.url, token="another") as other,
        receiving() as receiver,
    ):
        started = await caller(data=BODY, headers={"Call-Mode": "callback", "Callback-Url": receiver.url})
        job, signed = started.headers["Job-Id"], started.headers["Operation-Location"].partition("?")[2]
        path = f"/-/jobs/{job}/callbacks"
        for method in ("GET", "POST"):
            check_problem(await nobody(method, f"{path}?{signed}"), 403, "read-only-link")
            check_problem(await other(method, f"{path}?{signed}"), 403, "read-only-link")
            check_problem(await other(method, path), 404, "not-found")
            check_problem(await nobody(method, path), 401, "credential-missing")
        (delivery,) = await callbacks(caller, job, "delivered")
        again = f"/-/callbacks/{delivery['id']}/redeliver"
        check_problem(await other("POST", again), 404, "not-found")
        check_problem(await nobody("POST", again), 401, "credential-missing")
        check_problem(await caller("GET", again), 405, "method-not-allowed")
        check_problem(await caller("POST", f"/-/callbacks/{job}/redeliver"), 404, "not-found")
        assert len(receiver.deliveries) == 1


async def test_each_caller_of_one_job_has_its_own(redis_url):
    """Two callers whose calls are one job: each URL is called, signed for its caller, and listed to it alone."""
    same = policy(deduplicate=Deduplicate(60_000, by=frozenset({SameCall.ARGUMENTS})))
    async with (
        rig(shared=with_store(redis_url), callbacks=ALLOWED, policy=same) as running,
        calling(running.url, token=jwt("first")) as first,
        calling(running.url, token=jwt("second")) as second,
        receiving() as one,
        receiving() as two,
    ):
        # Their tokens are to be ones that the upstream knows.
        for name, caller in (("first", first), ("second", second)):
            assert (await caller(data=json.dumps({"duration": 0.1, "by": name}))).status == 200
            await eventually(lambda caller=caller: secret_of(caller))
        for caller, receiver in ((first, one), (second, two)):
            started = await caller(
                data=json.dumps({"duration": 0.5}), headers={"Call-Mode": "callback", "Callback-Url": receiver.url}
            )
            path = started.headers["Operation-Location"].replace("?", "/callbacks?")

            async def delivered(caller=caller, path=path):
                (delivery,) = (await caller("GET", path)).json["callbacks"]
                return delivery if delivery["status"] == "delivered" else None

            delivery = await eventually(delivered)
            secret = (await caller("GET", "/-/callbacks/secret")).json["secret"]
            assert delivery["url"] == receiver.url
            (came,) = receiver.deliveries
            assert Webhook(secret).verify(came.body, came.headers) is not None
            again = await caller("POST", f"/-/callbacks/{delivery['id']}/redeliver")
            assert again.status == 202
        assert one.deliveries[0].headers["Job-Id"] == two.deliveries[0].headers["Job-Id"]
        check_problem(await first("POST", f"/-/callbacks/{delivery['id']}/redeliver"), 404, "not-found")


async def test_one_more_for_a_running_job(redis_url):
    """It waits for the end, and then gets what the first one gets; asked for twice, it is one."""
    async with (
        rig(shared=with_store(redis_url), callbacks=ALLOWED) as running,
        calling(running.url) as caller,
        receiving() as first,
        receiving() as second,
    ):
        started = await caller(
            data=json.dumps({"duration": 1.0}), headers={"Call-Mode": "callback", "Callback-Url": first.url}
        )
        job = started.headers["Job-Id"]
        added = await caller("POST", f"/-/jobs/{job}/callbacks", json={"url": second.url})
        assert (added.status, added.json["status"], added.json["due"]) == (201, "waiting", None)
        for url, known in ((second.url, added.json["id"]), (first.url, None)):
            repeated = await caller("POST", f"/-/jobs/{job}/callbacks", json={"url": url})
            assert repeated.status == 200
            assert known in {None, repeated.json["id"]}
        waiting = await callbacks(caller, job, "waiting")
        assert {each["url"] for each in waiting} == {first.url, second.url}
        assert first.deliveries == second.deliveries == []
        delivered = await callbacks(caller, job, "delivered")
        assert {each["id"] for each in delivered} == {each["id"] for each in waiting}
        assert (
            first.deliveries[0].body == second.deliveries[0].body == (await caller("GET", f"/-/jobs/{job}/result")).body
        )
        assert (len(first.deliveries), len(second.deliveries)) == (1, 1)


async def test_one_more_for_an_ended_job(redis_url):
    """It is due at once, and the outcome is kept for it."""
    settings = with_store(redis_url)
    async with (
        rig(shared=settings, callbacks=ALLOWED, policy=policy(retention=60_000, tombstone=60_000)) as running,
        calling(running.url) as caller,
        receiving() as receiver,
    ):
        ended = await caller(data=BODY)
        job = ended.headers["Job-Id"]
        added = await caller("POST", f"/-/jobs/{job}/callbacks", json={"url": receiver.url})
        assert (added.status, added.json["status"]) == (201, "pending")
        await callbacks(caller, job, "delivered")
        assert receiver.deliveries[0].body == ended.body
        assert (await caller("POST", f"/-/jobs/{job}/callbacks", json={"url": receiver.url})).status == 200
        await asyncio.sleep(0.1)
        assert len(receiver.deliveries) == 1


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", '{"url": 1}', '{"url": "https://11.1.2.3/"}', '{"url": "ftp://127.0.0.1/"}', "\ud800"],
)
async def test_a_callback_that_cannot_be(redis_url, body):
    """What is not a wish, or leads where nothing may go: nothing is added."""
    async with rig(shared=with_store(redis_url), callbacks=ALLOWED) as running, calling(running.url) as caller:
        job = (await caller(data=BODY)).headers["Job-Id"]
        refused = await caller("POST", f"/-/jobs/{job}/callbacks", data=body.encode("utf-8", "surrogatepass"))
        check_problem(refused, 400, "bad-callback-url")
        assert await callbacks(caller, job) == []


async def test_a_job_has_so_many_callbacks_and_no_more(redis_url):
    """Sixteen; those that are there can still be asked for again."""
    async with rig(shared=with_store(redis_url), callbacks=ALLOWED) as running, calling(running.url) as caller:
        started = await caller(data=json.dumps({"duration": 30}), headers={"Call-Mode": "async"})
        path = f"/-/jobs/{started.headers['Job-Id']}/callbacks"
        urls = [f"http://127.0.0.1:9/{number}" for number in range(17)]
        answers = [await caller("POST", path, json={"url": url}) for url in urls]
        assert [answer.status for answer in answers] == [201] * 16 + [400]
        check_problem(answers[-1], 400, "bad-callback-url")
        assert (await caller("POST", path, json={"url": urls[3]})).status == 200


async def test_one_again(redis_url):
    """Whatever has become of it: at once, under the same id, with what was tried before on record."""
    async with (
        rig(shared=with_store(redis_url), callbacks=ALLOWED) as running,
        calling(running.url) as caller,
        receiving() as receiver,
    ):
        receiver.status = 410
        job = await called_back(caller, receiver.url)
        (delivery,) = await callbacks(caller, job, "disabled")
        other = await called_back(caller, receiver.url)
        (unsent,) = await callbacks(caller, other, "disabled")
        assert (unsent["attempts"][0]["status"], len(receiver.deliveries)) == (None, 1)
        receiver.status = 200
        for count in (2, 3):
            again = await caller("POST", f"/-/callbacks/{delivery['id']}/redeliver")
            assert (again.status, again.json["status"], len(again.json["attempts"])) == (202, "pending", count - 1)
            (delivery,) = await callbacks(caller, job, "delivered")
            assert len(receiver.deliveries) == count
        assert [attempt["status"] for attempt in delivery["attempts"]] == [410, 200, 200]
        assert {each.headers["webhook-id"] for each in receiver.deliveries} == {delivery["id"]}


async def test_one_again_before_it_is_due(redis_url):
    """Nobody waits five seconds for a receiver that has just been mended; the attempt that was due is not made too."""
    async with (
        rig(shared=with_store(redis_url), callbacks=ALLOWED) as running,
        calling(running.url) as caller,
        receiving() as receiver,
    ):
        receiver.status = 500
        job = await called_back(caller, receiver.url)
        await eventually(lambda: attempts_of(caller, job))
        (delivery,) = await callbacks(caller, job)
        assert (delivery["status"], delivery["due"] > delivery["created"]) == ("pending", True)
        receiver.status = 200
        assert (await caller("POST", f"/-/callbacks/{delivery['id']}/redeliver")).status == 202
        await callbacks(caller, job, "delivered")
        assert len(receiver.deliveries) == 2


async def attempts_of(caller, job: str) -> int:
    """Return how many attempts a job's one callback had."""
    (delivery,) = await callbacks(caller, job)
    return delivery["made"]


async def test_none_again_without_an_end_or_an_outcome(redis_url):
    """A waiting one comes by itself; what was erased cannot be sent."""
    async with (
        rig(shared=with_store(redis_url), callbacks=ALLOWED) as running,
        calling(running.url) as caller,
        receiving() as receiver,
    ):
        started = await caller(data=json.dumps({"duration": 30}), headers={"Call-Mode": "async"})
        added = await caller("POST", f"/-/jobs/{started.headers['Job-Id']}/callbacks", json={"url": receiver.url})
        again = await caller("POST", f"/-/callbacks/{added.json['id']}/redeliver")
        check_problem(again, 409, "result-not-ready")
        job = await called_back(caller, receiver.url)
        (delivery,) = await callbacks(caller, job, "delivered")
        assert (await caller("DELETE", f"/-/jobs/{job}")).status == 204
        check_problem(await caller("POST", f"/-/callbacks/{delivery['id']}/redeliver"), 410, "job-expired")
        assert len(receiver.deliveries) == 1


async def test_a_callers_own_secret(redis_url):
    """It is read with the token, verifies what comes, and is no other caller's."""
    async with (
        rig(shared=with_store(redis_url), callbacks=ALLOWED) as running,
        calling(running.url) as caller,
        calling(running.url, token="another") as other,
        calling(running.url, token=None) as nobody,
        receiving() as receiver,
    ):
        shown = await caller("GET", "/-/callbacks/secret")
        assert shown.status == 200
        assert shown.headers["Cache-Control"] == "no-store"
        assert shown.json["secrets"] == [shown.json["secret"]]
        await callbacks(caller, await called_back(caller, receiver.url), "delivered")
        (came,) = receiver.deliveries
        assert Webhook(shown.json["secret"]).verify(came.body, came.headers) is not None
        assert (await other("GET", "/-/callbacks/secret")).json["secret"] != shown.json["secret"]
        check_problem(await nobody("GET", "/-/callbacks/secret"), 401, "credential-missing")
        check_problem(await caller("POST", "/-/callbacks/secret"), 405, "method-not-allowed")


async def test_a_claim_is_no_key_to_a_secret(redis_url):
    """A token that names somebody has to be one that the upstream accepts; a refreshed one then reads the same."""
    async with (
        rig(shared=with_store(redis_url), callbacks=ALLOWED) as running,
        calling(running.url, token=jwt("me")) as caller,
        calling(running.url, token=jwt("me", 2)) as refreshed,
    ):
        check_problem(await caller("GET", "/-/callbacks/secret"), 403, "credential-unproven")
        secrets = []
        for each in (caller, refreshed):
            assert (await each(data=BODY)).status == 200
            shown = await eventually(lambda each=each: secret_of(each))
            secrets.append(shown)
        assert secrets[0] == secrets[1]


async def secret_of(caller) -> dict | None:
    """Return the caller's secrets once they may be read."""
    shown = await caller("GET", "/-/callbacks/secret")
    return shown.json if shown.status == 200 else None


async def test_rotating_the_keyring_rotates_secrets(redis_url):
    """Jobs from before and after it are signed for receivers that have the new secret, and that have the old one."""
    settings, old = with_store(redis_url), generate()
    async with receiving() as receiver:
        receiver.status = 500
        async with (
            rig(shared=settings, callbacks=ALLOWED, keyring=old) as running,
            calling(running.url, token=jwt("me")) as caller,
        ):
            before = await called_back(caller, receiver.url)
            (first,) = await eventually(lambda: tried_once(caller, before))
            (old_secret,) = (await eventually(lambda: secret_of(caller)))["secrets"]
        receiver.status = 200
        async with (
            rig(shared=settings, callbacks=ALLOWED, keyring=generate() + old) as running,
            calling(running.url, token=jwt("me")) as caller,
        ):
            secrets = (await eventually(lambda: secret_of(caller)))["secrets"]
            assert secrets[1:] == [old_secret]
            assert (await caller("POST", f"/-/callbacks/{first['id']}/redeliver")).status == 202
            after = await called_back(caller, receiver.url)
            for job in (before, after):
                await callbacks(caller, job, "delivered")
        for came in receiver.deliveries[1:]:
            for secret in secrets:
                assert Webhook(secret).verify(came.body, came.headers) is not None
        assert {each.headers["Job-Id"] for each in receiver.deliveries[1:]} == {before, after}


async def tried_once(caller, job: str) -> list[dict] | None:
    """Return a job's callbacks once one attempt was made."""
    found = await callbacks(caller, job)
    return found if found and found[0]["made"] else None
