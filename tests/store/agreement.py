"""What a picture of the store must look like: as the model says, and besides as holds whatever any model says."""

from __future__ import annotations

from gateway.core.delivery import DeliveryState
from gateway.core.ids import partition_of
from gateway.store.codec import encode
from gateway.store.keys import Keys
from tests.store.model import Model
from tests.store.picture import TOLERANCE, Picture

_FIELDS = ("rec", "rev", "fol", "start", "cred", "cancel", "verdict", "shares")


def _row(value: dict[bytes, bytes]) -> dict[str, bytes | None]:
    return {name: value.get(name.encode()) for name in _FIELDS}


def as_the_model_says(picture: Picture, model: Model, keys: Keys) -> None:
    """The same rows, keys, outcomes, tombstones, deliveries and leases are there, and no others."""
    rows = {name: _row(value) for name, value in picture.of("job").items()}
    assert rows == {
        name: {
            "rec": encode(row.job),
            "rev": str(row.job.revision).encode(),
            "fol": None if row.follower is None else row.follower.encode(),
            "start": row.start,
            "cred": row.credential,
            "cancel": b"1" if row.cancel else None,
            "verdict": None if row.verdict is None else encode(row.verdict),
            "shares": str(row.shares).encode() if row.shares else None,
        }
        for name, row in model.rows.items()
    }
    held = {name: (value[b"id"].decode(), value[b"print"].decode()) for name, value in picture.of("key").items()}
    assert held == {name: (key.job_id, key.fingerprint) for name, key in model.keys.items()}
    for kind, kept in (("body", model.bodies), ("tomb", model.tombs)):
        assert picture.of(kind) == {name: each.value for name, each in kept.items()}
    letters = {name: (value[b"rec"], value.get(b"fol")) for name, value in picture.of("delivery").items()}
    assert letters == {
        name: (encode(letter.delivery), None if letter.follower is None else letter.follower.encode())
        for name, letter in model.letters.items()
    }
    replicas = picture.values.get(keys.replicas, {})
    assert {name.decode(): until for name, until in replicas.items()} == model.leases


def kept_as_long(picture: Picture, model: Model) -> None:
    """Each for the time that the model says."""
    for kind, kept in (
        *(("job", model.rows), ("key", model.keys), ("body", model.bodies), ("tomb", model.tombs)),
        ("delivery", model.letters),
    ):
        for name, left in picture.left_of(kind).items():
            assert abs(kept[name].until - model.now - left) < TOLERANCE, f"{kind} {name} is kept for {left}"


def nothing_stays_forever(picture: Picture) -> None:
    """Every key has a time to live."""
    assert all(left > 0 for left in picture.left.values()), picture.left


def each_live_row_has_one_follower(picture: Picture, model: Model, keys: Keys, disturbed: set[str]) -> None:
    """A row is in its follower's set and in no other, unless it is one of the `disturbed`; the set lives as long."""
    sets = {key: members for key, members in picture.values.items() if ":followed:" in key}
    for kind in ("job", "delivery"):
        left = picture.left_of(kind)
        for row_id in picture.of(kind):
            following = [key for key, members in sets.items() if row_id.encode() in members]
            follower = _follower_of(model, row_id)
            if follower is not None:
                own = keys.followed(partition_of(row_id), follower)
                assert own in following, f"{row_id} cannot be taken over from {follower}"
                assert picture.left[own] > left[row_id] - TOLERANCE, "the set is gone before its row"
                following.remove(own)
            assert row_id in disturbed or not following, f"{row_id} is followed by {following} as well"


def _follower_of(model: Model, row_id: str) -> str | None:
    if row_id in model.rows:
        return model.rows[row_id].follower
    letter = model.letters[row_id]
    return letter.follower if letter.delivery.state is DeliveryState.PENDING else None
