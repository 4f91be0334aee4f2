"""What the demo prints: a row for each pair, what was wrong, and the verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.core.modes import UpstreamMode
from gateway.demo.callers import CALLERS
from gateway.demo.crash import Crash
from gateway.demo.doubt import Doubt
from gateway.demo.pairs import PAIRS, ROUTES, Run
from gateway.demo.upstream_side import Seen, not_once

_WIDEST = 100
"""Columns beyond which a table only gets harder to read."""

_LEGEND = (
    "hops: redirects that the caller followed. calls: what the job cost the upstream, its start included."
    " after: time from the job's end to the answer; nobody hears of the end where a trigger forgets."
)


class Report:
    """Prints to `console`: colours on a terminal alone, marks of ASCII where the encoding has no others."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = min(console.width, _WIDEST)
        self._good, self._bad = ("ok", "NO") if console.options.ascii_only else ("✓", "✗")

    def pairs(self, runs: Sequence[Run], seen: Mapping[str, Seen]) -> None:
        """Print the table, what was wrong below it, and how many outcomes were exact and jobs started once."""
        self._console.print(self._table())
        for upstream in UpstreamMode:
            self._console.print(Text.assemble((_title(upstream), "bold"), (f", POST {ROUTES[upstream]}", "dim")))
            self._console.print(self._rows([run for run in runs if run.pair.upstream is upstream], seen))
        self._console.print(f"\n{_LEGEND}\n", style="dim", width=self._width)
        for run in runs:
            if run.wrong is not None:
                self.verdict(good=False, text=f"{run.pair.tag}: {run.wrong}")
            if (often := not_once(seen, run.pair.tag)) is not None:
                self.verdict(good=False, text=f"{run.pair.tag}: {often}")
        exact = sum(run.wrong is None for run in runs)
        self.verdict(good=exact == len(PAIRS), text=f"{exact} of {len(PAIRS)} outcomes exact, byte for byte")
        once = sum(not_once(seen, run.pair.tag) is None for run in runs)
        self.verdict(good=once == len(PAIRS), text=f"{once} of {len(PAIRS)} jobs started exactly once")

    def doubt(self, doubt: Doubt) -> None:
        """Print how the caller fared whose job's start was answered 502."""
        text = doubt.wrong or "found again, outcome exact, started once"
        self.verdict(good=doubt.wrong is None, text=f"the answer to a start lost: {text}")

    def crash(self, crash: Crash) -> None:
        """Print how the job fared whose gateway was killed."""
        text = crash.wrong or f"restarted in {crash.gone:.1f} s, outcome exact, started once"
        self.verdict(good=crash.wrong is None, text=f"kill -9 with a job in flight: {text}")

    def verdict(self, *, good: bool, text: str) -> None:
        """Print one line with its mark."""
        # A pipe has no width: what reads it (grep) wants whole lines.
        self._console.print(Text.assemble(self._mark(good=good), " ", text), soft_wrap=not self._console.is_terminal)

    def _rows(self, runs: Sequence[Run], seen: Mapping[str, Seen]) -> Table:
        table = self._table(show_header=False)
        for run in runs:
            upstream, delay = seen.get(run.pair.tag), run.delay(seen)
            table.add_row(
                run.pair.caller.value,
                CALLERS[run.pair.caller].asks,
                run.heard,
                str(run.hops),
                str(upstream.calls if upstream else 0),
                "-" if delay is None else f"{delay * 1000:.0f} ms",
                self._mark(good=run.well(seen)),
            )
        return table

    def _table(self, *, show_header: bool = True) -> Table:
        """Return the table's columns, always of the same widths, so that the rows of all modes stand below them."""
        table = Table(
            box=None, pad_edge=False, padding=(0, 1, 0, 0), width=self._width, header_style="dim",
            show_header=show_header,
        )  # fmt: skip
        table.add_column("caller", width=9, style="cyan")
        table.add_column("sent", width=25)
        table.add_column("got", ratio=1)
        for name, width in (("hops", 4), ("calls", 5), ("after", 7), ("", 2)):
            table.add_column(name, width=width, justify="right")
        return table

    def _mark(self, *, good: bool) -> Text:
        return Text(self._good, style="green") if good else Text(self._bad, style="bold red")


def _title(upstream: UpstreamMode) -> str:
    return "Jobs API, no trigger" if upstream is UpstreamMode.JOBS else f"{upstream} trigger"
