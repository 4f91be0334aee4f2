"""Store URLs: what each says, and what is refused without repeating it."""

from __future__ import annotations

import pytest

from gateway.store.address import Address, Host, Topology, parse

SENTINEL, CLUSTER = Topology.SENTINEL, Topology.CLUSTER

TAKEN = {
    "redis://h": Address(hosts=(Host("h", 6379),)),
    "redis://h/": Address(hosts=(Host("h", 6379),)),
    "redis://h:1/2": Address(hosts=(Host("h", 1),), db=2),
    "rediss://[::1]:1": Address(hosts=(Host("::1", 1),), tls=True),
    "redis://:p%40w@h": Address(hosts=(Host("h", 6379),), password="p@w"),
    "redis://u:p@w:x@h": Address(hosts=(Host("h", 6379),), username="u", password="p@w:x"),
    "redis://u@h": Address(hosts=(Host("h", 6379),), username="u"),
    "unix:///run/a%20b.sock": Address(path="/run/a b.sock"),
    "unix:///run/s?db=3": Address(path="/run/s", db=3),
    "unix://u:p@/run/s": Address(path="/run/s", username="u", password="p"),
    "redis+sentinel://a,b:1/main": Address(SENTINEL, (Host("a", 26379), Host("b", 1)), service="main"),
    "rediss+sentinel://u:p@a/main/4": Address(
        SENTINEL, (Host("a", 26379),), tls=True, service="main", db=4, username="u", password="p"
    ),
    "redis+cluster://a:1,[::1]:2": Address(CLUSTER, (Host("a", 1), Host("::1", 2))),
    "rediss+cluster://a/0": Address(CLUSTER, (Host("a", 6379),), tls=True),
}

REFUSED = {
    "h:6379": "must be redis://",
    "http://h": "must be redis://",
    "redis+://h": "must be redis://",
    "redis+clusters://h": "must be redis://",
    "unix+cluster://h": "must be redis://",
    "redis://": "must be redis://",
    "redis://h:0": "must be redis://",
    "redis://h:65536": "must be redis://",
    "redis://h:x": "must be redis://",
    "redis://[h]": "must be redis://",
    "redis+cluster://a,,b": "must be redis://",
    "redis://h/0/1": "must be redis://",
    "redis://h/x": "database by a number",
    "redis://a,b": "names several hosts",
    "redis://h?ssl_cert_reqs=none": "must not have a query",
    "redis://h#x": "must not have a query or a fragment",
    "unix://": "must be redis://",
    "unix://h/s": "must be redis://",
    "unix:///s?timeout=1": "db=number",
    "unix:///s?db=-1": "database by a number",
    "redis+sentinel://a": "must name the service",
    "redis+cluster://a/1": "only one, 0",
}


@pytest.mark.parametrize("url", TAKEN)
def test_what_a_url_says(url):
    """Each part, decoded, with its default."""
    assert parse(url) == TAKEN[url]


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_refused(url):
    """With what would be right."""
    with pytest.raises(ValueError, match=REFUSED[url]):
        parse(url)


@pytest.mark.parametrize("url", ["redis://:hunter2@[h", "redis+x://:hunter2@h", "redis://:hunter2@\u2100", "hunter2"])
def test_no_refusal_repeats_a_password(url):
    """Whatever is wrong with the URL."""
    with pytest.raises(ValueError, match="must") as refused:
        parse(url)
    assert "hunter2" not in str(refused.value)
