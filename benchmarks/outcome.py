"""The outcome of a job, as `native/wire.h` makes it: for peers that make or check one."""

import re

BLOCKS = "abcdefghijkl"
_PRIME, _BASIS, _MASK = 0x100000001B3, 0xCBF29CE484222325, 0xFFFF_FFFF_FFFF_FFFF
_NUMBERS = re.compile(rb'\{"id":"([0-9]{10})","ended":"([0-9]{20})"')


class WrongAnswerError(Exception):
    """An answer that is not the one asked for."""


def outcome_of(job: int, ended: int) -> bytes:
    """Return the outcome of a job that ended at `ended` (nanoseconds, monotonic clock)."""
    head = f'{{"id":"{job:010d}","ended":"{ended:020d}","padding":"'.encode()
    hashed = _fnv1a(_BASIS, head)
    return head + "".join(f"{_fnv1a(hashed, letter.encode()):016x}" for letter in BLOCKS).encode() + b'"}'


def ended_at(job: int, body: bytes) -> int:
    """Return when a job ended, from its outcome. Raises `WrongAnswerError` unless it is, byte for byte, that job's."""
    found = _NUMBERS.match(body)
    if found is None or body != outcome_of(job, int(found[2])):
        raise WrongAnswerError(f"job {job}: {body[:500]!r}")
    return int(found[2])


def _fnv1a(hashed: int, data: bytes) -> int:
    for byte in data:
        hashed = (hashed ^ byte) * _PRIME & _MASK
    return hashed


def duration_of(job: int, least: int, most: int) -> int:
    """Return how long a job runs, from `least` to `most` milliseconds; the load generator says the same of it."""
    return least + _fnv1a(_BASIS, job.to_bytes(4, "little")) % (most - least + 1)
