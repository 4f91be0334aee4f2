"""The keyring: what it seals opens here and nowhere else, and it gives nothing of itself away."""

from __future__ import annotations

import base64
import hmac
import os
import stat
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.keyring import Keyring, KeyringError, Mac, SealBroken, generate, load, load_or_create, parse

OLD, NEW = ("old", bytes(range(32))), ("new", bytes(range(32, 64)))
RING = Keyring([OLD])
ROTATED = Keyring([NEW, OLD])
SECRET = base64.b64encode(OLD[1]).decode()

# --- sealing ---


@given(plain=st.binary(max_size=300), job=st.text(alphabet="abc-_019", max_size=30))
def test_what_is_sealed_opens(plain, job):
    """For the job it was sealed for, byte for byte."""
    assert RING.open(RING.seal(plain, job), job) == plain


def test_a_seal_is_bound_to_its_job():
    """A sealed value that was moved to another job's record does not open."""
    with pytest.raises(SealBroken):
        RING.open(RING.seal(b"bearer", "job-1"), "job-2")


def test_the_same_value_never_seals_the_same():
    """Nobody sees that two jobs have one credential; and a nonce is never used twice."""
    assert len({RING.seal(b"bearer", "job") for _ in range(100)}) == 100


def test_a_sealed_value_does_not_show_its_content():
    """Neither as it is nor in base64."""
    sealed = RING.seal(b"Bearer secret-token", "job")
    assert b"secret" not in sealed
    assert base64.b64encode(b"secret") not in sealed


def test_any_changed_byte_breaks_the_seal():
    """Key id, nonce, content and tag alike."""
    sealed = RING.seal(b"bearer", "job")
    for position in range(len(sealed)):
        for flip in (0x01, 0x80, 0xFF):
            broken = bytearray(sealed)
            broken[position] ^= flip
            with pytest.raises(SealBroken):
                RING.open(bytes(broken), "job")


def test_any_cut_breaks_the_seal():
    """From either end, and anything added too."""
    sealed = RING.seal(b"bearer", "job")
    for length in range(len(sealed)):
        for cut in (sealed[:length], sealed[len(sealed) - length :]):
            with pytest.raises(SealBroken):
                RING.open(cut, "job")
    with pytest.raises(SealBroken):
        RING.open(sealed + b"\0", "job")


@given(st.binary(max_size=80), st.text(max_size=10))
def test_garbage_is_a_broken_seal(sealed, job):
    """No bytes raise anything else, with a known key's id in front or without."""
    for value in (sealed, b"old:" + sealed):
        with pytest.raises(SealBroken):
            RING.open(value, job)


# --- rotation ---


def test_after_a_rotation_old_seals_open_and_new_ones_use_the_new_key():
    """The new key is on top; the old one is there for the jobs of its time."""
    assert ROTATED.open(RING.seal(b"bearer", "job"), "job") == b"bearer"
    sealed = ROTATED.seal(b"bearer", "job")
    assert sealed.startswith(b"new:")
    assert Keyring([NEW]).open(sealed, "job") == b"bearer"
    with pytest.raises(SealBroken, match="not in the keyring"):
        RING.open(sealed, "job")


def test_a_key_under_another_keys_id_opens_nothing():
    """An id is a hint, not a proof."""
    sealed = RING.seal(b"bearer", "job").replace(b"old:", b"new:", 1)
    with pytest.raises(SealBroken):
        ROTATED.open(sealed, "job")


def test_link_keys_by_id():
    """The first key signs; any key verifies; an unknown one is None."""

    def signed(found):
        key_id, mac = found
        return key_id, mac(b"link")

    assert signed(ROTATED.link_key()) == signed(ROTATED.link_key("new"))
    assert signed(ROTATED.link_key("old")) == signed(RING.link_key()) != signed(ROTATED.link_key())
    assert ROTATED.link_key("other") is None
    assert ROTATED.link_key("") is None


# --- hashing ---


def test_a_hash_is_stable_and_keyed():
    """The same on every replica that has the key, another under another key."""
    first = RING.hash("token", "value")
    assert first == Keyring([OLD]).hash("token", "value")
    assert first != Keyring([NEW]).hash("token", "value")
    assert len(first) == 64
    assert int(first, 16) >= 0


@given(st.lists(st.text(max_size=6), min_size=1, max_size=4), st.lists(st.text(max_size=6), min_size=1, max_size=4))
def test_hashes_agree_only_on_equal_parts(first, second):
    """However the parts are cut: ("ab", "c") is not ("a", "bc")."""
    assert (RING.hash(*first) == RING.hash(*second)) == (first == second)


def test_lone_surrogates_are_hashed():
    """Text from a JWT's JSON may hold them."""
    assert RING.hash("principal", "\ud800") != RING.hash("principal", "?")


@given(st.binary(min_size=1, max_size=64), st.binary(max_size=200), st.binary(max_size=200))
def test_a_mac_is_hmac_sha256(key, first, second):
    """As the standard library has it (RFC 2104), one message after the other."""
    mac = Mac(key)
    assert [mac(first), mac(second)] == [hmac.digest(key, message, "sha256") for message in (first, second)]


def test_purposes_have_keys_of_their_own():
    """Nothing that is derived from a key equals anything else that is, or the key."""
    _, link = RING.link_key()
    derived = [link(b"\0\0\0\1a"), RING.derive("a"), RING.derive("b"), bytes.fromhex(RING.hash("a")), OLD[1]]
    assert len(set(derived)) == len(derived)
    assert RING.derive("a") == Keyring([OLD]).derive("a")
    assert len({RING.derive("a", "b"), RING.derive("ab"), RING.derive("a"), RING.derive("a", "b", "")}) == 4


def test_each_key_derives():
    """What was derived before a rotation is derived after it, one key further down."""
    ring = Keyring([("new", bytes(range(1, 33))), OLD])
    assert ring.derive("a", "b", age=1) == Keyring([OLD]).derive("a", "b")
    assert ring.derive("a", "b") != ring.derive("a", "b", age=1)


# --- text ---


def test_a_keyring_is_read():
    """Newest first; blank lines and comments are passed over."""
    text = f"# made in May\n\nnew:{base64.b64encode(NEW[1]).decode()}\r\n  old:{SECRET}  \n"
    assert parse(text).seal(b"", "job").startswith(b"new:")
    assert parse(text).open(RING.seal(b"bearer", "job"), "job") == b"bearer"


@pytest.mark.parametrize(
    "line",
    [
        SECRET,
        f":{SECRET}",
        f"old {SECRET}",
        f"two words:{SECRET}",
        f"{'i' * 17}:{SECRET}",
        f"sn\N{LATIN SMALL LETTER O WITH DIAERESIS}:{SECRET}",
        f"old:{SECRET[:-4]}",
        f"old:{SECRET}{SECRET}",
        f"old:{SECRET[:10]} {SECRET[10:]}",
        f"old:{SECRET[:10]}!{SECRET[11:]}",
        f"old:{SECRET[:10]}\N{SNOWMAN}{SECRET[11:]}",
        f"old: {SECRET}",
        "old:",
        "old",
    ],
)
def test_an_error_names_its_line_and_nothing_of_the_key(line):
    """Not in the message, and not in what it was raised from."""
    with pytest.raises(KeyringError, match="line 3 ") as caught:
        parse(f"# one\nnew:{base64.b64encode(NEW[1]).decode()}\n{line}\n")
    assert SECRET[:8] not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_key_is_named_once():
    """Two keys of one id could not be told apart."""
    with pytest.raises(KeyringError, match="line 2 names"):
        parse(f"old:{SECRET}\nold:{base64.b64encode(NEW[1]).decode()}")


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing but a comment"])
def test_a_keyring_has_a_key(text):
    """An empty one cannot seal."""
    with pytest.raises(KeyringError, match="no key"):
        parse(text)


@given(st.text(max_size=80))
def test_any_text_is_a_keyring_or_an_error(text):
    """Nothing else is raised."""
    with pytest.raises(KeyringError):
        parse(text)


def test_generated_keyrings_are_valid_and_differ():
    """Each has a key and an id of its own."""
    first, second = generate(), generate()
    assert parse(first).seal(b"", "job") != parse(second).seal(b"", "job")
    assert first.partition(":")[0] != second.partition(":")[0]
    with pytest.raises(SealBroken):
        parse(second).open(parse(first).seal(b"", "job"), "job")


# --- the file ---


def names(directory):
    """Return the names of all files in `directory`."""
    return [path.name for path in directory.iterdir()]


def test_a_keyring_file_is_made_for_its_owner_only(tmp_path):
    """Mode 0600 whatever the umask says, and nothing else is left in the directory."""
    before = os.umask(0)
    try:
        load_or_create(tmp_path / "keyring")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keyring").stat().st_mode) == 0o600
    assert names(tmp_path) == ["keyring"]


def test_a_keyring_file_that_is_not_there_is_told(tmp_path):
    """And where none can be made: the message names the file."""
    with pytest.raises(KeyringError, match="absent cannot be read: No such file"):
        load(tmp_path / "absent")
    with pytest.raises(KeyringError, match="keyring cannot be made: No such file"):
        load_or_create(tmp_path / "nowhere" / "keyring")


def test_a_keyring_file_is_made_once(tmp_path):
    """What was sealed before a restart opens after it."""
    path = tmp_path / "keyring"
    sealed = load_or_create(path).seal(b"bearer", "job")
    text = path.read_bytes()
    assert load_or_create(path).open(sealed, "job") == b"bearer"
    assert path.read_bytes() == text


def test_of_those_who_race_all_get_the_same_keyring(tmp_path):
    """Nobody reads a file that is not yet filled, and nobody replaces another's."""
    threads, hashes = 8, []

    def race(path, start):
        start.wait()
        hashes.append(load_or_create(path).hash("who"))

    for turn in range(20):
        path, start = tmp_path / str(turn) / "keyring", threading.Barrier(threads)
        path.parent.mkdir()
        racers = [threading.Thread(target=race, args=(path, start)) for _ in range(threads)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert hashes == [load_or_create(path).hash("who")] * threads
        assert names(path.parent) == ["keyring"]
        hashes.clear()


@pytest.mark.parametrize("content", [b"", b"old:\xff\xfe", b"\x00\x01", b"old:" + SECRET[:9].encode()])
def test_a_damaged_file_is_an_error_and_stays(tmp_path, content):
    """A new key in its place would make every stored job unreadable."""
    path = tmp_path / "keyring"
    path.write_bytes(content)
    with pytest.raises(KeyringError):
        load_or_create(path)
    assert path.read_bytes() == content
    assert names(tmp_path) == ["keyring"]


def test_older_keys_hash_as_they_did():
    """What a key hashed while it was the newest is recognised for as long as it is in the ring."""
    assert (len(RING), len(ROTATED)) == (1, 2)
    assert ROTATED.hash("principal", "ann", age=1) == RING.hash("principal", "ann")
    assert ROTATED.hash("principal", "ann") != RING.hash("principal", "ann")
