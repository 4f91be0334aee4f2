"""Ids, and the partition that each names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ids import PARTITIONS, is_id, make_id, partition_of


@given(st.integers(0, PARTITIONS - 1), st.binary(min_size=16, max_size=16))
def test_an_id_has_its_form_and_names_its_partition(partition: int, random: bytes):
    """Whatever the random bytes are."""
    row_id = make_id(partition, random)
    assert is_id(row_id)
    assert len(row_id) == 24
    assert partition_of(row_id) == partition


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_all_128_bits_are_in_it(one: bytes, other: bytes):
    """Two ids are equal only if their random bytes are."""
    assert (make_id(7, one) == make_id(7, other)) == (one == other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "07" + "A" * 21,
        "07" + "A" * 23,
        "0G" + "A" * 22,
        "0A" + "A" * 22,
        "07" + "A" * 21 + "=",
        "07" + "A" * 21 + "/",
        "07" + "A" * 22 + "\n",
        "\u0660\u0667" + "A" * 22,
    ],
)
def test_what_is_no_id(text: str):
    """Lengths, alphabets, and nothing before or behind it."""
    assert not is_id(text)
