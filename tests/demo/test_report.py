from __future__ import annotations

import io

import pytest
from rich.console import Console

from gateway.demo.crash import Crash
from gateway.demo.doubt import Doubt
from gateway.demo.pairs import PAIRS, Run
from gateway.demo.report import Report
from gateway.demo.upstream_side import Seen

RUNS = [Run(pair, "202, 200 x10, 303, 200", 1, None, 10.123) for pair in PAIRS]
SEEN = {pair.tag: Seen(starts=1, jobs=1, reads=12, ended_at=10.0) for pair in PAIRS}


FOUND, RESTARTED = Doubt(None), Crash(0.7, None)


def printed(runs=RUNS, seen=SEEN, *, doubt=FOUND, crash=RESTARTED, encoding="utf-8", width=80, **console) -> str:
    """Return what is printed, as the bytes that arrive at the other end."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="replace")
    report = Report(Console(file=file, width=width, highlight=False, **console))
    report.pairs(runs, seen)
    report.doubt(doubt)
    report.crash(crash)
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_every_pair_has_one_line(width):
    """A row of the table is never wrapped, no line is longer than the screen, and a screen of 40 lines shows it all."""
    lines = printed(width=width).splitlines()
    rows = [line for line in lines if line.rstrip().endswith("✓")]
    assert len(rows) == len(PAIRS)
    assert max(map(len, lines)) <= width
    assert len(lines) < 40


def test_colours_are_for_terminals():
    """A pipe gets plain text."""
    assert "\x1b" not in printed()
    assert "\x1b" in printed(force_terminal=True)


def test_a_poor_encoding_still_tells_good_from_bad():
    """Where there is no check mark there are words."""
    text = printed([Run(RUNS[0].pair, "200", 0, "its bytes differ"), *RUNS[1:]], encoding="ascii")
    assert text.count(" ok\n") == len(PAIRS) - 1
    assert "NO AsyncRequestReply to sync: its bytes differ" in text
    assert f"NO {len(PAIRS) - 1} of {len(PAIRS)} outcomes exact" in text


def test_a_second_start_is_said():
    """An exact outcome does not hide that its job ran twice."""
    text = printed(seen=SEEN | {PAIRS[3].tag: Seen(2, 2, 12, 10.0)})
    assert (
        f"✗ {PAIRS[3].tag}: the upstream was asked 2 times to start the job and ran it 2 times, instead of once" in text
    )
    assert f"✓ {len(PAIRS)} of {len(PAIRS)} outcomes exact" in text
    assert f"✗ {len(PAIRS) - 1} of {len(PAIRS)} jobs started exactly once" in text


def test_a_lost_answer_is_said():
    """What became of the job is one line, good or bad."""
    assert "✓ the answer to a start lost: found again, outcome exact, started once" in printed()
    text = printed(doubt=Doubt("the outcome has status 502 instead of 200"))
    assert "✗ the answer to a start lost: the outcome has status 502 instead of 200" in text


def test_a_lost_job_is_said():
    """What the crash did is one line, good or bad."""
    assert "✓ kill -9 with a job in flight: restarted in 0.7 s" in printed()
    assert "✗ kill -9 with a job in flight: no outcome came" in printed(crash=Crash(0.7, "no outcome came"))
