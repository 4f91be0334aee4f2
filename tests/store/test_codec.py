"""Records as bytes: what is written is read, and nothing else is."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.delivery import Attempt
from gateway.core.job import SCHEMA, Job, Leg, LegKind, OutcomeHead, Progress, State
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.store.codec import Unreadable, decode_delivery, decode_job, encode
from tests.store.rows import delivery_of, job

FULL = job(
    state=State.SUCCEEDED,
    mode=CallerMode.CALLBACK,
    observed=UpstreamMode.LONG_POLL,
    leg=Leg(LegKind.HOLD, "https://host/%2F?a=%20"),
    outcome=OutcomeHead(201, (("X-Latin", "\xe9\xff"), ("x-latin", "again")), 3, None),
    progress=Progress(read_at=5, trouble="time-out"),
    message="\N{SNOWMAN}",
    cancel_requested=True,
)


@pytest.mark.parametrize("record", [job(), FULL], ids=["fresh", "full"])
def test_a_job_comes_back_as_it_was(record):
    """Every field, with its type."""
    assert decode_job(encode(record)) == record


def test_a_delivery_comes_back_as_it_was():
    """Attempts included."""
    delivery = delivery_of(FULL).after(Attempt(at=5, took=7, status=500, answer="no"))
    assert decode_delivery(encode(delivery)) == delivery


def test_fields_of_a_later_version_are_passed_over():
    """A field that was added since does not make a record unreadable."""
    fields = msgspec.msgpack.decode(encode(FULL)) | {"added_since": [1, {"a": None}]}
    assert decode_job(msgspec.msgpack.encode(fields)) == FULL


def test_a_later_schema_is_left_alone():
    """A record that says it means something else is not read by guessing."""
    with pytest.raises(Unreadable, match="newer"):
        decode_job(encode(FULL.with_(schema=SCHEMA + 1)))


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", encode(FULL)[:-1], b"\x81\xa2id\xa2\xff\xfe", b"\x81\xa1x" + b"\x91" * 100_000 + b"\xc0", b"\xc0"],
    ids=["empty", "reserved", "cut", "not UTF-8", "deep", "nil"],
)
@pytest.mark.parametrize("decode", [decode_job, decode_delivery])
def test_what_is_no_record_is_unreadable(decode, data):
    """One error for every way of being broken."""
    with pytest.raises(Unreadable):
        decode(data)


@given(st.binary(max_size=200))
def test_random_bytes_are_unreadable(data):
    """No bytes raise anything else."""
    for decode in (decode_job, decode_delivery):
        with pytest.raises(Unreadable):
            decode(data)


@given(position=st.integers(min_value=0), byte=st.integers(0, 255))
def test_a_damaged_record_raises_nothing_but_unreadable(position, byte):
    """A flipped byte gives a job or `Unreadable`."""
    data = bytearray(encode(FULL))
    data[position % len(data)] = byte
    try:
        assert isinstance(decode_job(bytes(data)), Job)
    except Unreadable:
        assert bytes(data) != encode(FULL)
