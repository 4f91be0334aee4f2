"""Verdicts as people write them: read strictly, for they are acted upon."""

from __future__ import annotations

import msgspec
import pytest

from gateway.caller.verdicts import HasEnded, NeverRan, Runs, read_verdict
from gateway.core.errors import BadVerdict

JSON = ("Content-Type", "application/json")
TEXT = ("Content-Type", "text/plain")


def ended(**members: object) -> bytes:
    """Return a verdict `ended` as JSON."""
    return msgspec.json.encode({"verdict": "ended", "status": 200, **members})


def test_the_three():
    """Each with what belongs to it."""
    assert read_verdict(b'{"verdict":"never-ran"}') == NeverRan()
    assert read_verdict(b'{"key":"7a","verdict":"running"}') == Runs("7a")
    told = read_verdict(b'{"verdict":"ended","status":204}')
    assert isinstance(told, HasEnded)
    assert (told.outcome().status, told.outcome().headers, told.outcome().body) == (204, (), b"")


@pytest.mark.parametrize(
    ("verdict", "headers", "body"),
    [
        (ended(body={"n": 1}), (JSON,), b'{"n":1}'),
        (b'{"verdict":"ended","status":200,"body": {"n": 1.0} }', (JSON,), b'{"n": 1.0}'),
        (ended(body=None), (JSON,), b"null"),
        (ended(body="done \u00e9"), (), "done \u00e9".encode()),
        (ended(body="done", headers={"Content-Type": "text/plain"}), (TEXT,), b"done"),
        (ended(body=[1], headers={"content-type": "application/x"}), (("content-type", "application/x"),), b"[1]"),
        (ended(bodyBase64="AP8="), (), b"\x00\xff"),
        (ended(), (), b""),
        (ended(headers={"Set-Cookie": "a=b", "Transfer-Encoding": "chunked", "X-Sum": "3 "}), (("X-Sum", "3"),), b""),
    ],
)
def test_the_outcome(verdict: bytes, headers: tuple[tuple[str, str], ...], body: bytes):
    """A string is text, other JSON stands for itself, bytes come as base64; of headers, what outcomes have."""
    told = read_verdict(verdict)
    assert isinstance(told, HasEnded)
    outcome = told.outcome()
    assert (outcome.status, outcome.headers, outcome.body) == (200, headers, body)


@pytest.mark.parametrize(
    "verdict",
    [
        b"", b"[]", b"nothing", b"{}", b"\xff", b'{"verdict":"perhaps"}', b'{"verdict":"Never-Ran"}',
        b'{"verdict":"never-ran","verdict":"never-ran"}', b'{"verdict":"never-ran","key":"7a"}',
        b'{"verdict":"running"}', b'{"verdict":"running","key":7}', b'{"verdict":"ended"}',
        ended(status="200"), ended(status=199), ended(status=600), ended(status=True), ended(headers=[]),
        ended(headers={"X": 1}), ended(colour="red"),
    ],
)  # fmt: skip
def test_what_is_no_verdict(verdict: bytes):
    """Nothing is guessed."""
    with pytest.raises(BadVerdict):
        read_verdict(verdict)


@pytest.mark.parametrize(
    "verdict",
    [
        ended(headers={"X Y": "1"}), ended(headers={"": "1"}), ended(headers={"X": "1\r\nY: 2"}),
        ended(headers={"X": "\u20ac"}), ended(bodyBase64="*"), ended(bodyBase64="AA==", body="x"),
        ended(status=204, body="x"), ended(status=304, bodyBase64="AA=="),
    ],
)  # fmt: skip
def test_what_is_no_outcome(verdict: bytes):
    """It could not be answered, or could be read in two ways."""
    told = read_verdict(verdict)
    assert isinstance(told, HasEnded)
    with pytest.raises(BadVerdict):
        told.outcome()
