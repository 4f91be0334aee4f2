"""Link signatures: this job, until then, by this keyring; anything else is no signature."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.keyring import Keyring
from gateway.auth.links import Signer
from gateway.core.ids import make_id

OLD, NEW = ("old", bytes(range(32))), ("new", bytes(range(32, 64)))
SIGNER = Signer(Keyring([OLD]))
JOB, OTHER = make_id(7, bytes(16)), make_id(7, bytes(15) + b"\1")
EXPIRES = 1_700_000_000_000
SIG = SIGNER.sign(JOB, EXPIRES)
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


@given(partition=st.integers(0, 255), random=st.binary(min_size=16, max_size=16), expires=st.integers(0, 2**50))
def test_a_signature_is_good_until_it_expires(partition, random, expires):
    """To the second: never earlier, less than a second later."""
    job = make_id(partition, random)
    sig = SIGNER.sign(job, expires)
    assert SIGNER.valid(job, sig, 0)
    assert SIGNER.valid(job, sig, expires)
    assert not SIGNER.valid(job, sig, expires + 1_000)


def test_a_signature_is_for_one_job():
    """It opens no other one's links."""
    assert SIGNER.valid(JOB, SIG, EXPIRES)
    assert not SIGNER.valid(OTHER, SIG, EXPIRES)


def test_a_signature_needs_no_quoting():
    """It goes into a query as it is."""
    assert set(SIG) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_a_later_expiry_needs_another_signature():
    """Nobody gives themselves more time."""
    later = SIGNER.sign(JOB, EXPIRES + 60_000).partition(".")[0]
    assert not SIGNER.valid(JOB, later + SIG[SIG.index(".") :], EXPIRES)


def test_another_keyring_does_not_sign_for_this_one():
    """Under another id, and under the same."""
    for key_id in ("new", "old"):
        forged = Signer(Keyring([(key_id, NEW[1])])).sign(JOB, EXPIRES)
        assert not SIGNER.valid(JOB, forged, EXPIRES)


def test_links_outlive_a_rotation_while_their_key_is_kept():
    """The old key verifies, the new one signs."""
    rotated = Signer(Keyring([NEW, OLD]))
    assert rotated.valid(JOB, SIG, EXPIRES)
    assert not SIGNER.valid(JOB, rotated.sign(JOB, EXPIRES), EXPIRES)
    assert not Signer(Keyring([NEW])).valid(JOB, SIG, EXPIRES)


@given(position=st.integers(0, len(SIG) - 1), character=st.characters())
def test_any_changed_character_breaks_it(position, character):
    """There is one way of writing a signature: no case, padding or other spelling of it."""
    changed = SIG[:position] + character + SIG[position + 1 :]
    assert SIGNER.valid(JOB, changed, EXPIRES) == (changed == SIG)


@pytest.mark.parametrize(
    "changed", [SIG[:-1], SIG + "=", SIG + "A", " " + SIG, "0" + SIG, SIG.upper(), SIG + ".", "+" + SIG]
)
def test_nothing_is_added_or_left_out(changed):
    """A signature is compared as text, whole."""
    assert not SIGNER.valid(JOB, changed, EXPIRES)


@given(job=ANY_TEXT, sig=ANY_TEXT)
def test_garbage_is_no_signature(job, sig):
    """Whatever a caller sends, lone surrogates included, is answered with no."""
    assert not SIGNER.valid(job, sig, 0)
    assert not SIGNER.valid(JOB, sig, 0)
    assert not SIGNER.valid(job, SIG, 0)


@given(expiry=ANY_TEXT, key=st.sampled_from(["old", "", "new"]), mac=ANY_TEXT)
def test_garbage_in_any_part_is_no_signature(expiry, key, mac):
    """A known key's id lets garbage no further."""
    assert not SIGNER.valid(JOB, f"{expiry}.{key}.{mac}", 0)


@pytest.mark.parametrize("expiry", ["", "-1", "1_0", "zzzzzzzzzzz", "\N{ARABIC-INDIC DIGIT ONE}", "1 "])
def test_an_expiry_that_is_none(expiry):
    """Not even with a mac that fits: what Python reads as a number is not all that we write as one."""
    from gateway.auth.links import _mac

    _, key = Keyring([OLD]).link_key()
    assert not SIGNER.valid(JOB, f"{expiry}.old.{_mac(key, JOB, expiry)}", 0)
