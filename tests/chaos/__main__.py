"""`python -m tests.chaos`: one run, its report, and exit status 1 where an invariant was violated."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.checker import check
from tests.chaos.history import read
from tests.chaos.report import summary, told
from tests.chaos.run import run
from tests.chaos.settings import Settings


def main() -> int:
    """Do what the command line says."""
    arguments = _parser().parse_args()
    if arguments.check is not None:
        lines = read(arguments.check)
        violations = check(lines)
        _say(summary(Settings(0, 0.0, arguments.check.parent), lines, violations))
        _say(told(lines, violations))
        return 1 if violations else 0
    directory = Path(tempfile.mkdtemp(prefix="callmode-chaos-"))
    settings = Settings(
        seed=arguments.seed,
        seconds=arguments.minutes * 60,
        directory=directory,
        rate=arguments.rate,
        unknown_ttl=arguments.unknown_ttl,
        patches=tuple(arguments.patch),
    )
    _say(f"seed {settings.seed}, history and logs in {directory}")
    lines = asyncio.run(run(settings))
    violations = check(lines)
    _say(summary(settings, lines, violations))
    if violations:
        _say(told(lines, violations))
        _say(f"\nreplay with --seed {settings.seed}; history and logs are kept in {directory}")
        return 1
    if not arguments.keep:
        shutil.rmtree(directory)
    return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this is a command line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long calls are made and faults done")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="decides plan and calls")
    parser.add_argument("--rate", type=float, default=6.0, help="calls a second")
    parser.add_argument("--unknown-ttl", type=float, default=30.0, help="seconds that a job in doubt waits")
    parser.add_argument("--patch", action="append", default=[], help="cripple the gateways: see failing_gateway")
    parser.add_argument("--keep", action="store_true", help="keep history and logs of a run without violations too")
    parser.add_argument("--check", type=Path, metavar="HISTORY", help="judge a history.jsonl again, and run nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
