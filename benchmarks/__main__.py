"""`python -m benchmarks [PART...]`: run the parts, write their figures, say which targets were met.

Exits with 1 if anything answered wrongly or did not run at all, and with `--strict` also where a target was missed.
A full run writes to benchmarks/results and into docs/benchmarks.md; smaller ones only where `--output` says.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from benchmarks import plots
from benchmarks.native import WrongAnswersError
from benchmarks.outcome import WrongAnswerError
from benchmarks.parts.common import Part, Size
from benchmarks.processes import HERE
from benchmarks.report import document, machine, part_table, replace_between, targets_table, write_json

PARTS = ("passthrough", "redis_client", "whole_job", "workers", "parked", "delay", "polling", "recovery", "crowd")
RESULTS = HERE / "results"
DOCUMENT = HERE.parent / "docs" / "benchmarks.md"


def main() -> int:
    """Run what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all of them by default")
    parser.add_argument("--size", type=Size, choices=list(Size), default=Size.FULL)
    parser.add_argument("--quick", dest="size", action="store_const", const=Size.QUICK, help="half a minute a part")
    parser.add_argument("--strict", action="store_true", help="fail where a target is missed")
    parser.add_argument("--output", type=Path, help="where figures and pictures go")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    output = options.output or (RESULTS if options.size is Size.FULL else None)
    named = [name for name in PARTS if name in options.parts or not options.parts]
    parts, documents = _run(named, options.size, output)
    print(f"{_summary(parts)}\n")
    failed = [name for name in named if name not in documents]
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    if output is not None:
        _write(parts, documents, output, whole=not options.parts and not failed)
    missed = [each for part in parts for each in part.findings if not each.met]
    return 1 if failed or (options.strict and missed) else 0


def _run(names: list[str], size: Size, output: Path | None) -> tuple[list[Part], dict[str, dict[str, Any]]]:
    """Run parts one after the other, each in a directory of its own; one that fails does not keep others from it."""
    parts, documents = [], {}
    for name in names:
        begun = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as directory:
                part: Part = importlib.import_module(f"benchmarks.parts.{name}").run(size, Path(directory))
        except (WrongAnswersError, WrongAnswerError) as wrong:
            print(f"### {name}\n\nA WRONG ANSWER: {wrong}\n", flush=True)
        except Exception:  # noqa: BLE001 - whatever ended a part, the others are run and told of
            print(f"### {name}\n\n{traceback.format_exc()}", flush=True)
        else:
            seconds = time.monotonic() - begun
            parts.append(part)
            documents[name] = document(part, size, seconds)
            print(f"{part_table(part)}\n({seconds:.0f} s)\n", flush=True)
            if output is not None:
                write_json(output / f"{name}.json", documents[name])
    return parts, documents


def _summary(parts: list[Part]) -> str:
    return "\n".join(targets_table(each for part in parts for each in part.findings))


def _write(parts: list[Part], documents: dict[str, dict[str, Any]], output: Path, *, whole: bool) -> None:
    """Write pictures; for a whole run its summary too, and if it is a full one, all tables into the documentation."""
    try:
        pictures = plots.draw(documents, output)
    except ImportError:
        pictures = []
        print("no pictures: `scripts/setup bench` installs what draws them")
    if not whole:
        return
    seconds = sum(each["seconds"] for each in documents.values())
    targets = [finding for each in documents.values() for finding in each["findings"]]
    write_json(output / "latest.json", {"machine": machine(), "seconds": seconds, "targets": targets})
    (output / "table.md").write_text(f"{_summary(parts)}\n")
    if output == RESULTS:
        told = ", ".join(f"{name} {value}" for name, value in machine().items())
        tables = "\n".join(part_table(part) for part in parts)
        head = f"Measured on: {told}. The whole run took {seconds:.0f} s."
        shown = "\n".join(f"![{each.stem}](../benchmarks/results/{each.name})" for each in pictures)
        replace_between(DOCUMENT, f"{head}\n\n{_summary(parts)}\n\n{shown}\n\n{tables}")


if __name__ == "__main__":
    sys.exit(main())
