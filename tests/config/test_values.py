"""Addresses, hosts, URLs, paths and credentials: what each kind takes and refuses."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.config import addresses, scalars
from gateway.config.interpolation import Interpolated
from gateway.web.settings import Address

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

TAKEN = [
    (addresses.address, "127.0.0.1:8080", Address("127.0.0.1", 8080)),
    (addresses.address, "[::1]:0", Address("::1", 0)),
    (addresses.address, "localhost:80", Address("localhost", 80)),
    (addresses.address_or_off, "off", None),
    (addresses.address_or_off, False, None),
    (addresses.address_or_off, "0.0.0.0:9", Address("0.0.0.0", 9)),
    (addresses.network, "10.0.0.0/8", ip_network("10.0.0.0/8")),
    (addresses.network, "::1", ip_network("::1/128")),
    (addresses.host_pattern, "Cloud.UiPath.com", "cloud.uipath.com"),
    (addresses.host_pattern, "*.uipath.com", "*.uipath.com"),
    (addresses.host_pattern, "localhost:8090", "localhost:8090"),
    (addresses.receiver_pattern, "10.0.0.0/8", "10.0.0.0/8"),
    (addresses.receiver_pattern, "10.0.0.1", "10.0.0.1/32"),
    (addresses.receiver_pattern, "*.example.com:8443", "*.example.com:8443"),
    (addresses.http_url, "https://h.example/base/", "https://h.example/base"),
    (addresses.http_url, "http://[::1]:80", "http://[::1]:80"),
    (addresses.upstream_url, "https://h/org/t/orchestrator_/", "https://h/org/t/orchestrator_"),
    (addresses.receiver_url, "https://h/x?y=1", "https://h/x?y=1"),
    (addresses.store_url, "redis://:pw@h:6379/0", "redis://:pw@h:6379/0"),
    (addresses.store_url, "unix:///run/redis.sock", "unix:///run/redis.sock"),
    (addresses.origin, "*", "*"),
    (addresses.origin, "https://app.example:8443", "https://app.example:8443"),
    (scalars.gateway_path, "/a/b%20c", "/a/b%20c"),
    (scalars.gateway_path, "/-x", "/-x"),
    (scalars.trigger_path, "/t/5f0c/slug/more", "/t/5f0c/slug/more"),
    (scalars.name, "a/b:c", "a/b:c"),
    (scalars.key_prefix, "team:callmode-1", "team:callmode-1"),
    (scalars.bearer, "rt_ABC.def-1", "rt_ABC.def-1"),
    (scalars.webhook_secret, SECRET, SECRET),
    (scalars.file_path, "~/x", Path.home() / "x"),
    (scalars.count, 7, 7),
    (scalars.count, Interpolated("7"), 7),
    (scalars.number, 0, 0),
    (scalars.workers, 4, 4),
    (scalars.workers, Interpolated("4"), 4),
    (scalars.workers, "auto", None),
]

REFUSED = [
    (addresses.address, "8080", "host:port"),
    (addresses.address, 8080, "host:port"),
    (addresses.address, ":8080", "host:port"),
    (addresses.address, "h:65536", "host:port"),
    (addresses.address, "::1:80", "host:port"),
    (addresses.address, "[h]:80", "host:port"),
    (addresses.address, "*.h:80", "host:port"),
    (addresses.address_or_off, "on", "or off"),
    (addresses.network, "10.1.0.0/8", "without host bits"),
    (addresses.network, 10, "network"),
    (scalars.workers, 0, "from 1, or auto"),
    (scalars.workers, "2", "from 1, or auto"),
    (addresses.host_pattern, "https://h", "without a scheme"),
    (addresses.host_pattern, "h/x", "without a scheme"),
    (addresses.host_pattern, "*", "domain"),
    (addresses.host_pattern, "a.*.b", "domain"),
    (addresses.receiver_pattern, "10.0.0.1/8", "or a network"),
    (addresses.http_url, "h.example", "absolute URL"),
    (addresses.http_url, "ftp://h", "absolute URL"),
    (addresses.http_url, "https://h:x", "absolute URL"),
    (addresses.http_url, "https://h:0", "absolute URL"),
    (addresses.http_url, "https://h /", "absolute URL"),
    (addresses.http_url, "https://[", "absolute URL"),
    (addresses.http_url, "https://h?x", "without query"),
    (addresses.http_url, "https://u:p@h", "user or a password"),
    (addresses.upstream_url, "https://h/orchestrator_/t/f/s", "must end with orchestrator_"),
    (addresses.store_url, "http://h", "redis://"),
    (addresses.store_url, "redis://", "redis://"),
    (addresses.store_url, "redis://[", "redis://"),
    (addresses.origin, "https://app.example/", "without a path"),
    (addresses.origin, "https://App.example", "lower case"),
    (addresses.origin, "app.example", "origin"),
    (scalars.gateway_path, "invoices", "such as /invoices"),
    (scalars.gateway_path, "/", "such as /invoices"),
    (scalars.gateway_path, "/a//b", "empty segment"),
    (scalars.gateway_path, "/a?b", "query"),
    (scalars.gateway_path, "/a b", "percent-encoded"),
    (scalars.gateway_path, "/a/%2e%2E/b", r"`\.\.`"),
    (scalars.gateway_path, "/a%2fb", "encoded slashes"),
    (scalars.gateway_path, "/-/jobs", "gateway's own"),
    (scalars.gateway_path, "/%2d/jobs", "gateway's own"),
    (scalars.trigger_path, "/t/slug", "/t/<folder>/<slug>"),
    (scalars.trigger_path, "/x/f/s", "/t/<folder>/<slug>"),
    (scalars.name, "a b", "without spaces"),
    (scalars.key_prefix, "{x}", "letters, digits"),
    (scalars.bearer, "Bearer abc", "without `Bearer`"),
    (scalars.bearer, "a b", "visible ASCII"),
    (scalars.bearer, "é", "visible ASCII"),
    (scalars.bearer, "", "must not be empty"),
    (scalars.webhook_secret, "abc", "whsec_"),
    (scalars.webhook_secret, "whsec_YQ==", "24 to 64"),
    (scalars.webhook_secret, "whsec_é", "whsec_"),
    (scalars.text, 7, "put it in quotes"),
    (scalars.text, True, "put it in quotes"),
    (scalars.text, [], "must be text"),
    (scalars.count, 0, "from 1"),
    (scalars.count, "7", "from 1"),
    (scalars.count, True, "from 1"),
    (scalars.count, 1.0, "from 1"),
    (scalars.number, -1, "from 0"),
]


@pytest.mark.parametrize(("parse", "value", "meaning"), TAKEN)
def test_taken(parse, value, meaning):
    """What is right is read as the settings hold it."""
    assert parse(value) == meaning


@pytest.mark.parametrize(("parse", "value", "message"), REFUSED)
def test_refused(parse, value, message):
    """What is wrong is refused with what would be right."""
    with pytest.raises(ValueError, match=message):
        parse(value)
