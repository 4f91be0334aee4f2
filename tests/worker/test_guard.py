"""Where callbacks may go: every way to write an address that leads inside, refused on the URL or at the connection."""

from __future__ import annotations

import ipaddress
import socket

import aiohttp
import pytest
from aiohttp import web

from gateway.worker.guard import Guard, Refused
from gateway.worker.settings import CallbackSettings

NAMED = Guard(CallbackSettings(allow=("hooks.example", "*.caller.example", "ports.example:8443", "10.1.0.0/16")))
INSECURE = Guard(CallbackSettings(allow=("hooks.example", "127.0.0.0/8"), insecure=True))


def test_callbacks_are_off_until_somebody_is_allowed():
    """And the refusal names the setting."""
    with pytest.raises(Refused, match=r"callbacks\.allow"):
        Guard(CallbackSettings()).check("https://hooks.example/")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/",
        "https://HOOKS.Example:444/a?b=c#d",
        "https://a.caller.example/",
        "https://a.b.caller.example/",
        "https://ports.example:8443/",
    ],
)
def test_hosts_allowed_by_name(url: str):
    """In any case of letters; with a port where the entry names one."""
    assert NAMED.check(url)


@pytest.mark.parametrize("url", ["https://10.1.2.3/", "https://any.example/", "https://hooks.example.evil.example/"])
def test_other_hosts_are_judged_by_their_address(url: str):
    """Where a network is allowed, a name may lead there; which address it has is seen at the connection."""
    assert not NAMED.check(url)


def test_a_default_port_is_a_port():
    """`host:443` allows https without a port."""
    assert Guard(CallbackSettings(allow=("hooks.example:443",))).check("https://hooks.example/")


def test_a_domain_with_a_port():
    """`*.domain:port` allows what is below the domain, on this port alone."""
    guard = Guard(CallbackSettings(allow=("*.caller.example:8443",)))
    assert guard.check("https://a.b.caller.example:8443/")
    for url in ("https://a.caller.example/", "https://caller.example:8443/", "https://a.caller.example:84/"):
        with pytest.raises(Refused, match=r"callbacks\.allow"):
            guard.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://caller.example/",  # *.caller.example is what is below it
        "https://evilcaller.example/",
        "https://ports.example/",
        "https://ports.example:8444/",
        "https://hooks.example./",
        "https://other.example/",
    ],
)
def test_names_that_are_not_allowed(url: str):
    """Nearly is not enough."""
    names_only = Guard(CallbackSettings(allow=("hooks.example", "*.caller.example", "ports.example:8443")))
    with pytest.raises(Refused, match=r"callbacks\.allow"):
        names_only.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example",
        "//hooks.example/",
        "http://hooks.example/",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "gopher://hooks.example/",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "https://user@hooks.example/",
        "https://user:password@hooks.example/",
        "https://:@hooks.example/",
        "https://hooks.example@evil.example/",
        "https://hooks.example:99999/",
        "https://hooks.example:x/",
        "https://[::1/",
        "https://hooks.example/a b",
        "https://hooks.example\\@evil.example/",
        "https://hooks.example/\r\nX: y",
        "https://hooks.example/\x00",
        "https://hööks.example/",
    ],
)
def test_urls_that_are_refused_as_they_stand(url: str):
    """Other schemes, users, and whatever two parsers could read in two ways."""
    with pytest.raises(Refused):
        NAMED.check(url)


def test_http_where_it_is_allowed():
    """`callbacks.insecure`, and no other scheme with it."""
    assert INSECURE.check("http://hooks.example/")
    with pytest.raises(Refused):
        INSECURE.check("ws://hooks.example/")


LITERALS = [
    "127.0.0.1",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1%25eth0]",
    "[fd00::1]",
    "[fec0::1]",
]


@pytest.mark.parametrize("host", LITERALS)
def test_literal_addresses_outside_the_allowed_networks(host: str):
    """Refused before anything is resolved."""
    with pytest.raises(Refused):
        NAMED.check(f"https://{host}/")


def info(address: str) -> tuple:
    """Return an address as `getaddrinfo` gives it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 443)


INSIDE = [
    *(literal.strip("[]").replace("%25", "%") for literal in LITERALS),
    "255.255.255.255",
    "224.0.0.1",
    "240.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "ff02::1",
    "::127.0.0.1",  # IPv4-compatible
    "::ffff:0:127.0.0.1",  # IPv4-translated
    "64:ff9b:1::7f00:1",  # local NAT64
    "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo of 127.0.0.1
    "2001:db8::1",
    "100::1",
    "4000::1",
]


@pytest.mark.parametrize("address", INSIDE)
def test_a_name_that_leads_inside(address: str):
    """However it is written: neither for an allowed name nor for any other is a socket made."""
    for connect in (NAMED.socket_for_named, NAMED.socket_for_network):
        with pytest.raises(Refused):
            connect(info(address))


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14", "2002:5db8:d70e::"]
)
def test_a_public_address(address: str):
    """Is for hosts that are allowed by name; for others only if a network says so."""
    NAMED.socket_for_named(info(address)).close()
    with pytest.raises(Refused):
        NAMED.socket_for_network(info(address))


@pytest.mark.parametrize("address", ["10.1.0.7", "::ffff:10.1.0.7", "64:ff9b::a01:7"])
def test_an_allowed_network(address: str):
    """Is allowed to whatever name leads there, and in every notation of the same address."""
    for connect in (NAMED.socket_for_named, NAMED.socket_for_network):
        connect(info(address)).close()


def test_a_network_of_ipv6():
    """Allowed networks may be of either family."""
    guard = Guard(CallbackSettings(allow=("fd00:1::/32",)))
    assert not guard.check("https://[fd00:1::7]/")
    guard.socket_for_network(info("fd00:1::7")).close()
    with pytest.raises(Refused):
        guard.socket_for_network(info("fd00:2::7"))


@pytest.fixture
async def receiver(aiohttp_server):
    """A server on loopback that counts who comes."""
    came = []

    async def hook(request: web.Request) -> web.Response:
        came.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", hook)
    server = await aiohttp_server(app)
    server.came = came
    return server


async def connect(guard: Guard, url: str) -> int:
    """Go to `url` as callbacks do; return the status."""
    factory = guard.socket_for_named if guard.check(url) else guard.socket_for_network
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=factory)) as session,
        session.post(url) as response,
    ):
        return response.status


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "0"])
async def test_real_connections_to_loopback_are_refused(receiver, host: str):
    """Odd notations are no URL to the client, or are judged by the address that the resolver makes of them."""
    guard = Guard(CallbackSettings(allow=("localhost", "10.0.0.0/8"), insecure=True))
    with pytest.raises((Refused, aiohttp.InvalidURL)):
        await connect(guard, f"http://{host}:{receiver.port}/")
    assert receiver.came == []


async def test_a_real_connection_to_an_allowed_network(receiver):
    """The same addresses, once their network is allowed."""
    guard = Guard(CallbackSettings(allow=("127.0.0.0/8", "::1/128"), insecure=True))
    assert await connect(guard, f"http://127.0.0.1:{receiver.port}/a") == 200
    assert await connect(guard, f"http://localhost:{receiver.port}/b") == 200
    assert receiver.came == ["/a", "/b"]


def test_every_private_network_of_ipv4_is_inside():
    """The list of the standard library, address by address at its edges."""
    for network in map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")):
        for address in (network[0], network[-1]):
            with pytest.raises(Refused):
                INSECURE.socket_for_named(info(str(address)))
