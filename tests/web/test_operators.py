"""Who the admin port takes for an operator."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.core.errors import OperatorsOnly
from gateway.web.operators import check_operator


async def asked_from(peer: str, path: str) -> str:
    """Ask for `path` from `peer`; return what is answered."""

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(text="done")

    request = make_mocked_request("GET", path, headers={"Host": "127.0.0.1:9090"}).clone(remote=peer)
    response = await check_operator(request, handler)
    assert isinstance(response, web.Response)
    return response.text


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_an_operator_is_on_the_gateways_host(peer):
    """Or at the other end of a tunnel to it."""
    assert await asked_from(peer, "/-/jobs/x") == "done"


@pytest.mark.parametrize("peer", ["10.0.0.7", "fe80::1%eth0", "::ffff:10.0.0.7", "2001:db8::1"])
async def test_whoever_comes_over_the_network_is_none(peer):
    """Though the port may listen there, for probes."""
    with pytest.raises(OperatorsOnly):
        await asked_from(peer, "/-/callbacks/secret")
    assert await asked_from(peer, "/healthz") == "done"
