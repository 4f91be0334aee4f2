"""Durations and sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.units import duration, positive, show_duration, show_size, size


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [("250ms", 250), ("2s", 2_000), ("15m", 900_000), ("24h", 86_400_000), ("3d", 259_200_000), ("0", 0), (0, 0)],
)
def test_durations_are_milliseconds(written, milliseconds):
    """Each unit is read; 0 needs none."""
    assert duration(written) == milliseconds


@pytest.mark.parametrize(
    "wrong", ["2", 2, 2.5, "1.5s", "-1s", "2 s", "1h30m", "s", "", True, False, 0.0, None, [], "\uff12s"]
)
def test_what_is_no_duration(wrong):
    """A number without a unit, fractions, signs, spaces and other types are refused with examples."""
    with pytest.raises(ValueError, match=r"must be a duration: .* 250ms"):
        duration(wrong)


def test_positive_refuses_nothing():
    """A duration that must be longer than 0 says so."""
    assert positive("1ms") == 1
    with pytest.raises(ValueError, match="longer than 0"):
        positive("0s")
    with pytest.raises(ValueError, match=r"or 15m$"):
        positive(5)


@pytest.mark.parametrize(
    ("written", "number"),
    [("1MiB", 1 << 20), ("64KiB", 65_536), ("2GiB", 2 << 30), ("7B", 7), (512, 512), ("512", 512)],
)
def test_sizes_are_bytes(written, number):
    """Each unit is read; a bare number is bytes."""
    assert size(written) == number


@pytest.mark.parametrize("wrong", ["1MB", "1 MiB", "0", 0, -1, True, 1.5, "", None, "MiB"])
def test_what_is_no_size(wrong):
    """Decimal units, nothing at all and other types are refused with examples."""
    with pytest.raises(ValueError, match=r"must be a size: .* 64KiB"):
        size(wrong)


@given(st.integers(0, 10**10))
def test_shown_durations_read_back(milliseconds):
    """What is shown means what it was made from."""
    assert duration(show_duration(milliseconds)) == milliseconds


@given(st.integers(1, 10**12))
def test_shown_sizes_read_back(number):
    """What is shown means what it was made from."""
    assert size(show_size(number)) == number
