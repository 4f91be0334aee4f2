"""Planted secrets never come out: not in logs, not in answers, not in the store, whatever goes wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pytest
import redis.asyncio as redis

from gateway.auth.keyring import generate
from gateway.simulator import Settings
from gateway.simulator.faults import FAULTS
from tests.e2e.support import Answer, Caller, calling, eventually, exchange, serving, written
from tests.support.rig import BASE_PATH, rig, simulated, with_store

BEARER = "canary-bearer-5d1c"
OWN = "canary-own-credential-77ab"
ARGUMENT = "canary-argument-93fe"

BAD = [
    b"POST /t/folder/../async HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\nContent-Length: 0\r\n\r\n",
    b"POST /t/folder/async HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\nAuthorization: Bearer x\r\n\r\n",
    b"POST /t/folder/async?access_token=%b HTTP/1.1\r\nHost: h\r\nCall-Mode: soon\r\nContent-Length: 0\r\n\r\n",
    b"GET /nothing?token=%b HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /-/jobs/x?sig=%b HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /t/folder/async HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\nAuthorization: Bearer %b\r\n\r\n",
]
"""Requests that are refused, each with a secret where one is often found."""


async def everything_in(store_url: str, prefix: str) -> dict[str, bytes]:
    """Return every key of the store below `prefix`, with all that its value holds."""
    found = {}
    async with redis.from_url(store_url) as store:
        async for key in store.scan_iter(match=f"{prefix}*"):
            kind = await store.type(key)
            if kind == b"hash":
                parts = [part for item in (await store.hgetall(key)).items() for part in item]
            elif kind == b"set":
                parts = list(await store.smembers(key))
            elif kind == b"zset":
                parts = await store.zrange(key, 0, -1)
            else:
                parts = [await store.get(key) or b""]
            found[key.decode()] = b"\n".join(parts)
    return found


def leaks(text: bytes, secrets: Mapping[str, str]) -> list[str]:
    """Return the names of the secrets that stand in `text`."""
    return [name for name, secret in secrets.items() if secret.encode() in text]


def sig_of(answer: Answer) -> str:
    """Return the signature in an answer's links."""
    return answer.headers["Link"].partition("sig=")[2].partition(">")[0]


async def go_wrong(caller: Caller) -> list[Answer]:
    """Make every call fail in every way that is known; return the answers."""
    answers = []
    for name in FAULTS:
        if not name.startswith("stall"):
            call = {"json": {"id": ARGUMENT, "duration": 0.05, "fault": name}, "headers": {"Idempotency-Key": name}}
            answers += [await caller(**call), await caller(**call)]
    answers.append(await caller(json={"id": ARGUMENT}, headers={"Call-Mode": "callback"}))
    answers.append(await caller(data=b'{"n":', headers={"Content-Type": "application/json"}))
    answers.append(await caller("GET", "/-/jobs/00" + "A" * 22))
    malformed = [await exchange(caller.url, request.replace(b"%b", BEARER.encode())) for request in BAD]
    return answers + [answer for answer in malformed if answer is not None]


def configured(upstream_url: str, store_url: str, prefix: str, own: str | None) -> str:
    """Return a configuration; `own` is the gateway's own credential, if it has one."""
    credential = f"{{url: '{upstream_url}', bearer: {own}}}\nauth: none" if own else f"{{url: '{upstream_url}'}}"
    return (
        f"upstream: {credential}\nlisten: 127.0.0.1:0\nlog: {{level: debug}}\n"
        f"store: {{url: '{store_url}', prefix: {prefix}}}\n"
    )


@pytest.mark.parametrize("own", [None, OWN], ids=["pass-through", "own credential"])
async def test_no_secret_comes_out(tmp_path, redis_url, own):
    """Bearers, the gateway's credential, keyring, signatures, arguments; over every fault, and while a job runs."""
    prefix, keyring = with_store(redis_url).prefix, generate()
    secrets = {"bearer": BEARER, "own": OWN, "keyring": keyring}
    secrets |= {f"key {n}": part for n, part in enumerate(re.split(r"[^\w+/=-]", keyring)) if len(part) > 20}
    async with simulated(Settings(tokens=frozenset({own or BEARER}))) as (_, origin):
        path = written(tmp_path, configured(origin + BASE_PATH, redis_url, prefix, own))
        async with (
            serving(path, env={"CALLMODE_KEYRING": keyring}) as gateway,
            calling(gateway.url, token=BEARER) as caller,
        ):
            running = await caller(json={"id": ARGUMENT, "duration": 60}, headers={"Call-Mode": "async"})
            sig = {} if own else {"sig": sig_of(running)}
            assert all(sig.values())
            answers = [running, *await go_wrong(caller)]
            assert {answer.status for answer in answers} >= {202, 400, 404, 500, 502}
            told = [answer.body + repr(sorted(answer.headers.items())).encode() for answer in answers]
            assert [leaks(text, secrets) for text in told if leaks(text, secrets)] == []

            kept = await everything_in(redis_url, prefix)
            assert len(kept) > len(FAULTS)
            job = next(value for key, value in kept.items() if key.endswith(f"job:{running.headers['Job-Id']}"))
            assert (re.search(rb"^cred$", job, re.MULTILINE) is None) is (own is not None)  # sealed, since it is there
            # An outcome is kept as it is: what the process gave back of its arguments is in it.
            records = b"\n".join(key.encode() + value for key, value in kept.items() if ":body:" not in key)
            assert leaks(records, secrets | sig | {"argument": ARGUMENT}) == []

            assert await gateway.stop() == 0
            log = json.dumps(gateway.log).encode()
            assert b"StartAmbiguous" in log
            assert leaks(log, secrets | sig | {"argument": ARGUMENT}) == []


async def test_what_a_job_needed_is_dropped_when_it_ends(tmp_path, redis_url):
    """The sealed start goes once it is answered, the sealed bearer with the job."""
    prefix = with_store(redis_url).prefix
    async with simulated() as (_, origin):
        path = written(
            tmp_path,
            f"upstream: {{url: '{origin}{BASE_PATH}'}}\nlisten: 127.0.0.1:0\n"
            f"store: {{url: '{redis_url}', prefix: {prefix}}}\n",
        )
        async with (
            serving(path, env={"CALLMODE_KEYRING": generate()}) as gateway,
            calling(gateway.url, token=BEARER) as caller,
            redis.from_url(redis_url) as store,
        ):
            started = await caller(json={"id": "a", "duration": 1.0}, headers={"Call-Mode": "async"})
            job = next(
                key
                for key in await everything_in(redis_url, prefix)
                if key.endswith(f"job:{started.headers['Job-Id']}")
            )
            assert {b"cred"} == {b"start", b"cred"} & set(await store.hkeys(job))

            async def ended() -> bool:
                return not {b"start", b"cred"} & set(await store.hkeys(job))

            await eventually(ended)
            assert (await caller("GET", started.json["links"]["result"])).json == {"id": "a"}


async def test_the_uri_that_a_job_is_followed_on_is_sealed(redis_url):
    """Where a tenant asks for no token on redirects, whoever knows the status URI reads the job: the store does not."""
    shared = with_store(redis_url)
    async with rig(shared=shared, simulator=Settings(require_auth_on_redirects=False)) as running:
        status, headers, _ = await running.call(json={"duration": 30}, headers={"Call-Mode": "async"})
        assert status == 202
        held = await everything_in(redis_url, shared.prefix)
        (record,) = (value for key, value in held.items() if headers["Job-Id"] in key and b"rec" in value)
        assert b"sealed:" in record
        assert not leaks(b"".join(held.values()), {"status URI": running.upstream_url.partition("//")[2]})
