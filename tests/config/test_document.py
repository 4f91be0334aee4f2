"""YAML to plain data and places."""

import pytest

from gateway.config.document import Document, Place, read
from gateway.config.errors import ConfigError, Fault


@pytest.fixture
def written(tmp_path):
    """Write a file and read it."""

    def write_and_read(text):
        path = tmp_path / "gateway.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read(path, str.upper)

    return write_and_read


def refusal(written, text):
    """Return the lines of the error, without the directory."""
    with pytest.raises(ConfigError) as refused:
        written(text)
    return [line.rpartition("/gateway.yaml")[2] for line in refused.value.lines]


def test_yaml_1_2_scalars(written):
    """`off`, `no`, times and dates are text; 08 is eight; texts go through interpolation."""
    document = written("a: off\nb: no\nc: 12:30\nd: 2020-01-01\ne: 08\nf: 0x10\ng: 1_000\nh: True\ni: 1.5\n")
    assert document.data == {
        "a": "OFF", "b": "NO", "c": "12:30", "d": "2020-01-01", "e": 8, "f": 16, "g": 1000, "h": True, "i": 1.5,
    }  # fmt: skip


def test_places_are_those_of_keys_and_items(written):
    """Lines and columns count from 1; an item of a list stands where its value does."""
    document = written("a: 1\nb:\n  - x: 1\n    yy: 2\n")
    path = document.places["a",].source
    assert document.places == {
        ("a",): Place(path, 1, 1),
        ("b",): Place(path, 2, 1),
        ("b", 0): Place(path, 3, 5),
        ("b", 0, "x"): Place(path, 3, 5),
        ("b", 0, "yy"): Place(path, 4, 5),
    }


def test_quoted_scalars_are_text(written):
    """Quotes make text of a number."""
    assert written("a: '7'\nb: \"true\"\n").data == {"a": "7", "b": "TRUE"}


def test_anchors_and_merges(written):
    """An alias repeats data; `<<` brings keys in, a mapping's own and the first source winning."""
    document = written("x: &x {p: 1, q: 1}\ny: &y {q: 2, r: 2}\na: *x\nb: {q: 0, <<: [*x, *y]}\n")
    assert document.data["a"] == {"p": 1, "q": 1}
    assert document.data["b"] == {"p": 1, "q": 0, "r": 2}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ": is empty"),
        ("# nothing\n", ": is empty"),
        ("- a\n", ":1:1: must be a mapping"),
        ("a: 1\nb: [1,\n", ":3:1: is no YAML: "),
        (
            "a:\n\tb: 1\n",
            ":2:1: is no YAML: while scanning for the next token, found character '\\t'",
        ),
        ("a: 1\n---\nb: 1\n", ":2:1: is no YAML: expected a single document in the stream, but found another document"),
        ("a: *x\n", ":1:4: is no YAML: found undefined alias 'x'"),
        ("a: \x01\n", ": is no YAML: "),
        (b"a: \xff\n", ": must be UTF-8 text"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", ":3:3: b.c: stands here twice, again at 4:3"),
        ("a:\n", ":1:1: a: has no value"),
        ("a: [~]\n", ":1:5: a[0]: has no value"),
        ("a: !!python/object:x 1\n", ":1:1: a: the tag tag:yaml.org,2002:python/object:x means nothing here"),
        ("a: &x [1, *x]\n", ":1:4: a[1]: the alias *x stands inside what it names"),
        ("a: {? [b] : 1}\n", ":1:1: a: a key at 1:7 is no plain text"),
        ("a: {<<: 1}\n", ":1:1: a: `<<` must be followed by a mapping"),
    ],
)
def test_what_is_refused(written, text, line):
    """Everything that is no configuration is named, at its place."""
    lines = refusal(written, text)
    assert len(lines) == 1
    assert lines[0].startswith(line)


def test_all_faults_at_once_in_the_order_of_the_file(written):
    """One run shows everything."""
    assert [line.split(": ")[0] for line in refusal(written, "z: ~\na: ~\nm: {x: ~}\n")] == [":1:1", ":2:1", ":3:5"]


def test_a_file_that_cannot_be_read(tmp_path):
    """The error names the file and the reason."""
    with pytest.raises(ConfigError, match=r"nowhere.yaml: cannot be read: No such file or directory"):
        read(tmp_path / "nowhere.yaml", str)


def test_a_fault_of_something_absent_stands_at_what_is_around_it():
    """A missing key is reported at its mapping; without any place, at the document."""
    document = Document("gateway.yaml", {}, {("routes", 0): Place("gateway.yaml", 3, 5)})
    error = document.error([Fault(("routes", 0, "path"), "is missing"), Fault(("upstream",), "is missing")])
    assert str(error) == "gateway.yaml: upstream: is missing\ngateway.yaml:3:5: routes[0].path: is missing"


def test_put_and_drop():
    """A flag's value replaces the file's or makes its sections; dropping what is absent is nothing."""
    document = Document("x", {"store": {"url": "a"}, "log": 1})
    document.put(("store", "prefix"), "p", Place("--prefix"))
    document.put(("upstream", "url"), "u", Place("--upstream"))
    document.put(("log", "level"), "info", Place("--level"))
    document.drop(("store", "url"))
    document.drop(("nowhere", "url"))
    assert document.data == {"store": {"prefix": "p"}, "upstream": {"url": "u"}, "log": {"level": "info"}}
    assert str(document.places["upstream", "url"]) == "--upstream"
