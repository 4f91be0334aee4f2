"""OData's `$filter`, as far as clients of the Jobs API need it: a small lexer and a recursive-descent parser.

    or          = and *( "or" and )
    and         = not *( "and" not )
    not         = "not" not | "(" or ")" | comparison
    comparison  = property ( "eq" | "ne" | "gt" | "ge" | "lt" | "le" ) literal
                | property "in" "(" literal *( "," literal ) ")"

That is a subset of OData 4.01 URL Conventions, section 5.1.1. Literals have the types of their properties: a date is
not quoted, a name is, and a GUID may be either way, since Orchestrator takes `Key in ('…')` from UiPath's own SDK.
"""

from __future__ import annotations

import enum
import operator
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_MAX_DEPTH = 64
"""Parentheses and `not`s within each other."""

_MAX_NODES = 100
"""What ASP.NET's OData allows a filter: `MaxNodeCount` of its ODataValidationSettings, which is what it counts in.

Twenty comparisons of a name fit, seventeen of a number do not; the values of an `in` are not counted.
"""


class ODataError(Exception):
    """A query option that cannot be understood: Orchestrator's 400 with error code 1000."""


class Kind(enum.Enum):
    """The types of properties, by their names in the Entity Data Model."""

    STRING = "Edm.String"
    GUID = "Edm.Guid"
    INTEGER = "Edm.Int64"
    DATETIME = "Edm.DateTimeOffset"
    BOOLEAN = "Edm.Boolean"
    ENUM = "enumeration"
    COMPLEX = "complex"
    """A value with members of its own: it can be null or not, and nothing else is asked of it."""


@dataclass(frozen=True, slots=True)
class Property(Generic[T]):
    """One property of an entity: its type, how it is read from `T`, and an enumeration's members in order."""

    kind: Kind
    read: Callable[[T], Any]
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter(Generic[T]):
    """A parsed filter: whether an item matches, and the values that a property was asked for by `eq` or `in`."""

    matches: Callable[[T], bool]
    asked: Mapping[str, tuple[Any, ...]]


_TOKEN = re.compile(
    r"""\s*(?:(?P<string>'(?:[^']|'')*')
    |(?P<guid>[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})
    |(?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,12})?)?(?:Z|[+-]\d\d:\d\d))
    |(?P<integer>[+-]?\d+)(?![\w.])
    |(?P<word>[A-Za-z_][\w./]*)
    |(?P<mark>[(),]))""",
    re.VERBOSE,
)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_UNORDERED = frozenset({Kind.GUID, Kind.BOOLEAN, Kind.ENUM, Kind.COMPLEX})

Token = tuple[str, str]
"""A token's group in `_TOKEN`, and its text."""


def parse_filter(text: str, properties: Mapping[str, Property[T]]) -> Filter[T]:
    """Return the filter that `text` says over an entity's properties. Raises ODataError where it says none."""
    parser = _Parser(_tokens(text), properties)
    matches = parser.either(0)
    parser.end()
    return Filter(matches, {name: tuple(values) for name, values in parser.asked.items()})


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise ODataError(f"Syntax error at position {at} in '{text}'.")
        tokens.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return tokens


class _Parser(Generic[T]):
    """Consumes tokens from the left; each method is one rule of the grammar above."""

    def __init__(self, tokens: list[Token], properties: Mapping[str, Property[T]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._nodes = 0
        self._properties = properties
        self.asked: dict[str, list[Any]] = {}

    def either(self, depth: int) -> Callable[[T], bool]:
        if depth > _MAX_DEPTH:
            raise ODataError("The recursion limit has been exceeded.")
        terms = [self._all(depth)]
        while self._took("or"):
            self._count(1)
            terms.append(self._all(depth))
        return terms[0] if len(terms) == 1 else lambda item: any(term(item) for term in terms)

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise ODataError(f"Syntax error: unexpected '{self._tokens[self._at][1]}'.")

    def _all(self, depth: int) -> Callable[[T], bool]:
        terms = [self._not(depth)]
        while self._took("and"):
            self._count(1)
            terms.append(self._not(depth))
        return terms[0] if len(terms) == 1 else lambda item: all(term(item) for term in terms)

    def _not(self, depth: int) -> Callable[[T], bool]:
        negated = False
        while self._took("not"):
            self._count(1)
            negated = not negated
        if self._took("("):
            term = self.either(depth + 1)
            self._expect(")")
        else:
            term = self._comparison()
        return (lambda item: not term(item)) if negated else term

    def _comparison(self) -> Callable[[T], bool]:
        name = self._next("a property")
        if name[0] != "word" or name[1] not in self._properties:
            raise ODataError(f"Could not find a property named '{name[1]}'.")
        prop = self._properties[name[1]]
        word = self._next("an operator")[1]
        if word == "in":
            self._count(1)
            return self._membership(name[1], prop)
        if word not in _COMPARISONS or (prop.kind in _UNORDERED and word not in {"eq", "ne"}):
            raise ODataError(f"The operator '{word}' is not supported for '{name[1]}' of type {prop.kind.value}.")
        value = _literal(self._next("a value"), prop)
        # The operator, the property, the entity that it is of, the value; and what converts a value that is no text.
        self._count(4 if prop.kind is Kind.STRING else 5)
        if word == "eq":
            self.asked.setdefault(name[1], []).append(value)
        return _compare(_COMPARISONS[word], prop.read, value, nullable=word in {"eq", "ne"})

    def _membership(self, name: str, prop: Property[T]) -> Callable[[T], bool]:
        self._expect("(")
        values = [_literal(self._next("a value"), prop)]
        while self._took(","):
            values.append(_literal(self._next("a value"), prop))
        self._expect(")")
        self.asked.setdefault(name, []).extend(values)
        return lambda item: prop.read(item) in values

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > _MAX_NODES:
            raise ODataError(f"The node count limit of '{_MAX_NODES}' has been exceeded.")

    def _next(self, expected: str) -> Token:
        if self._at >= len(self._tokens):
            raise ODataError(f"Syntax error: {expected} is expected at the end.")
        self._at += 1
        return self._tokens[self._at - 1]

    def _took(self, text: str) -> bool:
        """Consume a keyword or a mark, if it is the next token; a quoted string is neither."""
        found = self._at < len(self._tokens) and self._tokens[self._at] in {("word", text), ("mark", text)}
        self._at += found
        return found

    def _expect(self, text: str) -> None:
        if not self._took(text):
            raise ODataError(f"Syntax error: '{text}' is expected.")


def _compare(
    compare: Callable[[Any, Any], bool], read: Callable[[T], Any], value: Any, *, nullable: bool
) -> Callable[[T], bool]:
    """Return a comparison; where one side is null, only `eq` and `ne` can be true (OData 4.01 URL, 5.1.1.1)."""
    if nullable:
        return lambda item: compare(read(item), value)
    if value is None:
        return lambda _: False
    return lambda item: (left := read(item)) is not None and compare(left, value)


def _literal(token: Token, prop: Property[Any]) -> Any:
    """Return a literal's value, as the property's reader gives it. Raises ODataError where the types differ."""
    group, text = token
    if token == ("word", "null"):
        return None
    bare = text[1:-1].replace("''", "'") if group == "string" else text
    match prop.kind, group:
        case (Kind.STRING, "string"):
            return bare
        case (Kind.INTEGER, "integer"):
            return int(text)
        case (Kind.BOOLEAN, "word") if text in {"true", "false"}:
            return text == "true"
        case (Kind.ENUM, "string") if bare in prop.members:
            return bare
        case (Kind.ENUM, "integer" | "string") if bare.isdecimal() and int(bare) < len(prop.members):
            return prop.members[int(bare)]
        case (Kind.GUID, "guid" | "string"):
            return _guid(bare)
        case (Kind.DATETIME, "datetime"):
            return _datetime(text)
        case _:
            raise ODataError(f"'{bare}' is no value of type {prop.kind.value}.")


def _guid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ODataError(f"'{text}' is no value of type Edm.Guid.") from None


def _datetime(text: str) -> datetime:
    """Return a point in time, in UTC; fractions beyond a microsecond (.NET writes seven digits) are cut."""
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ODataError(f"'{text}' is no value of type Edm.DateTimeOffset.") from None
