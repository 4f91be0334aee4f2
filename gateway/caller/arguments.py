"""A caller's arguments made ready for the trigger: `$callMode` taken out, the gateway's own choice put in its place."""

from __future__ import annotations

from urllib.parse import parse_qsl

import msgspec

from gateway.core.arguments import (
    BadArguments,
    NotJson,
    Scanned,
    cut,
    cut_query,
    flat,
    scan,
    scan_query,
    splice,
    splice_query,
)
from gateway.core.errors import BadArgumentsProblem
from gateway.core.exchange import is_json
from gateway.core.modes import UpstreamMode

JSON = "application/json"


class Arguments(msgspec.Struct, frozen=True):
    """What goes upstream, but for `$callMode`, and what the caller's own said."""

    call_mode: str | None
    query: str | None
    body: bytes
    content_type: str | None
    in_query: bool = False
    """Whether the trigger reads its arguments from the query."""
    scanned: Scanned | None = None
    """The body, where it is a JSON object, into which `$callMode` can go."""

    def asking(self, mode: UpstreamMode | None) -> tuple[str | None, bytes]:
        """Return query and body with `$callMode` set to `mode`; with None, or in a body that is no object, without."""
        argument = None if mode is None else mode.argument
        if argument is None:
            return self.query, self.body
        if self.in_query:
            return splice_query(scan_query(self.query or ""), argument), self.body
        if self.scanned is not None:
            return self.query, splice(self.scanned, argument)
        return self.query, self.body

    def as_object(self) -> bytes:
        """Return the arguments as one JSON object; those of a query are strings. Raises `BadArgumentsProblem`."""
        if not self.in_query:
            if self.scanned is None or not self.scanned.is_object:
                raise BadArgumentsProblem("this route's arguments are a JSON object")
            return self.body
        pairs = parse_qsl(self.query or "", keep_blank_values=True)
        members = dict(pairs)
        if len(members) < len(pairs):
            raise BadArgumentsProblem("this route takes each argument once")
        return msgspec.json.encode(members)


def read_arguments(method: str, query: str | None, body: bytes, content_type: str | None) -> Arguments:
    """Return the arguments of a request. Raises `BadArgumentsProblem`."""
    if query is None and method != "GET" and (plain := flat(body)) is not None:
        # As most are.
        return Arguments(None, None, body, JSON, scanned=plain)
    try:
        return _read(method, query, body, content_type)
    except BadArguments as error:
        raise BadArgumentsProblem(error.detail) from error


def _read(method: str, query: str | None, body: bytes, content_type: str | None) -> Arguments:
    in_query = method == "GET"
    from_query = scan_query(query) if query is not None else None
    clean_query = None if from_query is None else cut_query(from_query)
    said_in_query = None if from_query is None else from_query.call_mode
    if in_query:
        return Arguments(said_in_query, clean_query, body, content_type, in_query=True)
    scanned = _scanned(body, content_type)
    if scanned is None or not scanned.is_object:
        return Arguments(said_in_query, clean_query, body, content_type)
    if scanned.call_mode is not None and said_in_query is not None:
        raise BadArgumentsProblem("`$callMode` is both in the body and in the query")
    said = scanned.call_mode if said_in_query is None else said_in_query
    without = scanned if scanned.member is None else scan(cut(scanned))
    return Arguments(said, clean_query, without.body, JSON, scanned=without)


def _scanned(body: bytes, content_type: str | None) -> Scanned | None:
    """Scan a body; an empty one is `{}`. None if it is no JSON and does not claim to be."""
    try:
        return scan(body or b"{}")
    except NotJson as error:
        if is_json(content_type):
            raise BadArgumentsProblem(f"the body is labelled JSON and is none: {error.detail}") from error
        return None
