"""Who the admin port takes for an operator."""

from __future__ import annotations

import pytest

from gateway.core.errors import OperatorsOnly
from gateway.web.operators import check_operator
from tests.web.support import Wire, made


def ask_from(peer: str, path: str) -> None:
    """Ask for `path` from `peer`."""
    check_operator(made("GET", path, {"Host": "127.0.0.1:9090"}, wire=Wire(peer=peer)))


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_an_operator_is_on_the_gateways_host(peer):
    """Or at the other end of a tunnel to it: nothing is raised."""
    ask_from(peer, "/-/jobs/x")


@pytest.mark.parametrize("peer", ["10.0.0.7", "fe80::1%eth0", "::ffff:10.0.0.7", "2001:db8::1"])
def test_whoever_comes_over_the_network_is_none(peer):
    """Though the port may listen there, for probes."""
    with pytest.raises(OperatorsOnly):
        ask_from(peer, "/-/callbacks/secret")
    ask_from(peer, "/healthz")
