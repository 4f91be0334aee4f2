"""Sealed values open for their job and their purpose, and for nothing else."""

from __future__ import annotations

from gateway.auth.keyring import generate, parse
from gateway.core.start import StartRequest
from gateway.worker.vault import Vault

START = StartRequest("POST", "https://o.example/t/a?b=%2F", (("X-A", "\xe9"), ("X-A", "2")), b"\x00\xff{}")


def test_a_start_comes_back_as_it_was():
    """Byte for byte, fields in order; and nothing of it can be read from the seal."""
    vault = Vault(parse(generate()))
    sealed = vault.seal_start("03abc", START)
    assert vault.open_start("03abc", sealed) == START
    assert b"o.example" not in sealed


def test_a_credential_comes_back_as_it_was():
    """Sealed twice, it looks different twice."""
    vault = Vault(parse(generate()))
    one, other = vault.seal_credential("03abc", "secret"), vault.seal_credential("03abc", "secret")
    assert one != other
    assert b"secret" not in one + other
    assert vault.open_credential("03abc", one) == vault.open_credential("03abc", other) == "secret"


def test_seals_are_bound():
    """To the job, to the purpose, and to the keyring."""
    vault = Vault(parse(generate()))
    credential, start = vault.seal_credential("03abc", "secret"), vault.seal_start("03abc", START)
    assert vault.open_credential("03abd", credential) is None
    assert vault.open_credential("03abc", start) is None
    assert vault.open_start("03abc", credential) is None
    assert Vault(parse(generate())).open_start("03abc", start) is None
    assert vault.open_start("03abc", b"") is None


def test_a_rotated_keyring_opens_what_the_old_one_sealed():
    """A new key on top seals; the old one opens until its line is dropped."""
    old, new = generate(), generate()
    sealed = Vault(parse(old)).seal_credential("03abc", "secret")
    assert Vault(parse(new + old)).open_credential("03abc", sealed) == "secret"
    assert Vault(parse(new)).open_credential("03abc", sealed) is None
    fresh = Vault(parse(new + old)).seal_credential("03abc", "secret")
    assert Vault(parse(new)).open_credential("03abc", fresh) == "secret"
