"""Entity sets and their system query options: `$filter`, `$select`, `$orderby`, `$top`, `$skip`, `$count`, `$expand`.

An option that is not understood is an error, never passed over: a client that asks for less than it thinks is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from gateway.simulator.odata_filter import Filter, Kind, ODataError, Property, parse_filter

T = TypeVar("T")

MAX_TOP = 1000
"""The largest page; also the size of one that was not asked for in smaller pages."""

_OPTIONS = frozenset({"$filter", "$select", "$orderby", "$top", "$skip", "$count", "$expand"})


@dataclass(frozen=True, slots=True)
class EntitySet(Generic[T]):
    """The entities of one kind, as they are read from items of type `T`.

    `expansions` are what `$expand` can add. Values of a property are JSON values or `datetime`s in UTC.
    """

    name: str
    properties: Mapping[str, Property[T]]
    expansions: Mapping[str, Callable[[T], Any]] = field(default_factory=dict)

    def entity(self, item: T, names: Iterable[str] | None = None, expand: Iterable[str] = ()) -> dict[str, Any]:
        """Return an item's properties as JSON, all or those of the given names."""
        chosen = self.properties if names is None else names
        entity = {name: _json(self.properties[name].read(item)) for name in chosen}
        return entity | {name: self.expansions[name](item) for name in expand}


@dataclass(frozen=True, slots=True)
class Query(Generic[T]):
    """What a list was asked for; `order` holds property and direction (True: descending)."""

    filter: Filter[T] | None = None
    select: tuple[str, ...] | None = None
    order: tuple[tuple[str, bool], ...] = ()
    top: int = MAX_TOP
    skip: int = 0
    count: bool = False
    expand: tuple[str, ...] = ()

    def asked(self, name: str) -> tuple[Any, ...]:
        """Return the values that the filter asks a property for by `eq` or `in`."""
        return () if self.filter is None else self.filter.asked.get(name, ())


def read_query(entities: EntitySet[T], options: Mapping[str, str]) -> Query[T]:
    """Return what the query string asks of an entity set. Raises ODataError."""
    unknown = {name for name in options if name.startswith("$")} - _OPTIONS
    if unknown:
        raise ODataError(f"The query option '{min(unknown)}' is not supported.")
    given = options.get
    select = given("$select")
    return Query(
        filter=parse_filter(text, entities.properties) if (text := given("$filter")) is not None else None,
        select=None if select is None else _names(select, entities.properties),
        order=_order(given("$orderby", ""), entities.properties),
        top=_integer("$top", given("$top"), MAX_TOP, MAX_TOP),
        skip=_integer("$skip", given("$skip"), 0, None),
        count=_boolean(given("$count", "false")),
        expand=_names(given("$expand", ""), entities.expansions),
    )


def page(entities: EntitySet[T], items: Iterable[T], query: Query[T], context: str) -> dict[str, Any]:
    """Return one page of a list as Orchestrator sends it; `context` is the URL of the service root."""
    matching = items if query.filter is None else filter(query.filter.matches, items)
    found = _sorted(entities, list(matching), query.order)
    shown = found[query.skip : query.skip + query.top]
    return {
        "@odata.context": f"{context}$metadata#{entities.name}",
        **({"@odata.count": len(found)} if query.count else {}),
        "value": [entities.entity(item, query.select, query.expand) for item in shown],
    }


def _sorted(entities: EntitySet[T], items: list[T], order: tuple[tuple[str, bool], ...]) -> list[T]:
    """Sort by the last property first: Python's sort is stable. Null comes first (OData 4.01 Protocol, 11.2.6.2)."""
    for name, descending in reversed(order):
        read = entities.properties[name].read
        items.sort(key=lambda item: ((value := read(item)) is not None, value), reverse=descending)
    return items


def _names(text: str, known: Mapping[str, Any]) -> tuple[str, ...]:
    names = tuple(name for part in text.split(",") if (name := part.strip()))
    for name in names:
        if name not in known:
            raise ODataError(f"Could not find a property named '{name}'.")
    return names


def _order(text: str, known: Mapping[str, Property[T]]) -> tuple[tuple[str, bool], ...]:
    order = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\w+)(?:\s+(asc|desc))?", part)
        if match is None or match[1] not in known or known[match[1]].kind is Kind.COMPLEX:
            raise ODataError(f"Could not order by '{part}'.")
        order.append((match[1], match[2] == "desc"))
    return tuple(order)


def _integer(name: str, text: str | None, default: int, limit: int | None) -> int:
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ODataError(f"Invalid value '{text}' for {name} query option found.")
    if limit is not None and int(text) > limit:
        raise ODataError(f"The limit of '{limit}' for {name} query has been exceeded.")
    return int(text)


def _boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ODataError(f"Invalid value '{text}' for $count query option found.")
    return text == "true"


def _json(value: Any) -> Any:
    """Return a property's value for JSON; a time as Orchestrator writes it, in UTC with a Z."""
    return timestamp(value) if isinstance(value, datetime) else value


def timestamp(at: datetime) -> str:
    """Return a point in time (UTC) in milliseconds."""
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
