"""What the port says of failures."""

from __future__ import annotations

from gateway.store.port import StoreDown


def test_a_failure_that_says_no_more_leaves_open_whether_the_command_ran():
    """Whoever forgets to say takes the careful side."""
    assert StoreDown("nobody there").perhaps
    assert not StoreDown("nobody there", perhaps=False).perhaps
