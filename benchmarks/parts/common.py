"""What the parts share: their sizes, what they return, and running one alone."""

from __future__ import annotations

import argparse
import contextlib
import enum
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.native import Upstream, WrongAnswersError
from benchmarks.targets import Finding


class Size(enum.StrEnum):
    """How much is measured."""

    FULL = "full"
    QUICK = "quick"
    """Less than half a minute a part: for seeing what a change did."""
    SMOKE = "smoke"
    """A few calls: whether it works at all; the figures mean nothing."""


@dataclass
class Part:
    """What a part found."""

    name: str
    figures: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """What could not be measured here, and why."""


@contextlib.contextmanager
def exactly_once(upstream: Upstream, jobs: int) -> Iterator[dict[str, int]]:
    """Check that the block starts so many jobs, none of them twice; give what it asked of the upstream, at its end."""
    asked: dict[str, int] = {}
    before = upstream.counts()
    yield asked
    after = upstream.counts()
    asked |= {name: after[name] - before[name] for name in after}
    if asked["starts"] != jobs or asked["twice"] or asked["refused"]:
        raise WrongAnswersError(f"{jobs} jobs were asked for, and the upstream counted {asked}")


def alone(run: Callable[[Size, Path], Part]) -> None:
    """Run one part and print its table: what `python -m benchmarks.parts.NAME` does."""
    from benchmarks.report import part_table

    parser = argparse.ArgumentParser(description=run.__doc__)
    parser.add_argument("--size", type=Size, choices=list(Size), default=Size.FULL)
    parser.add_argument("--quick", dest="size", action="store_const", const=Size.QUICK)
    with tempfile.TemporaryDirectory() as directory:
        print(part_table(run(parser.parse_args().size, Path(directory))))
