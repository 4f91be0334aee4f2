"""I6, I9: nothing of one caller reaches another; what must stay secret is nowhere in plain."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.chaos.history import Complete
from tests.chaos.view import View, Violation

_TAG = re.compile(r"call-\d+-\d+-[0-9a-f]{12}")
_TOKEN = re.compile(r"canary-[ab]-[0-9a-f]{32}")
NOBODY = "nobody"


def strangers(view: View) -> Iterator[Violation]:
    """To a stranger a job is as one that never was: the same status and the same bytes."""
    asked = [(invoke, complete) for invoke, complete in view.answered if invoke.road == "stranger"]
    unknown = next((_seen(complete) for invoke, complete in asked if invoke.call == NOBODY), None)
    for invoke, complete in asked:
        if complete.status != 404 or (unknown is not None and _seen(complete) != unknown):
            what = f"a stranger got {complete.status}: {complete.body[:120]}"
            yield Violation("I6 stranger", what, invoke.call, invoke.job)


def _seen(complete: Complete) -> tuple[object, ...]:
    return complete.status, complete.job, complete.body


def tags(view: View) -> Iterator[Violation]:
    """No answer holds the tag of another call, and none a token."""
    for invoke, complete in view.answered:
        said = complete.body + "".join(event.data for event in complete.events)
        if invoke.call != NOBODY and (others := set(_TAG.findall(said)) - {invoke.call}):
            yield Violation("I6 tag", f"{invoke.road} told of {sorted(others)}", invoke.call, complete.job)
        if _TOKEN.search(said):
            yield Violation("I9 token", f"{invoke.road} told a token", invoke.call, complete.job)


CHECKS = (strangers, tags)
