"""The keyring: sealing what is stored, signing links, hashing what must not be known.

A keyring is text, one key a line, newest first: `id:base64 of 32 bytes`. The first key seals, signs and hashes for new
jobs; all of them open, verify and recognise, so a key is rotated by putting a new line on top and dropping the old one
when the jobs of its time are gone. Three subkeys are derived from each (HKDF, RFC 5869), so that no key serves two
purposes.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import secrets
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY_BYTES = 32
_NONCE_BYTES = 12
_ID = re.compile(r"[A-Za-z0-9_-]{1,16}", re.ASCII)


class KeyringError(Exception):
    """The keyring cannot be read. The message holds no key material."""


class SealBroken(Exception):  # noqa: N818 - a condition, not a defect
    """A sealed value was not made by this keyring for this job."""


class Mac:
    """HMAC-SHA256 under one key, which is made ready once: that costs more than what is hashed here."""

    def __init__(self, key: bytes) -> None:
        self._ready = HMAC(key, SHA256())

    def __call__(self, message: bytes) -> bytes:
        """Return the 32 bytes for `message`."""
        mac = self._ready.copy()
        mac.update(message)
        return mac.finalize()


class _Key:
    """One key of the ring, as its subkeys."""

    def __init__(self, key_id: str, secret: bytes) -> None:
        self.id = key_id
        self.seal = AESGCM(_derive(secret, b"seal"))
        self.link = Mac(_derive(secret, b"link"))
        self.hash = Mac(_derive(secret, b"hash"))


class Keyring:
    """Keys in order, newest first."""

    def __init__(self, keys: list[tuple[str, bytes]]) -> None:
        if not keys:
            raise KeyringError("the keyring has no key")
        self._keys = {key_id: _Key(key_id, secret) for key_id, secret in keys}
        self._ring = tuple(self._keys.values())
        self._first = self._ring[0]

    def __len__(self) -> int:
        return len(self._ring)

    def seal(self, plain: bytes, bound_to: str) -> bytes:
        """Return `plain` encrypted so that it opens only for `bound_to` (AES-256-GCM)."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._first.seal.encrypt(nonce, plain, bound_to.encode())
        return self._first.id.encode() + b":" + nonce + sealed

    def open(self, sealed: bytes, bound_to: str) -> bytes:
        """Return what was sealed for `bound_to`. Raises `SealBroken`."""
        key_id, _, rest = sealed.partition(b":")
        key = self._keys.get(key_id.decode("ascii", "replace"))
        if key is None:
            raise SealBroken("sealed by a key that is not in the keyring")
        try:
            return key.seal.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], bound_to.encode())
        except (InvalidTag, ValueError) as error:
            raise SealBroken("the sealed value does not belong here") from error

    def hash(self, purpose: str, *parts: str, age: int = 0) -> str:
        """Return a keyed hash of `parts` (64 hexadecimal digits), different for each `purpose`.

        `age`: which key of the ring, counted from the newest: what an older one hashed can only be compared.
        """
        message = b"".join(_framed(part) for part in (purpose, *parts))
        return self._ring[age].hash(message).hex()

    @property
    def marks(self) -> tuple[str, ...]:
        """What the store knows each key by: hashes that tell nothing of it."""
        return tuple(self.hash("mark", age=age) for age in range(len(self)))

    def link_key(self, key_id: str | None = None) -> tuple[str, Mac] | None:
        """Return a key's id and its subkey for links: the first key's, or the one named; None if there is no such."""
        key = self._first if key_id is None else self._keys.get(key_id)
        return None if key is None else (key.id, key.link)

    def derive(self, purpose: str, *parts: str, age: int = 0) -> bytes:
        """Return 32 bytes for one more `purpose`, and for these `parts` of it. `age`: as for `hash`."""
        message = b"".join(_framed(part) for part in ("derive", purpose, *parts))
        return self._ring[age].hash(message)


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"callmode " + purpose).derive(secret)


def _framed(part: str) -> bytes:
    """Length before content: no two lists of parts make the same message."""
    data = part.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(4, "big") + data


def parse(text: str) -> Keyring:
    """Return the keyring in `text`. Raises `KeyringError`, which names the line at fault."""
    keys: list[tuple[str, bytes]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key_id, _, encoded = line.strip().partition(":")
        try:
            secret = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if not _ID.fullmatch(key_id) or len(secret) != _KEY_BYTES:
            raise KeyringError(f"keyring line {number} is not `id:base64 of {_KEY_BYTES} bytes`")
        if key_id in dict(keys):
            raise KeyringError(f"keyring line {number} names a key that an earlier line has named")
        keys.append((key_id, secret))
    return Keyring(keys)


def generate() -> str:
    """Return the text of a new keyring with one key."""
    return f"{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}\n"


def load(path: Path) -> Keyring:
    """Return the keyring in the file at `path`. Raises `KeyringError`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KeyringError(f"the keyring file {path} cannot be read: {error.strerror}") from error
    # Bytes that are not UTF-8 are an error of their line, as any other.
    return parse(data.decode("utf-8", "replace"))


def load_or_create(path: Path) -> Keyring:
    """Return the keyring in the file at `path`, which is made, readable by its owner only, if it is not there.

    Raises `KeyringError`.
    """
    if not path.exists():
        try:
            _create(path, generate())
        except OSError as error:
            raise KeyringError(f"the keyring file {path} cannot be made: {error.strerror}") from error
    return load(path)


def _create(path: Path, text: str) -> None:
    """Put `text` into a new file at `path`, whole or not at all; a file that is there by now stays as it is."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # A file that is opened and then filled may be seen empty, by a second process or after a crash; a link never.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Make names in `directory` durable: records sealed by a key that a power cut took away could not be opened."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
