"""Filters: what matches, and what is no filter at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator.odata_filter import Kind, ODataError, Property, parse_filter

KEY = "ee9327fd-237d-419e-86ef-9946b34461e3"
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@dataclass
class Item:
    name: str | None = "it's"
    key: str = KEY
    id: int = 7
    at: datetime | None = NOON
    state: str = "Running"
    good: bool = True
    error: dict | None = None


PROPERTIES = {
    "Name": Property(Kind.STRING, lambda item: item.name),
    "Key": Property(Kind.GUID, lambda item: item.key),
    "Id": Property(Kind.INTEGER, lambda item: item.id),
    "At": Property(Kind.DATETIME, lambda item: item.at),
    "State": Property(Kind.ENUM, lambda item: item.state, ("Pending", "Running", "Stopping")),
    "Good": Property(Kind.BOOLEAN, lambda item: item.good),
    "Error": Property(Kind.COMPLEX, lambda item: item.error),
}


def matches(text: str, item: Item | None = None) -> bool:
    """Whether an item matches a filter."""
    return parse_filter(text, PROPERTIES).matches(item or Item())


@pytest.mark.parametrize(
    "text",
    [
        "Name eq 'it''s'",
        "Name gt 'a' and Name lt 'z'",
        f"Key eq {KEY}",
        f"Key eq '{KEY.upper()}'",
        f"Key in ('{KEY}', 00000000-0000-0000-0000-000000000000)",
        "Id eq 7 and Id ne 8 and Id ge 7 and Id le 7 and Id lt 8 and Id gt -1",
        "Id in (1,2,7)",
        "At eq 2026-01-02T12:00:00Z",
        "At ge 2026-01-02T13:00:00.0000000+01:00",
        "At lt 2026-01-02T12:00:00.0010001Z",
        "State eq 'Running'",
        "State eq '1'",
        "State in ('Pending', 'Running')",
        "Good eq true",
        "not (Good eq false)",
        "not not Good eq true",
        "Id eq 1 or Id eq 2 and Id eq 3 or Id eq 7",
        "(Id eq 7 or Id eq 1) and (Name eq 'x' or Good eq true)",
        "Error eq null",
        "Name ne null",
        " Id  eq\t7 ",
    ],
)
def test_matches(text):
    """Every operator on every type, with OData's precedence: not, and, or."""
    assert matches(text)


@pytest.mark.parametrize(
    "text",
    [
        "Name eq 'its'",
        "Id eq 1 and Id eq 7 or Id eq 2",
        "Id gt 7",
        "At lt 2026-01-02T12:00:00Z",
        "State eq 'Pending'",
        "not Good eq true",
        "Key in (00000000-0000-0000-0000-000000000000)",
        "Name in (null)",
        "Id gt null",
    ],
)
def test_does_not_match(text):
    """The same, where the answer is no."""
    assert not matches(text)


def test_null_compares_to_nothing():
    """Against a null property only `eq null` and `ne` are true."""
    item = Item(name=None, at=None)
    assert matches("Name eq null and Name ne 'a'", item)
    assert not matches("At gt 2026-01-02T12:00:00Z or At le 2026-01-02T12:00:00Z or Name eq 'a'", item)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Id",
        "Id eq",
        "Id eq 'seven'",
        "Id eq 7.5",
        "id eq 7",
        "Id is 7",
        "7 eq Id",
        "Id eq 7 Id eq 7",
        "Id eq 7 and",
        "(Id eq 7",
        "Id eq 7)",
        "Id in ()",
        "Id in (7",
        "Id in 7",
        "Name eq it",
        "Name eq 'it",
        'Name eq "it"',
        "contains(Name, 'it')",
        "Release/Name eq 'x'",
        "Key eq 'no-guid'",
        "Key gt 'ee9327fd-237d-419e-86ef-9946b34461e3'",
        "State eq 'Sleeping'",
        "State eq 'running'",
        "State gt 'Pending'",
        "At ge '2026-01-02T12:00:00Z'",
        "At ge 2026-01-02",
        "At ge 2026-13-02T12:00:00Z",
        "At ge 0001-01-01T00:00:00+23:59",
        "Good eq 'true'",
        "Error eq 'x'",
        "Id eq 7;",
        "(" * 100 + "Id eq 7" + ")" * 100,
    ],
)
def test_no_filter(text):
    """What is outside the grammar, or has a literal of another type, is an error."""
    with pytest.raises(ODataError):
        parse_filter(text, PROPERTIES)


def test_asked():
    """The values that are asked for by name are told, whatever stands around them."""
    asked = parse_filter("Name eq 'a' or (Name in ('b','c') and Id ge 1) or Name ne 'd'", PROPERTIES).asked
    assert asked == {"Name": ("a", "b", "c")}


@given(st.text(), st.integers(), st.datetimes(timezones=st.just(UTC)))
def test_literals_come_back(name, number, at):
    """Whatever is written as a literal is what is compared."""
    item = Item(name=name, id=number, at=at)
    quoted = name.replace("'", "''")
    assert matches(f"Name eq '{quoted}' and Id eq {number} and At eq {at.isoformat()}", item)
    assert not matches(f"At ne {at.isoformat()} or Name ne '{quoted}' or Id ne {number}", item)


@given(st.text(alphabet="()'aI d7eqnot,Z-:"))
def test_any_text_is_a_filter_or_an_error(text):
    """No text brings anything but a filter or an ODataError."""
    try:
        parsed = parse_filter(text, PROPERTIES)
    except ODataError:
        return
    assert parsed.matches(Item()) in {True, False}


def test_a_filter_has_a_hundred_nodes():
    """Twenty comparisons of text, or sixteen of numbers; as many values of an `in` as there may be."""
    assert matches(" or ".join(["Name eq 'it''s'"] * 20))
    assert matches(" or ".join(["Id eq 7"] * 16))
    assert matches(f"Id in ({','.join(map(str, range(500)))})")
    for filters in (["Name eq 'x'"] * 21, ["Id eq 7"] * 17):
        with pytest.raises(ODataError, match="node count limit of '100'"):
            matches(" or ".join(filters))
