"""No secret comes past the last processor: whatever the field, however deep, in whatever notation."""

from __future__ import annotations

import base64
import dataclasses
import json
import time

import pytest

from gateway.auth.keyring import generate
from gateway.auth.principal import Caller
from gateway.core.exchange import Request
from gateway.observability.secrets import REMOVED, without_secrets

SECRET = "dGhlLXNlY3JldA"
JWT = f"eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.{SECRET}"


def logged(**fields: object) -> str:
    """Return an event as it is rendered."""
    return json.dumps(without_secrets(None, "info", {"event": "something", **fields}), default=repr)


@pytest.mark.parametrize(
    "name",
    ["authorization", "Authorization", "bearer", "token", "access_token", "client_secret", "password", "Set-Cookie",
     "credential", "api_key", "x-api-key", "apikey", "sig", "signature"],
)  # fmt: skip
def test_by_the_name_of_the_field(name: str):
    """Whatever its value is."""
    for value in (SECRET, SECRET.encode(), [SECRET], {"a": SECRET}):
        assert SECRET not in logged(**{name: value})
        assert SECRET not in logged(deep={"list": [{name: value}]})


def test_header_fields():
    """Pairs of name and value, as headers are held: a bare cookie looks like nothing."""
    headers = (("Content-Type", "application/json"), ("Cookie", SECRET), ("X-Api-Key", SECRET.encode()))
    event = without_secrets(None, "info", {"event": "x", "headers": headers})
    assert event["headers"] == [["Content-Type", "application/json"], ["Cookie", REMOVED], ["X-Api-Key", REMOVED]]


TEXTS = [
    f"Bearer {SECRET}",
    f"bearer   {SECRET}",
    f"Bearer%20{SECRET}",
    f"Authorization: Bearer {SECRET}",
    f"Authorization: Basic {SECRET}",
    f"authorization={SECRET}",
    f"{{'Authorization': 'Basic {SECRET}'}}",
    f"{{b'Authorization': b'Basic {SECRET}'}}",
    f"(b'cookie', b'a={SECRET}; b={SECRET}')",
    f"Cookie: a=1; b={SECRET}; c={SECRET}",
    f"Set-Cookie: a={SECRET}; HttpOnly",
    f'{{"access_token":"{SECRET}"}}',
    f'{{"access_token": "{SECRET}", "token_type": "x"}}',
    f'"{{\\"client_secret\\": \\"{SECRET}\\"}}"',
    f"grant_type=x&client_secret={SECRET}&scope=y",
    f"https://gate.example/-/jobs/03a/poll?hop=1&sig={SECRET}",
    f"https://host/x?signature={SECRET}&y",
    f"redis://:{SECRET}@redis:6379/0",
    f"redis://user:{SECRET}@redis",
    f"redis://user:a@{SECRET}@redis",
    f"Error 111 connecting to rediss://:{SECRET}@redis:6379",
    f"the token is {JWT}",
    JWT,
    f"whsec_{SECRET}",
    f"password='{SECRET}'",
    f"api-key: {SECRET}",
    f"Caller(principal='a', token='{SECRET}', bearer='{SECRET}')",
    f"Request(headers=(('Authorization', 'Bearer {SECRET}'),))",
]


@pytest.mark.parametrize("text", TEXTS)
def test_by_the_look_of_the_value(text: str):
    """In any field, the event's own text included, and however deep."""
    for fields in (
        {"detail": text},
        {"detail": text.encode()},
        {"detail": [("a", [text])]},
        {"detail": {"a": {"b": text}}},
        {"detail": {text: 1, (text,): 2}},
        {"detail": ValueError(text)},
        {"detail": {frozenset({text})}},
    ):
        rendered = logged(**fields)
        assert SECRET not in rendered
        assert REMOVED in rendered
    assert SECRET not in json.dumps(without_secrets(None, "info", {"event": text}))


def test_keyrings():
    """A line of one, wherever it comes from."""
    line = generate().strip()
    secret = line.partition(":")[2]
    assert len(base64.b64decode(secret)) == 32
    assert secret not in logged(detail=f"bad line: {line} in keyring")


def test_what_reprs_would_tell():
    """Records that somebody logs whole: the renderer would print their repr."""
    records = [
        Caller("who", "hash", SECRET),
        Request("GET", "https://o.example/x", (("Authorization", f"Bearer {SECRET}"),)),
        dataclasses.make_dataclass("Settings", ["secret"])(SECRET),
    ]
    for record in records:
        assert SECRET not in logged(detail=record)
        assert SECRET not in logged(detail=[record])


HARMLESS = [
    "listening", "/t/folder/design-signature", "2026-01-01T00:00:00.000000Z", "https://gate.example/-/jobs/03abc",
    "the upstream answered 502 without a JSON body", "03AAAAAAAAAAAAAAAAAAAAAAAA", "a=b&c=d", "key: value", "",
    "job p042 of route /t/a/b; 3 attempts", "[::1]:8080",
]  # fmt: skip


@pytest.mark.parametrize("text", HARMLESS)
def test_everything_else_stays(text: str):
    """A log that says nothing is of no use."""
    assert without_secrets(None, "info", {"event": text, "detail": text}) == {"event": text, "detail": text}


def test_numbers_and_nothing_stay():
    """They have their JSON forms."""
    event = {"event": "x", "status": 200, "ms": 1.5, "ok": True, "job": None, "token": None}
    assert without_secrets(None, "info", dict(event)) == event


def test_what_names_a_secret_can_still_be_read():
    """Only the secret goes."""
    event = without_secrets(None, "info", {"event": f"GET /x?hop=1&sig={SECRET}&a=b HTTP/1.1"})
    assert event["event"] == f"GET /x?hop=1&sig={REMOVED}&a=b HTTP/1.1"
    assert without_secrets(None, "info", {"event": f"redis://:{SECRET}@h/0"})["event"] == f"redis://{REMOVED}@h/0"


@pytest.mark.parametrize("part", ["token", "cookie ", "://", "eyJ", "bearer ", "a-", "token='", "token, ", "%20bearer"])
def test_no_text_takes_long(part: str):
    """What callers send is logged in places: nothing may make a line expensive."""
    begun = time.process_time()
    without_secrets(None, "info", {"event": part * (100_000 // len(part))})
    assert time.process_time() - begun < 1
