"""Documents say what the tables in the code say."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.modes import CALLER_MODES

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("document", ["README.md", "docs/modes.md"])
def test_the_mode_table_is_the_one_in_the_code(document):
    """Each document's mode table has exactly the rows of the modes table, in its order."""
    rows = [f"| {row.mode.value} | {row.gets} | `{row.call_mode}` |" for row in CALLER_MODES]
    lines = (ROOT / document).read_text().splitlines()
    begin = lines.index("| caller mode | the caller gets | `$callMode` |") + 2
    assert lines[begin : begin + len(rows) + 1] == [*rows, lines[begin + len(rows)]]
    assert not lines[begin + len(rows)].startswith("|")


@pytest.mark.parametrize(
    "document", ["README.md", *sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("docs/**/*.md"))]
)
def test_links_between_documents_lead_somewhere(document):
    """Every relative link names a file that is there."""
    import re

    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / document).parent / target).exists(), f"{document} links to {target}"
