"""The names of all keys: one place, one shape, `prefix:{pNN}:kind:name`, where `{pNN}` is the partition's hash tag.

Names hold ids and keyed hashes only, so nothing that a caller sends becomes part of a key.
"""

from __future__ import annotations

from gateway.core.ids import PARTITIONS


class Keys:
    """Key names under one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.replicas = f"{prefix}:replicas"
        self.keyring = f"{prefix}:keyring"
        """A set: marks of the keys that records here were made under."""
        self.hints = f"{prefix}:hints"
        """The channel on which all replicas hear of hints."""
        self.leaving = f"{prefix}:leaving"
        """The channel on which they hear that one of them has gone."""
        self.wake = f"{prefix}:wake:"
        """Begin of a wake-up channel's name; the incarnation follows."""

    def _key(self, partition: int, kind: str, name: str) -> str:
        return f"{self._prefix}:{{p{partition:02x}}}:{kind}:{name}"

    def _row(self, row_id: str, kind: str, name: str) -> str:
        """Return the same in the partition that an id begins with, which need not be read as a number for that."""
        return f"{self._prefix}:{{p{row_id[:2]}}}:{kind}:{name}"

    def _begin(self, row_id: str) -> str:
        return f"{self._prefix}:{{p{row_id[:2]}}}"

    # Names are made some dozens of times a job, so those of the two scripts that every job needs are made together.

    def of_create(self, job_id: str, follower: str, key: str | None) -> list[str]:
        """What the creation of a job touches, in its script's order. `key`: its idempotency key."""
        begin = self._begin(job_id)
        names = [f"{begin}:job:{job_id}", f"{begin}:followed:{follower}", f"{begin}:tomb:{job_id}"]
        if key is not None:
            names.append(f"{begin}:key:{key}")
        return names

    def of_save(self, job_id: str, follower: str, key: str | None) -> list[str]:
        """The same for a save; a job without an idempotency key has its own row's name in that one's place."""
        begin = self._begin(job_id)
        row = f"{begin}:job:{job_id}"
        return [
            row,
            f"{begin}:followed:{follower}",
            f"{begin}:body:{job_id}",
            f"{begin}:tomb:{job_id}",
            f"{begin}:watch:{job_id}",
            row if key is None else f"{begin}:key:{key}",
            f"{begin}:deliveries:{job_id}",
        ]

    def job(self, job_id: str) -> str:
        """A hash: record, revision, follower, last operation, sealed start, sealed credential."""
        return self._row(job_id, "job", job_id)

    def job_prefix(self, job_id: str) -> str:
        """What the names of all such hashes in the job's partition begin with."""
        return self._row(job_id, "job", "")

    def join_prefix(self, job_id: str) -> str:
        """What the names of the marks in the job's partition begin with that calls leave which join a job."""
        return self._row(job_id, "join", "")

    def body(self, job_id: str) -> str:
        """The outcome's body."""
        return self._row(job_id, "body", job_id)

    def tombstone(self, job_id: str) -> str:
        """What remains when the record is gone: whose the job was."""
        return self._row(job_id, "tomb", job_id)

    def watchers(self, job_id: str) -> str:
        """The incarnations to wake when the job changes."""
        return self._row(job_id, "watch", job_id)

    def delivery(self, delivery_id: str) -> str:
        """A hash: record and revision of a callback delivery; its last follower, once its job has ended."""
        return self._row(delivery_id, "delivery", delivery_id)

    def delivery_prefix(self, job_id: str) -> str:
        """What the names of all such hashes in the job's partition begin with."""
        return self._row(job_id, "delivery", "")

    def deliveries(self, job_id: str) -> str:
        """A set: the deliveries of a job's outcome."""
        return self._row(job_id, "deliveries", job_id)

    def dead(self, partition: int, state: str) -> str:
        """A sorted set: the deliveries of a partition that were given up in `state`, by when that was."""
        return self._key(partition, "dead", state)

    def silent(self, receiver: str) -> str:
        """Present while a receiver is left alone. `receiver` is a hexadecimal hash."""
        return self._key(int(receiver[:2], 16), "silent", receiver)

    def idempotency(self, partition: int, key: str) -> str:
        """The job that an idempotency key belongs to; in the partition of that job."""
        return self._key(partition, "key", key)

    def followed(self, partition: int, incarnation: str) -> str:
        """The rows of a partition that an incarnation follows."""
        return self._key(partition, "followed", incarnation)

    def all_followed(self, incarnation: str) -> list[str]:
        """The same for every partition, in order."""
        return [self.followed(partition, incarnation) for partition in range(PARTITIONS)]

    def hint(self, event: str) -> str:
        """Present while an Orchestrator event is remembered. `event` is a hexadecimal hash."""
        return self._key(int(event[:2], 16), "hint", event)

    def token(self, token: str) -> str:
        """Present while the upstream's acceptance of a credential is remembered. `token` is a hexadecimal hash."""
        return self._key(int(token[:2], 16), "token", token)

    def durations(self, route: str) -> str:
        """How long a route's jobs take. `route` is a hexadecimal hash."""
        return self._key(int(route[:2], 16), "durations", route)

    def learned(self, route: str, operation: str) -> str:
        """Present while it is remembered that `operation` has counted jobs there."""
        return self._key(int(route[:2], 16), "learned", operation)
