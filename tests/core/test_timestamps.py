import pytest

from gateway.core.timestamps import timestamp


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000_007, "2023-11-14T22:13:20.007Z"),
        (1_700_000_000_999, "2023-11-14T22:13:20.999Z"),
    ],
)
def test_a_time_is_told_to_the_millisecond(at, text):
    """With three digits, and `Z`."""
    assert timestamp(at) == text
