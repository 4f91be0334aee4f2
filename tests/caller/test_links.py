"""A job's URLs."""

from __future__ import annotations

from gateway.caller.links import JobUrls

BASE = "https://gate.example/-/jobs/03abc"


def test_plain():
    """One path each, and the hop in the wait URI's query."""
    urls = JobUrls("https://gate.example", "03abc")
    assert (urls.monitor, urls.poll, urls.result, urls.events, urls.callbacks) == (
        BASE, f"{BASE}/poll", f"{BASE}/result", f"{BASE}/events", f"{BASE}/callbacks",
    )  # fmt: skip
    assert urls.wait(7) == f"{BASE}/wait?hop=7"


def test_signed():
    """The signature is the last parameter of every one."""
    urls = JobUrls("https://gate.example", "03abc", "s.k.m")
    assert urls.monitor == f"{BASE}?sig=s.k.m"
    assert urls.poll == f"{BASE}/poll?sig=s.k.m"
    assert urls.wait(7) == f"{BASE}/wait?hop=7&sig=s.k.m"


def test_of_a_share():
    """Every URL says whose it is, so that what is reached over it is that one's."""
    urls = JobUrls("https://gate.example", "03abc", "s.k.m", share="2.ab")
    assert urls.monitor == f"{BASE}?share=2.ab&sig=s.k.m"
    assert urls.cancel == f"{BASE}/cancel?share=2.ab&sig=s.k.m"
    assert urls.wait(7) == f"{BASE}/wait?hop=7&share=2.ab&sig=s.k.m"


def test_the_link_to_cancel():
    """Only where there is a way to."""
    urls = JobUrls("https://gate.example", "03abc", cancelable=True)
    assert urls.link_header.endswith(f', <{BASE}/cancel>; rel="cancel"')


def test_the_link_field():
    """RFC 8288: targets in angle brackets, each with its relation."""
    assert JobUrls("https://gate.example", "03abc", "s").link_header == (
        f'<{BASE}?sig=s>; rel="monitor", <{BASE}/result?sig=s>; rel="result", <{BASE}/events?sig=s>; rel="events"'
    )
