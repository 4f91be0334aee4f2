"""The gate for request targets: what passes goes on as sent, what has two readings does not pass."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.target import BadTarget, Target, join, parse_target, trigger_path

BASE = "/org/tenant/orchestrator_"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("/", Target("/")),
        ("/t/folder/slug", Target("/t/folder/slug")),
        ("/t/x/", Target("/t/x/")),
        ("/t/x?", Target("/t/x", "")),
        ("/t/x?a=1&b=%2F%3D&c=%20+%25", Target("/t/x", "a=1&b=%2F%3D&c=%20+%25")),
        ("/t/x?next=/../../admin;//\\%zz?", Target("/t/x", "next=/../../admin;//\\%zz?")),
        ("/t/Caf%C3%A9%20%7e~", Target("/t/Caf%C3%A9%20%7e~")),
        ("/t/%25%32e", Target("/t/%25%32e")),
        ("/t/...", Target("/t/...")),
        ("/t/a..b/.c", Target("/t/a..b/.c")),
        ("/t/a:b@c%3Bd", Target("/t/a:b@c%3Bd")),
        ("http://gw.test/t/x?y", Target("/t/x", "y", "gw.test")),
        ("HTTPS://[::1]:8080/t/x", Target("/t/x", None, "[::1]:8080")),
        ("http://gw.test", Target("/", None, "gw.test")),
        ("http://gw.test?y", Target("/", "y", "gw.test")),
    ],
)
def test_passes_as_sent(raw: str, expected: Target):
    """Both forms are split, and no byte of path or query changes."""
    assert parse_target(raw) == expected


DOTS = ["/t/../admin", "/t/..", "/..", "/./t/x", "/t/%2e%2e/admin", "/t/.%2E/x", "/t/%2e", "/tx/../admin", "/t/..%3b/x"]
SLASHES = ["//admin", "//evil.test/t/x", "/t//x", "/t//../../admin", "/t/x//", "/t/..%2fadmin", "/t/a%2Fb", "/t/%5Cx"]
OTHERS = ["/t/a\\b", "/t/..;/admin", "/t/x;v=1", "/t/x%00/y", "/t/x%0d%0aA:b", "/t/%1f", "/t/%7f", "/t/%", "/t/%4"]
OTHERS += ["/t/%zz", "/t/%u0041", "/t/%ff", "/t/%c0%ae%c0%ae", "/t/%ed%a0%80", "/t/é", "/t/\udcff", "/t/x y", "/t/x\t"]
OTHERS += ["/t/x\x00", "/t/x\x7f", "/t/x?a b", "/t/x?\r\n", "/t/x?é", "/t/x#f", "/t/x?a#f"]
FORMS = ["", "*", "gw.test:443", "t/x", "?x", "@evil.test/t/x", ":81/t/x", "http:/t/x", "http:///t/x", "ftp://h/t/x"]
FORMS += ["http://a:b@gw.test/t/x", "http://gw.test//t/x", "http://gw.test/t/../x", "http://gw.test\\/t/x"]


@pytest.mark.parametrize("raw", DOTS + SLASHES + OTHERS + FORMS)
def test_is_refused(raw: str):
    """Dot segments and separators in any spelling, controls, bad escapes and the forms that name no path."""
    with pytest.raises(BadTarget) as caught:
        parse_target(raw)
    assert caught.value.detail


@settings(deadline=None)  # the machine may be busy
@given(
    st.lists(
        st.sampled_from(["/", ".", "%2e", "%2E", "%2f", "%5c", "\\", ";", "%3b", "%25", "t", "x", "?", "%"]),
        max_size=10,
    )
)
def test_no_reading_leads_out_of_the_prefix(parts: list[str]):
    """However a server decodes (once) and normalises what passed as a trigger, it stays under `/t/`."""
    try:
        target = parse_target("/t/" + "".join(parts))
    except BadTarget:
        return
    served = urlsplit(join("http://up.test", target.path, target.query)).path
    for reading in (served, unquote(served), unquote(served).replace("\\", "/"), re.sub(";[^/]*", "", unquote(served))):
        assert f"{posixpath.normpath(reading)}/".startswith("/t/")


@pytest.mark.parametrize(
    ("base_url", "path", "query", "expected"),
    [
        ("https://h/o/t/orchestrator_", "/t/a%2Db", None, "https://h/o/t/orchestrator_/t/a%2Db"),
        ("https://h/o/", "/t/x", "", "https://h/o/t/x?"),
        ("http://h:80", "/t/x", "a=%7e&b", "http://h:80/t/x?a=%7e&b"),
    ],
)
def test_join_is_textual(base_url: str, path: str, query: str | None, expected: str):
    """Nothing is normalised or re-quoted on the way to the upstream."""
    assert join(base_url, path, query) == expected


@pytest.mark.parametrize("base_path", [BASE, f"{BASE}/", "", "/"])
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/t/x", "/t/x"),
        ("/t/folder/slug/a%20b", "/t/folder/slug/a%20b"),
        ("/t/x/", "/t/x/"),
        ("/t/", None),
        ("/t", None),
        ("/", None),
        ("/tx/y", None),
        ("/T/x", None),
        ("/%74/x", None),
        ("/admin/t/x", None),
        ("/-/jobs", None),
    ],
)
def test_trigger_without_the_base(path: str, expected: str | None, base_path: str):
    """`/t/` and a segment is a trigger, whatever the upstream's base is; nothing else is."""
    assert trigger_path(Target(path), base_path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{BASE}/t/folder/slug", "/t/folder/slug"),
        (f"{BASE}/t/", None),
        (f"{BASE}t/x", None),
        (f"{BASE}/odata/Jobs", None),
        (f"{BASE}{BASE}/t/x", None),
        (f"{BASE.upper()}/t/x", None),
    ],
)
def test_trigger_behind_the_base(path: str, expected: str | None):
    """The upstream's own path in front is cut off, and only that."""
    assert trigger_path(Target(path), BASE) == expected
