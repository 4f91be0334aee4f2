"""`python -m benchmarks.scale [--json] [--measure] [--write]`: what an installation holds, by formula and simulation.

Without `--measure`, the costs are those of the last time: nothing is run but the simulation, in less than half a
minute. With it they are measured anew and kept, and the simulation is held against a real run: three minutes more.
`--write` puts the tables into docs/scaling.md.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import msgspec

from benchmarks.scale import check, costs, measure, tables
from benchmarks.scale.plans import plans

CHECKED = costs.FILE.with_name("scale-check.json")


def main() -> int:
    """Run what the arguments say; return 1 if the simulation does not agree with the real run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print figures instead of tables")
    parser.add_argument("--measure", action="store_true", help="measure the costs anew")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scaling.md")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if asked.measure:
        with tempfile.TemporaryDirectory() as directory:
            measured, other = measure.measure(Path(directory))
        costs.save(measured)
        compared = check.compare(measured, other)
        CHECKED.write_bytes(msgspec.json.format(msgspec.json.encode(compared), indent=2) + b"\n")
    used, compared = costs.load(), msgspec.json.decode(CHECKED.read_bytes(), type=list[check.Compared])
    found = plans(used, seed=asked.seed)
    parts = {
        "measured": tables.measured(used),
        "walls": tables.walled(used),
        "plans": tables.planned(found, used),
        "simulated": tables.simulated(found),
        "checked": tables.checked(compared),
    }
    if asked.write:
        tables.write(parts)
    if asked.json:
        figures = {"costs": used, "plans": found, "check": compared}
        print(msgspec.json.format(msgspec.json.encode(figures), indent=2).decode())
    else:
        print("\n\n".join(parts.values()))
    return int(not check.agrees(compared))


if __name__ == "__main__":
    raise SystemExit(main())
