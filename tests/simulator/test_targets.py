"""Which part of the tenant a request target names."""

from __future__ import annotations

import pytest

from gateway.simulator.targets import Identity, Invocation, Resource, read_target


@pytest.mark.parametrize(
    ("target", "base", "slug"),
    [
        ("/t/folder/slug", "", "slug"),
        ("/t/slug", "", "slug"),
        ("/org/tenant/orchestrator_/t/folder/slug/deep/er?a=/t/b/c", "/org/tenant/orchestrator_", "slug"),
        ("/org/t/orchestrator_/t/folder/slug", "/org/t/orchestrator_", "slug"),
        ("/a/b/t/folder/s%20lug", "/a/b", "s%20lug"),
        ("/o/t/orchestrator_/t/folder/odata/Jobs", "/o/t/orchestrator_", "odata"),
        ("/t/odata/Jobs", "", "Jobs"),
    ],
)
def test_where_a_target_goes(target, base, slug):
    """The path before `/t/` is the base, the second segment after it the slug; escapes stay as they are."""
    invocation = read_target(target)
    assert isinstance(invocation, Invocation)
    assert (invocation.base, invocation.slug) == (base, slug)


@pytest.mark.parametrize("target", ["/", "/odata/Jobs", "/t", "/t/", "/x?y=/t/folder/slug"])
def test_what_is_no_trigger(target):
    """Without `/t/` and something after it, in the path, there is no trigger."""
    assert not isinstance(read_target(target), Invocation)


@pytest.mark.parametrize("base", ["", "/orchestrator_", "/acme/t/orchestrator_", "/t/prod/orchestrator_", "/a%20b/x"])
@pytest.mark.parametrize("path", ["odata/Jobs", "odata/Jobs(1)", "api/Status/Version"])
def test_what_is_an_api(base, path):
    """`odata` and `api` below any base path that is not a trigger's, decoded and without the query."""
    if base.startswith("/t/"):
        assert isinstance(read_target(f"{base}/{path}"), Invocation)
    else:
        assert read_target(f"{base}/{path.replace('(', '%28')}?$filter=a") == Resource(base, path)


@pytest.mark.parametrize(
    ("target", "base", "token"),
    [
        ("/acme/identity_/connect/token", "/acme/identity_", True),
        ("/identity/connect/token?x=1", "/identity", True),
        ("/identity_/.well-known/openid-configuration", "/identity_", False),
    ],
)
def test_what_is_the_identity_server(target, base, token):
    """The identity server's two endpoints, in the cloud and elsewhere."""
    assert read_target(target) == Identity(base, token)


@pytest.mark.parametrize("target", ["/identity/connect", "/identity/connect/tokens", "/odata/", "/api"])
def test_what_is_nothing(target):
    """What only looks like one of them is none."""
    assert read_target(target) is None
