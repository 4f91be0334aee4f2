"""What of a caller's headers goes upstream, and whose word is taken for how the gateway is reached."""

from __future__ import annotations

import ipaddress

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.core.exchange import Headers
from gateway.web import forwarding
from gateway.web.forwarding import origin
from gateway.web.names import names_of
from gateway.web.settings import WebSettings


def fields(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    """Return header fields as aiohttp gives them."""
    return CIMultiDictProxy(CIMultiDict(pairs))


def upstream_headers(sent: CIMultiDictProxy[str], content_type: str | None) -> Headers:
    """Return what goes upstream of fields as aiohttp gives them."""
    raw = tuple([(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in sent.items()])
    return forwarding.upstream_headers(raw, names_of(raw), content_type)


def test_end_to_end_fields_pass():
    """Jobs may read them: names, order and repetition as sent."""
    sent = fields(("X-Own", "1"), ("x-own", "2"), ("traceparent", "00-a-b-01"), ("Accept-Language", "de"))
    assert upstream_headers(sent, "application/json") == (
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
        ("Content-Type", "application/json"),
        ("X-Own", "1"),
        ("x-own", "2"),
        ("traceparent", "00-a-b-01"),
        ("Accept-Language", "de"),
    )


STOPPED = [
    # of this hop
    "Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Proxy-Authorization",
    "Proxy-Connection",
    # the gateway's own business
    "Authorization", "Accept", "Accept-Encoding", "Content-Length", "Content-Type", "Cookie", "Host", "Prefer",
    "Idempotency-Key", "Call-Mode", "Call-On-Timeout", "Call-On-Disconnect", "Cancel-After", "Callback-Url",
    "Last-Event-ID", "Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range",
    # what proxies add, and what servers behind them believe
    "Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "X-Original-URL", "X-Rewrite-URL",
    "X-HTTP-Method-Override", "CF-Connecting-IP", "Sec-Fetch-Mode",
    # twins of the above, to a server that reads `_` as `-`
    "X_Forwarded_For", "Content_Length",
]  # fmt: skip


@pytest.mark.parametrize("name", STOPPED)
def test_what_does_not_pass(name: str):
    """In any case of letters."""
    for spelled in (name, name.lower(), name.upper()):
        assert upstream_headers(fields((spelled, "a")), None) == (("Accept", "*/*"), ("Accept-Encoding", "identity"))


def test_fields_that_connection_names():
    """Are of this hop (RFC 9110 7.6.1), on whichever line they are named."""
    sent = fields(("Connection", "close, X-A"), ("Connection", "x-b"), ("X-A", "1"), ("X-B", "2"), ("X-C", "3"))
    assert upstream_headers(sent, None)[2:] == (("X-C", "3"),)


def test_bytes_stay_as_they_were():
    """Aiohttp reads fields as UTF-8 and escapes what is none; upstream they go as latin-1 text of the same bytes."""
    for raw in ("grün".encode(), b"gr\xfcn"):
        read = raw.decode("utf-8", "surrogateescape")
        assert upstream_headers(fields(("X-A", read)), None)[-1][1].encode("latin-1") == raw


PROXY = ipaddress.ip_network("10.0.0.0/8")
BEHIND = WebSettings(trusted_proxies=(PROXY, ipaddress.ip_network("fd00::/8")))
FORWARDED = fields(
    ("Host", "inner:8080"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "gate.example")
)  # fmt: skip


@pytest.mark.parametrize("peer", ["10.1.2.3", "fd00::1", "fd00::1%eth0", "::ffff:10.1.2.3"])
def test_a_trusted_proxy_is_believed(peer: str):
    """Whatever way its address is told."""
    assert origin(FORWARDED, "http", peer, BEHIND) == "https://gate.example"


@pytest.mark.parametrize("peer", ["192.168.0.1", "::1", "::ffff:192.168.0.1", None])
def test_nobody_else_is(peer: str | None):
    """Anybody could send such fields."""
    assert origin(FORWARDED, "http", peer, BEHIND) == "http://inner:8080"


def test_without_trusted_proxies_nobody_is():
    """The default."""
    assert origin(FORWARDED, "http", "10.1.2.3", WebSettings()) == "http://inner:8080"


@pytest.mark.parametrize(
    "lines",
    [
        [("X-Forwarded-Host", "evil.example, gate.example")],
        [("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Host", "gate.example")],
        [("X-Forwarded-Host", "evil.example,gate.example ")],
    ],
)
def test_the_nearest_proxy_is_believed(lines: list[tuple[str, str]]):
    """What a caller sends stands left of, or above, what the proxy adds."""
    assert origin(fields(("Host", "inner"), *lines), "http", "10.0.0.1", BEHIND) == "http://gate.example"


@pytest.mark.parametrize(
    "line",
    [("X-Forwarded-Host", 'a"b'), ("X-Forwarded-Host", "a>; b"), ("X-Forwarded-Host", "u@h"),
     ("X-Forwarded-Proto", "javascript"), ("X-Forwarded-Proto", "a://")],
)  # fmt: skip
def test_what_is_no_host_and_no_scheme_is_not_believed(line: tuple[str, str]):
    """A proxy may pass on what its caller made up, and job URLs begin with it."""
    assert origin(fields(("Host", "inner"), line), "http", "10.0.0.1", BEHIND) == "http://inner"


def test_a_caller_that_names_no_host():
    """HTTP/1.0 allows it: job URLs then name the address that it called."""
    assert origin(fields(), "http", "10.0.0.1", WebSettings(), "127.0.0.1:8080") == "http://127.0.0.1:8080"


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "zstd"])
def test_a_body_that_was_decoded_is_not_called_coded(coding: str):
    """The server has taken the coding off; what it does not know stays as it came, label and all."""
    assert len(upstream_headers(fields(("Content-Encoding", coding)), None)) == 2
    assert upstream_headers(fields(("Content-Encoding", "x-own")), None)[2:] == (("Content-Encoding", "x-own"),)


def test_a_proxy_that_says_nothing():
    """Leaves the request's own."""
    sent = fields(("Host", "inner"), ("X-Forwarded-Host", ""), ("X-Forwarded-Proto", " "))
    assert origin(sent, "http", "10.0.0.1", BEHIND) == "http://inner"


def test_a_public_url_wins():
    """Over all of it."""
    assert origin(FORWARDED, "http", "10.0.0.1", WebSettings(public_url="https://public.example")) == (
        "https://public.example"
    )
