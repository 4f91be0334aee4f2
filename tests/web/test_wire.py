"""Answers as bytes: framing, exact fields, and nothing that could be read as a second answer."""

from __future__ import annotations

import re

import pytest

from gateway.web import wire


def answer(status: int = 200, fields=(), body: bytes = b"", *, head_only: bool = False, framing: str = "") -> bytes:
    """Return an answer without its date, which must be one (RFC 9110 5.6.7)."""
    encoded = wire.encode_answer(status, fields, body, framing, head_only=head_only, second=0)
    found = re.search(rb"Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n", encoded)
    assert found is not None
    return encoded.replace(found[0], b"")


def test_a_whole_answer():
    """Status, fields as they were given, length, body."""
    fields = (("X-A", "1"), ("x-a", "2"), ("Content-Type", "text/x"))
    assert answer(203, fields, b"body") == (
        b"HTTP/1.1 203 Non-Authoritative Information\r\nX-A: 1\r\nx-a: 2\r\nContent-Type: text/x\r\n"
        b"Content-Length: 4\r\n\r\nbody"
    )


def test_a_status_without_a_name():
    """Has an empty one (RFC 9112 4)."""
    assert answer(299).startswith(b"HTTP/1.1 299 \r\n")


@pytest.mark.parametrize(
    ("status", "length"), [(204, b""), (304, b""), (205, b"Content-Length: 0\r\n"), (200, b"Content-Length: 0\r\n")]
)
def test_what_has_no_body(status: int, length: bytes):
    """Says so, where it may say anything (RFC 9110 8.6)."""
    assert answer(status).partition(b"\r\n")[2] == length + b"\r\n"


@pytest.mark.parametrize(("body", "length"), [(b"body", b"Content-Length: 4\r\n"), (b"", b"")])
def test_head(body: bytes, length: bytes):
    """The head of GET's answer, and no more."""
    assert answer(body=body, head_only=True).partition(b"\r\n")[2] == length + b"\r\n"


@pytest.mark.parametrize("raw", [b"plain", "grün".encode(), b"gr\xfcn", b"\x80\xff"])
def test_fields_keep_their_bytes(raw: bytes):
    """They are held as latin-1 text, UTF-8 or not."""
    assert b"\r\nX-A: " + raw + b"\r\n" in answer(fields=(("X-A", raw.decode("latin-1")),))


@pytest.mark.parametrize(
    "field", [("X-A", "a\r\nX-B: b"), ("X-A", "a\nb"), ("X-A", "a\rb"), ("X-A\r\nX-B", "c"), ("X-A", "a\0b")]
)
def test_no_field_ends_its_line(field: tuple[str, str]):
    """Nothing is written at all."""
    with pytest.raises(ValueError, match="line end or a NUL"):
        answer(fields=(field,))


def test_text_that_is_no_latin_1():
    """Nothing is written either: what it would be as bytes is not known."""
    with pytest.raises(ValueError, match="latin-1"):
        answer(fields=(("X-A", "\u2713"),))


@pytest.mark.parametrize(
    ("keeps", "http10", "said"),
    [(True, False, ""), (True, True, "Connection: keep-alive\r\n"), (False, False, "Connection: close\r\n"),
     (False, True, "Connection: close\r\n")],
)  # fmt: skip
def test_what_is_said_of_the_connection(keeps: bool, http10: bool, said: str):
    """Only what is not the version's default (RFC 9112 9.3)."""
    assert wire.framing_of(keeps=keeps, http10=http10) == said


def test_chunks():
    """RFC 9112 7.1."""
    assert wire.chunk(b"x" * 26) + wire.LAST_CHUNK == b"1a\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n"
