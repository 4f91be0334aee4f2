"""Documents say what the tables in the code say."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.errors import Problem
from gateway.core.modes import CALLER_MODES, UpstreamMode

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))


@pytest.mark.parametrize("document", ["README.md", "docs/modes.md"])
def test_the_mode_table_is_the_one_in_the_code(document):
    """Each document's mode table has exactly the rows of the modes table, in its order."""
    rows = [f"| {row.mode.value} | {row.gets} | `{row.call_mode}` |" for row in CALLER_MODES]
    lines = (ROOT / document).read_text().splitlines()
    begin = lines.index("| caller mode | the caller gets | `$callMode` |") + 2
    assert lines[begin : begin + len(rows) + 1] == [*rows, lines[begin + len(rows)]]
    assert not lines[begin + len(rows)].startswith("|")


@pytest.mark.parametrize("document", ["README.md", "docs/modes.md"])
def test_the_table_of_upstream_modes_has_those_of_the_code(document):
    """Each document's table has a row for every upstream mode, in the order of the code."""
    lines = (ROOT / document).read_text().splitlines()
    begin = next(at for at, line in enumerate(lines) if line.startswith("| upstream mode |")) + 2
    end = lines.index("", begin)
    assert [line.split("|")[1].strip() for line in lines[begin:end]] == list(UpstreamMode)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_problems_that_documents_name_are_those_of_the_code(document):
    """A status with a code beside it, as in "409 job-shared", is a problem that a caller can be told."""
    known = {(problem.status, problem.code) for problem in _problems(Problem)}
    named = re.findall(r"`?([45]\d\d) `?([a-z]+(?:-[a-z]+)+)`", (ROOT / document).read_text())
    assert {(int(status), code) for status, code in named} <= known


def _problems(base: type[Problem]) -> Iterator[type[Problem]]:
    for kind in base.__subclasses__():
        if "code" in kind.__dict__:
            yield kind
        yield from _problems(kind)


@pytest.mark.parametrize("document", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", *DOCUMENTS])
def test_scripts_that_documents_name_are_there(document):
    """Whoever reads of `scripts/x` can run it."""
    named = set(re.findall(r"\bscripts/[a-z]+", (ROOT / document).read_text()))
    assert all(os.access(ROOT / script, os.X_OK) for script in named)


def test_files_that_the_architecture_names_are_there():
    """A package's file that moved is found here, not by a reader."""
    named = re.findall(r"`([a-z_]+/[a-z_]+\.py)`", (ROOT / "docs/architecture.md").read_text())
    assert len(named) > 10
    assert [path for path in named if not (ROOT / "gateway" / path).exists()] == []


@pytest.mark.parametrize("document", ["README.md", *DOCUMENTS])
def test_keys_that_documents_name_are_those_of_the_configuration(document):
    """A key with its section, as in `store.lease`, is one that the file may have."""
    known = dict(_sections())
    named = re.findall(r"`([a-z_]+)\.([a-z_]+)(?:: [^`]*)?`", (ROOT / document).read_text())
    assert [f"{section}.{key}" for section, key in named if section in known and key not in known[section]] == []


def _sections() -> Iterator[tuple[str, set[str]]]:
    schema = json.loads((ROOT / "config/schema.json").read_text())
    for name, described in schema["properties"].items():
        if "$ref" in described:
            yield name, set(schema["$defs"][described["$ref"].rpartition("/")[2]]["properties"])


@pytest.mark.parametrize("document", ["README.md", *DOCUMENTS])
def test_links_between_documents_lead_somewhere(document):
    """Every relative link names a file that is there."""
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / document).parent / target).exists(), f"{document} links to {target}"
