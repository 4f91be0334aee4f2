"""Names of keys: one partition each, nothing of a caller's in them."""

from __future__ import annotations

import secrets

import pytest
from redis.crc import key_slot

from gateway.core.ids import PARTITIONS, make_id, partition_of
from gateway.store.keys import Keys

KEYS = Keys("callmode")


@pytest.mark.parametrize("partition", [0, 1, 0x7F, 0xFF])
def test_all_keys_of_a_job_share_a_slot(partition):
    """One script may touch everything of a job, on a cluster too."""
    job_id = make_id(partition, secrets.token_bytes(16))
    names = [
        KEYS.job(job_id),
        KEYS.body(job_id),
        KEYS.tombstone(job_id),
        KEYS.watchers(job_id),
        KEYS.delivery(make_id(partition, secrets.token_bytes(16))),
        KEYS.deliveries(job_id),
        KEYS.dead(partition, "failed"),
        KEYS.idempotency(partition_of(job_id), "ab" * 32),
        KEYS.followed(partition, "replica"),
    ]
    assert len(set(names)) == len(names)
    assert len({key_slot(name.encode()) for name in names}) == 1


@pytest.mark.parametrize("key", [None, "ab" * 32])
def test_what_a_script_touches_has_the_names_that_it_has_elsewhere(key: str | None):
    """They are made together, and read one by one."""
    job_id = make_id(0x2A, secrets.token_bytes(16))
    row, followed, tombstone = KEYS.job(job_id), KEYS.followed(0x2A, "replica"), KEYS.tombstone(job_id)
    own = [] if key is None else [KEYS.idempotency(0x2A, key)]
    assert KEYS.of_create(job_id, "replica", key) == [row, followed, tombstone, *own]
    assert KEYS.of_save(job_id, "replica", key) == [
        row, followed, KEYS.body(job_id), tombstone, KEYS.watchers(job_id), *(own or [row]), KEYS.deliveries(job_id),
    ]  # fmt: skip


def test_partitions_are_spread():
    """Partitions are not all in one slot."""
    slots = {key_slot(KEYS.followed(partition, "replica").encode()) for partition in range(PARTITIONS)}
    assert len(slots) > PARTITIONS * 0.9


def test_all_followed_names_every_partition_in_order():
    """Taking over looks at each partition once."""
    names = KEYS.all_followed("replica")
    assert len(set(names)) == PARTITIONS
    assert names[0x2A] == KEYS.followed(0x2A, "replica") == "callmode:{p2a}:followed:replica"


def test_tokens_lie_in_the_partition_of_their_hash():
    """A credential's key needs no job to be found."""
    assert KEYS.token("ff" + "0" * 62) == "callmode:{pff}:token:ff" + "0" * 62


def test_prefixes_are_apart():
    """Two gateways may share a server."""
    job_id = make_id(1, bytes(16))
    other = Keys("other")
    assert KEYS.job(job_id) != other.job(job_id)
    assert KEYS.replicas != other.replicas
    assert KEYS.wake != other.wake
