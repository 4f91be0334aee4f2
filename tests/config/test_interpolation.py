"""References to the environment and to files."""

import pytest

from gateway.config.interpolation import Interpolated, interpolator


@pytest.fixture
def fill(tmp_path):
    """Fill in, with two variables and one file."""
    (tmp_path / "token").write_text("s3cret\r\n\n", encoding="utf-8")
    return interpolator({"HOST": "h.example", "EMPTY": ""}, tmp_path)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("https://${env:HOST}/a/${env:HOST}", "https://h.example/a/h.example"),
        ("${file:token}", "s3cret"),
        ("${env:NOWHERE:-8080}", "8080"),
        ("${env:EMPTY:-8080}", "8080"),
        ("${env:HOST:-8080}", "h.example"),
        ("${env:NOWHERE:-}", ""),
        ("${env:EMPTY}", ""),
        ("$${env:HOST} $$ $HOST {x}", "${env:HOST} $$ $HOST {x}"),
    ],
)
def test_references_are_filled_in(fill, text, filled):
    """Variables, defaults, files and the escape, anywhere in the text."""
    assert fill(text) == filled


def test_only_what_came_from_outside_is_marked(fill):
    """Text of the file itself stays plain, so that messages may repeat it."""
    assert type(fill("plain")) is str
    assert isinstance(fill("${env:HOST}"), Interpolated)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("${env:NOWHERE}", "NOWHERE is not set"),
        ("${file:gone}", r"gone cannot be read: No such file"),
        ("${HOST}", r"must be \$\{env:NAME\} or \$\{file:path\}"),
        ("${env:}", r"must be \$\{env:NAME\}"),
        ("a ${env:HOST", r"must be \$\{env:NAME\}"),
    ],
)
def test_what_cannot_be_filled_in_is_named(fill, text, named):
    """The message names the variable, the file, or the form."""
    with pytest.raises(ValueError, match=named):
        fill(text)


def test_a_file_that_is_no_text(fill, tmp_path):
    """Bytes that are no UTF-8 are refused by the file's name, not shown."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="binary is not UTF-8 text"):
        fill("${file:binary}")


def test_what_was_filled_in_is_not_filled_in_again(tmp_path):
    """A secret that looks like a reference stays as it is."""
    assert interpolator({"A": "${env:B}"}, tmp_path)("${env:A}") == "${env:B}"
