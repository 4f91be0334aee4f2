"""The composition root: which keyring a gateway runs with."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.app.stores import keyring_of
from gateway.auth.keyring import KeyringError, generate, parse
from gateway.auth.settings import AuthSettings
from gateway.config import Config
from tests.support.rig import config, with_store

SHARED = with_store("redis://127.0.0.1:1/0")


def configured(auth: AuthSettings, **settings: object) -> Config:
    """Return a configuration whose keyring is where `auth` says."""
    return msgspec.structs.replace(config("http://127.0.0.1:1", **settings), auth=auth)


def test_the_embedded_stores_keyring_is_made_where_it_is_said_to_be(tmp_path: Path):
    """Once; a shared store's never is, since each replica would make its own."""
    auth = AuthSettings(keyring_file=tmp_path / "a keyring")
    with pytest.raises(KeyringError, match="a keyring cannot be read"):
        keyring_of(configured(auth, shared=SHARED))
    made = keyring_of(configured(auth))
    for again in (configured(auth), configured(auth, shared=SHARED)):
        assert keyring_of(again).hash("who") == made.hash("who")


def test_a_keyring_given_as_text():
    """Whatever the store."""
    text = generate()
    for settings in ({}, {"shared": SHARED}):
        assert keyring_of(configured(AuthSettings(keyring=text), **settings)).hash("who") == parse(text).hash("who")


def test_no_keyring():
    """Is an error that names the ways to give one."""
    with pytest.raises(KeyringError, match="keyring_file"):
        keyring_of(configured(AuthSettings(), shared=SHARED))
