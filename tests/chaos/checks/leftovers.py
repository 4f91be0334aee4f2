"""I9, I10: what must not be left: keys without an end, rows that nobody follows, secrets, defects, processes."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.view import View, Violation


def nothing(view: View) -> Iterator[Violation]:
    """Whatever the run found where nothing should be."""
    for leftover in view.leftovers:
        yield Violation(f"I10 {leftover.what}", leftover.detail)


CHECKS = (nothing,)
