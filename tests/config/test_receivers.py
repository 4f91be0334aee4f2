"""What `callbacks.allow` can allow."""

import pytest

from gateway.config.receivers import allows


@pytest.mark.parametrize(
    ("pattern", "url", "allowed"),
    [
        ("h.example", "https://h.example/x", True),
        ("h.example", "https://H.Example:8443/x", True),
        ("h.example", "https://a.h.example/x", False),
        ("h.example:443", "https://h.example/x", True),
        ("h.example:443", "https://h.example:8443/x", False),
        ("*.example", "https://a.b.example/x", True),
        ("*.example", "https://example/x", False),
        ("*.example", "https://badexample/x", False),
        ("*.example:80", "http://a.example", True),
        ("10.0.0.0/8", "https://10.1.2.3/x", True),
        ("10.0.0.0/8", "https://11.1.2.3/x", False),
        ("fd00::/8", "https://[fd00::1]/x", True),
        ("fd00::/8", "https://10.1.2.3/x", False),
        ("10.0.0.0/8", "https://resolved.later/x", True),
    ],
)
def test_patterns(pattern, url, allowed):
    """Hosts, ports, domains and networks; a name may resolve into any network."""
    assert allows([pattern], url) is allowed


def test_nothing_is_allowed_by_default():
    """Callbacks are off while no receiver is named."""
    assert not allows([], "https://h.example/")
