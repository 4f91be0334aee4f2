"""Who calls: reading the credential, and telling callers apart by it."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.keyring import Keyring
from gateway.auth.principal import ANONYMOUS, anonymous, bearer_of, identify
from gateway.core.errors import CredentialMissing

RING = Keyring([("key", bytes(range(32)))])


def encoded(data: bytes) -> str:
    """Return `data` as a JWT's part."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def jwt(claims, signature="c2ln") -> str:
    """Return a JWT with `claims`; nobody checks its signature."""
    return f"{encoded(b'{}')}.{encoded(json.dumps(claims).encode())}.{signature}"


ALICE = {"iss": "https://cloud.uipath.com/identity_", "sub": "alice"}

# --- the Authorization field ---


@pytest.mark.parametrize(
    ("field", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER abc", "abc"),
        ("Bearer   abc", "abc"),
        ("  Bearer abc  ", "abc"),
        ("Bearer rt_A-B.c~d+e/f==", "rt_A-B.c~d+e/f=="),
        (f"Bearer {'a' * 16_384}", "a" * 16_384),
    ],
)
def test_a_bearer_is_read(field, token):
    """RFC 6750 2.1; the scheme in any case (RFC 9110 11.1)."""
    assert bearer_of(field) == token


@pytest.mark.parametrize(
    "field",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic abc",
        "abc",
        "Bearerabc",
        "Bearer\tabc",
        "Bearer a b",
        "Bearer a\tb",
        "Bearer a\r\nX: y",
        "Bearer a\x00b",
        "Bearer \xe4",
        "Bearer \ud800",
        f"Bearer {'a' * 16_385}",
    ],
)
def test_what_is_no_bearer(field):
    """Another scheme, no token, more than one, or one that could not go into a header again."""
    assert bearer_of(field) is None


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_field_is_a_bearer_or_none(field):
    """What is read can be sent on: visible ASCII in one word."""
    for value in (field, f"Bearer {field}"):
        token = bearer_of(value)
        assert token is None or (token and all("!" <= character <= "~" for character in token))


# --- who it is ---


def test_nobody_needs_a_credential():
    """Without one, the caller is asked for it."""
    with pytest.raises(CredentialMissing):
        identify(None, RING)


def test_everybody_is_one_under_the_gateways_credential():
    """No secret, one principal."""
    assert anonymous(RING) == anonymous(RING)
    assert (anonymous(RING).principal, anonymous(RING).bearer) == (ANONYMOUS, None)


def test_a_refreshed_token_is_the_same_principal():
    """Issuer and subject make the principal; the token is another."""
    first, second = (identify(jwt(ALICE | {"exp": exp}, sig), RING) for exp, sig in ((1, "YQ"), (2, "Yg")))
    assert first.principal == second.principal
    assert first.token != second.token
    assert first.bearer != second.bearer


def test_issuers_and_subjects_are_told_apart():
    """The same subject of another issuer is somebody else; so is what the two spell together."""
    claims = [
        ALICE,
        ALICE | {"sub": "bob"},
        ALICE | {"iss": "other"},
        {"iss": "ab", "sub": "c"},
        {"iss": "a", "sub": "bc"},
    ]
    assert len({identify(jwt(one), RING).principal for one in claims}) == len(claims)


def test_an_opaque_token_is_its_own_principal():
    """The same token is the same caller, another one another."""
    first, again, other = (identify(token, RING) for token in ("rt_abc", "rt_abc", "rt_abd"))
    assert first == again
    assert first.principal == first.token
    assert len({first.principal, other.principal}) == 2


def test_no_claim_makes_an_opaque_tokens_principal():
    """A JWT cannot be made to be the one who holds another token."""
    victim = identify("rt_abc", RING)
    forged = identify(jwt({"iss": "token", "sub": "rt_abc"}), RING)
    assert forged.principal != victim.principal


def test_hashes_hide_the_credential():
    """Neither token nor claims can be read off what is stored."""
    caller = identify(jwt(ALICE), RING)
    for digest in (caller.principal, caller.token):
        assert len(digest) == 64
        assert int(digest, 16) >= 0
    assert identify(jwt(ALICE), Keyring([("key", bytes(32))])).principal != caller.principal


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"iss"',
        b"{}",
        b'{"iss":"a"}',
        b'{"sub":"a"}',
        b'{"iss":"a","sub":""}',
        b'{"iss":"a","sub":7}',
        b'{"iss":["a"],"sub":"b"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"iss":"a","sub":"b","exp":' + b"9" * 5_000 + b"}",
    ],
)
def test_a_jwt_that_claims_nothing_is_an_opaque_token(payload):
    """Malformed, or without a usable issuer and subject: the token itself is the principal."""
    caller = identify(f"e30.{encoded(payload)}.c2ln", RING)
    assert caller.principal == caller.token


@pytest.mark.parametrize("token", ["a.b", "a.b.c.d.e", "..", "a.!.c", "a.e30", "."])
def test_what_only_looks_like_a_jwt(token):
    """Two parts, five (an encrypted one), or none to speak of."""
    caller = identify(token, RING)
    assert caller.principal == caller.token


def test_a_lone_surrogate_in_a_claim():
    """JSON can spell what UTF-8 cannot."""
    caller = identify(jwt(ALICE | {"sub": "\ud800"}), RING)
    assert caller.principal != caller.token


@given(st.text(st.characters(codec=None, exclude_categories=())), st.binary(max_size=60))
def test_no_token_raises(text, payload):
    """Whatever is between the dots."""
    for token in (text, f"a.{text}.c", f"a.{encoded(payload)}.c"):
        assert len(identify(token, RING).principal) == 64


@pytest.mark.parametrize("bearer", ["opaque", jwt(ALICE)])
def test_a_caller_is_recognised_after_a_rotation(bearer):
    """Records name principal and token as the key of their time hashed them."""
    rotated = Keyring([("new", bytes(range(32, 64))), ("key", bytes(range(32)))])
    before, after = identify(bearer, RING), identify(bearer, rotated)
    assert (before.principal, before.token) != (after.principal, after.token)
    assert after.former == ((before.principal, before.token),)
    assert after.is_principal(before.principal)
    assert after.has_token(before.token)
    assert after.is_principal(after.principal)
    assert after.has_token(after.token)
    other = identify("another", RING)
    assert not after.is_principal(other.principal)
    assert not after.has_token(other.token)


def test_a_subject_outlives_the_keyring_and_the_token():
    """The same person has the same one under any ring and after a refresh; it is never the token itself."""
    other = Keyring([("other", bytes(range(1, 33)))])
    subjects = {identify(jwt(ALICE | {"jti": ring is RING}), ring).subject for ring in (RING, other)}
    assert len(subjects) == 1
    opaque = identify("an opaque token", RING).subject
    assert opaque not in {"", "an opaque token", identify("another", RING).subject}
    assert anonymous(RING).subject == ANONYMOUS
