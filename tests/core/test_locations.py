"""Resolving a `Location` byte for byte, and the hosts that it may lead to."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.locations import BadLocation, allowed, resolve

BASE = "https://up.test/a/b/c%2Fd?q=1"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://other.test/x", "https://other.test/x"),
        ("HTTPS://Other.Test:443/%7e/../y", "HTTPS://Other.Test:443/%7e/../y"),
        ("https://other.test", "https://other.test"),
        ("https://other.test?sig=%2b+/", "https://other.test?sig=%2b+/"),
        ("//other.test/x?y", "https://other.test/x?y"),
        ("/x/%2E%2e/y%20%zz;p?sig=a%2Bb==&x=/../#frag", "https://up.test/x/%2E%2e/y%20%zz;p?sig=a%2Bb==&x=/../"),
        ("/x/./../y", "https://up.test/x/./../y"),
        ("/x//y", "https://up.test/x//y"),
        ("x?u=http://h/../z", "https://up.test/a/b/x?u=http://h/../z"),
        ("?r=2", "https://up.test/a/b/c%2Fd?r=2"),
        ("#frag", "https://up.test/a/b/c%2Fd?q=1"),
        (" \t/x \t", "https://up.test/x"),
    ],
)
def test_resolves_byte_for_byte(location: str, expected: str):
    """Absolute, network-path, absolute-path and query-only references keep every byte but the fragment."""
    assert resolve(BASE, location) == expected


# RFC 3986 §5.4.1 and §5.4.2: the relative-path references, whose dot segments go.
RFC_3986 = {"g": "b/c/g", "./g": "b/c/g", "g/": "b/c/g/", "g?y": "b/c/g?y", ";x": "b/c/;x", "g;x?y": "b/c/g;x?y"}
RFC_3986 |= {
    ".": "b/c/",
    "./": "b/c/",
    "..": "b/",
    "../": "b/",
    "../g": "b/g",
    "../..": "",
    "../../": "",
    "../../g": "g",
}
RFC_3986 |= {"../../../g": "g", "g.": "b/c/g.", ".g": "b/c/.g", "g..": "b/c/g..", "./../g": "b/g", "./g/.": "b/c/g/"}
RFC_3986 |= {"g/./h": "b/c/g/h", "g/../h": "b/c/h", "g;x=1/../y": "b/c/y", "g?y/../x": "b/c/g?y/../x"}


@pytest.mark.parametrize(("location", "expected"), RFC_3986.items())
def test_relative_paths_as_in_the_rfc(location: str, expected: str):
    """The RFC's own examples."""
    assert resolve("http://a/b/c/d;p?q", location) == f"http://a/{expected}"


def test_base_without_a_path():
    """A relative path on a bare origin begins at the root."""
    assert resolve("https://up.test", "x/y") == "https://up.test/x/y"
    assert resolve("https://up.test?q", "?r") == "https://up.test?r"


@settings(deadline=None)  # the machine may be busy
@given(st.text("ab./%2e", min_size=1, max_size=12).filter(lambda path: not path.startswith("/")))
def test_relative_paths_agree_with_the_standard_library(path: str):
    """On a relative path, `urljoin` is an independent second opinion."""
    if "//" not in path:  # urljoin drops empty segments, RFC 3986 keeps them
        assert resolve("https://up.test/a/b/c", path) == urljoin("https://up.test/a/b/c", path)


BAD = ["", "  ", "//", "///x", "https:", "https:/x", "https:x", "https:///x", "a:b", "javascript:alert(1)", "/x y"]
BAD += [
    "/x\r\nSet-Cookie: a",
    "/\x00",
    "/x\x7f",
    "/é",
    "https://é.test/",
    "\x0b/x",
    "/\\evil.test",
    "https:\\\\evil.test",
]


@pytest.mark.parametrize("location", BAD)
def test_bad_locations(location: str):
    """No host, a character that HTTP cannot carry, or a backslash, which has two readings."""
    with pytest.raises(BadLocation) as caught:
        resolve(BASE, location)
    assert caught.value.detail


CLOUD = "https://cloud.uipath.com/o/t/orchestrator_"
EXTRA = frozenset({"files.test", "alt.test:8443", "*.wild.test", "[2001:DB8::1]:81", "bücher.test", "*.port.test:81"})


@pytest.mark.parametrize(
    ("url", "upstream_url"),
    [
        ("https://up.test/any/../path?x", "https://up.test/base"),
        ("HTTPS://UP.test:443/x", "https://up.test"),
        ("https://up.test:/x", "https://up.test"),
        ("https://up.test:8443/x", "https://up.test:8443/base"),
        ("http://up.test/x", "http://up.test"),
        ("https://up.test/x", "http://up.test"),
        ("http://127.0.0.1:8090/x", "http://127.0.0.1:8090"),
        ("http://[::1]:80/x", "http://[0:0:0:0:0:0:0:1]"),
        ("https://xn--bcher-kva.example/x", "https://Bücher.example"),
        ("https://portal.uipath.com/x", CLOUD),
        ("https://uipath.com/x", CLOUD),
        ("https://a.b.uipath.com/x", CLOUD),
        ("https://files.test/x", CLOUD),
        ("https://alt.test:8443/x", CLOUD),
        ("https://a.wild.test/x", CLOUD),
        ("https://a.b.wild.test/x", CLOUD),
        ("https://[2001:db8::1]:81/x", CLOUD),
        ("https://xn--bcher-kva.test/x", CLOUD),
        ("https://a.port.test:81/x", CLOUD),
    ],
)
def test_allowed(url: str, upstream_url: str):
    """The upstream's own origin, its cloud, and what the operator named, however they are spelled."""
    assert allowed(url, upstream_url=upstream_url, extra=EXTRA)


@pytest.mark.parametrize(
    ("url", "upstream_url"),
    [
        ("http://cloud.uipath.com/x", CLOUD),
        ("http://files.test/x", CLOUD),
        ("ftp://cloud.uipath.com/x", CLOUD),
        ("https://cloud.uipath.com:8443/x", CLOUD),
        ("https://portal.uipath.com:8443/x", CLOUD),
        ("https://evil.test/x", CLOUD),
        ("https://cloud.uipath.com.evil.test/x", CLOUD),
        ("https://eviluipath.com/x", CLOUD),
        ("https://cloud.uipath.com@evil.test/x", CLOUD),
        ("https://user@cloud.uipath.com/x", CLOUD),
        ("https://:@cloud.uipath.com/x", CLOUD),
        ("https://evil.test\\@cloud.uipath.com/x", CLOUD),
        ("https://evil.test#@cloud.uipath.com/x", CLOUD),
        ("https://cloud.uipath.com./x", CLOUD),
        ("https://.uipath.com/x", CLOUD),
        ("https://a..uipath.com/x", CLOUD),
        ("https://cloud%2euipath.com/x", CLOUD),
        ("https://cloud。uipath。com/x", CLOUD),
        ("https://cloud.uipath.com:99999/x", CLOUD),
        ("https://cloud.uipath.com:4 43/x", CLOUD),
        ("https://cloud.uipath.com\n/x", CLOUD),
        ("https:///x", CLOUD),
        ("/x", CLOUD),
        ("", CLOUD),
        ("https://portal.uipath.com/x", "https://up.test"),
        ("https://up.test:8443/x", "https://up.test"),
        ("http://127.1:8090/x", "http://127.0.0.1:8090"),
        ("http://2130706433:8090/x", "http://127.0.0.1:8090"),
        ("http://[::ffff:127.0.0.1]:8090/x", "http://127.0.0.1:8090"),
        ("http://[::1/x", "http://[::1]"),
        ("http://[::g]/x", "http://[::1]"),
        ("http://[fe80::1%25eth0]/x", "http://[fe80::1]"),
        ("https://files.test:8443/x", CLOUD),
        ("https://alt.test/x", CLOUD),
        ("https://wild.test/x", CLOUD),
        ("https://evilwild.test/x", CLOUD),
        ("https://a.wild.test:81/x", CLOUD),
        ("https://a.port.test/x", CLOUD),
        ("https://bücher.test/x", CLOUD),
    ],
)
def test_refused(url: str, upstream_url: str):
    """Another origin, a downgrade, a user, and every notation that somebody else could read otherwise."""
    assert not allowed(url, upstream_url=upstream_url, extra=EXTRA)


def test_unusable_configuration_allows_nothing():
    """An entry or an upstream that names no origin opens nothing."""
    assert not allowed(
        "https://a.test/", upstream_url="https://up.test", extra=frozenset({"", "*", "*.", "https://a.test"})
    )
    assert not allowed("https://a.test/", upstream_url="a.test")
    assert not allowed("https://a.test/", upstream_url=f"https://{'ü' * 80}.test")


PIECES = [
    "https:",
    "http:",
    "//",
    "/",
    "up.test",
    "evil.test",
    ":",
    "443",
    "@",
    ".",
    "?",
    "#",
    "%2e",
    "\\",
    "[",
    "]",
    ";",
]


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
def test_a_credential_reaches_no_other_host(location: str):
    """Whatever an upstream sends, what is allowed is textually on an allowed origin."""
    try:
        url = resolve("https://up.test/a", location)
    except BadLocation:
        return
    if allowed(url, upstream_url="https://up.test"):
        assert re.match(r"https://up\.test(?::(?:443)?)?(?:[/?]|$)", url)
