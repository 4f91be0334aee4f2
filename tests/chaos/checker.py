"""The checker: every invariant over one history. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tests.chaos.checks import answers, ends, leftovers, outcomes, privacy, starts, streams
from tests.chaos.history import Line
from tests.chaos.view import View, Violation

CHECKS = (
    *ends.CHECKS,
    *starts.CHECKS,
    *answers.CHECKS,
    *outcomes.CHECKS,
    *privacy.CHECKS,
    *streams.CHECKS,
    *leftovers.CHECKS,
)


def check(lines: Iterable[Line]) -> list[Violation]:
    """Return what is wrong with a history; nothing, where it shows what was promised."""
    view = View(lines)
    return [violation for each in CHECKS for violation in each(view)]
