"""Find, cut and write `$callMode` among a trigger's arguments; every other byte stays as the caller sent it.

Arguments are a JSON object, or a query string. A decode and re-encode would round large numbers, fold escapes
and drop white space, so both kinds are edited as text. The text is judged first, since an editor that reads it
differently from the upstream could be got around: `$callMode` twice, or once as `$CallMode`, is refused.

The JSON scanner does its work in C: msgspec validates the text, and tells the raw bytes of every top-level
value; what is left to do in Python is one step per top-level member.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote, unquote_plus

import msgspec

MEMBER = "$callMode"
"""The argument that forces the call mode, in a JSON object as in a query."""

MAX_DEPTH = 64
"""How deep arrays and objects may nest, the outermost object counted as 1."""

MAX_KEYS = 10_000
"""How many members a body may have, those of nested objects counted."""

Span = tuple[int, int]
"""The first offset and the one after the last, in bytes."""


class BadArguments(Exception):  # noqa: N818 - named for what the caller sent, like NotJson
    """The arguments can be read, and are refused. Safe to show: neither field repeats what the caller sent.

    `code` is one of `call-mode-name`, `call-mode-type`, `duplicate-member`, `not-strict`, `not-utf-8`,
    `too-deep`, `too-many-keys`.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class NotJson(Exception):  # noqa: N818 - a finding; an error only under a JSON label
    """The body is no JSON text (RFC 8259). Whether that is an error depends on the label it came with."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Scanned(msgspec.Struct, frozen=True):
    """A valid JSON text, and where its `$callMode` stands. Only an object can have one or be given one."""

    body: bytes
    is_object: bool
    call_mode: str | None = None
    is_empty: bool = False
    """The object has no member."""
    opening: int = 0
    """The offset after the object's `{`."""
    member: Span | None = None
    """`$callMode`, from its name's first quote to its value's last."""
    removal: Span | None = None
    """`member` and the one comma that goes with it."""


class ScannedQuery(msgspec.Struct, frozen=True):
    """A query without its `?`, and which of its `&`-separated parameters is `$callMode`."""

    query: str
    call_mode: str | None = None
    index: int | None = None


# RFC 8259 §2: white space is these four bytes, and nothing else.
_SPACE = rb"[ \t\n\r]*+"
_NAME = re.compile(_SPACE + rb'("(?:[^"\\]|\\.)*+")' + _SPACE + rb":" + _SPACE)
_AFTER = re.compile(_SPACE + rb"([,}])")

_validator = msgspec.json.Decoder(msgspec.Raw)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])

# A bracket becomes its step in depth (+1 or -1, as a signed byte), everything else goes.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


def scan(body: bytes, *, max_depth: int = MAX_DEPTH, max_keys: int = MAX_KEYS) -> Scanned:
    """Validate `body` and find its `$callMode`.

    Strict where parsers differ (RFC 8259 §4, §8): no byte order mark, no NaN or Infinity, no lone surrogate,
    UTF-8 only, and no top-level name twice. Raises `NotJson` or `BadArguments`; an empty body is `NotJson`.
    `max_depth` and `max_keys` bind objects only: nothing else is looked into.
    """
    if (plain := flat(body, max_keys)) is not None:
        return plain
    is_object = body.lstrip(b" \t\n\r").startswith(b"{")
    _validate(body, is_object)
    if not is_object:
        return Scanned(body, is_object=False)
    _check_size(body, max_depth, max_keys)
    return _find(body)


def flat(body: bytes, max_keys: int = MAX_KEYS) -> Scanned | None:
    """Return a flat object in ASCII without `$callMode`, as many are, after one look at it; None for all else.

    What it returns is what `scan` does.
    """
    if not body.startswith(b"{") or not body.isascii() or body.count(b"{") + body.count(b"[") > 1:
        return None
    try:
        members = _members.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    if len(members) > max_keys or not _is_free(body, members):
        return None
    return Scanned(body, is_object=True, is_empty=not members, opening=1)


def _is_free(body: bytes, members: dict[str, msgspec.Raw]) -> bool:
    """Whether it is plain that the object `body`, of these members, has no `$callMode`, and no name twice.

    One colon a name: none is nested, none stands twice. And without `$` or an escape none is `$callMode`.
    """
    return b"$" not in body and b"\\" not in body and body.count(b":") == len(members)


def cut(scanned: Scanned) -> bytes:
    """Return the body without its `$callMode` member; every other byte stays."""
    if scanned.removal is None:
        return scanned.body
    start, end = scanned.removal
    return scanned.body[:start] + scanned.body[end:]


def splice(scanned: Scanned, mode: str) -> bytes:
    """Return the body with `$callMode` set to `mode`: in its place, else first. What is no object stays."""
    if not scanned.is_object:
        return scanned.body
    member = _member(mode)
    if scanned.member is not None:
        start, end = scanned.member
        return scanned.body[:start] + member + scanned.body[end:]
    head, tail = scanned.body[: scanned.opening], scanned.body[scanned.opening :]
    return head + member + (b"" if scanned.is_empty else b",") + tail


@lru_cache(maxsize=16)
def _member(mode: str) -> bytes:
    return msgspec.json.encode(MEMBER) + b":" + msgspec.json.encode(mode)


def scan_query(query: str) -> ScannedQuery:
    """Find `$callMode` in `query`, its name percent-encoded or not. Raises `BadArguments`."""
    parameters = [parameter.partition("=") for parameter in query.split("&")]
    index = _locate(unquote_plus(name) for name, _, _ in parameters)
    if index is None:
        return ScannedQuery(query)
    try:
        return ScannedQuery(query, unquote_plus(parameters[index][2], errors="strict"), index)
    except UnicodeDecodeError as error:
        raise BadArguments("not-utf-8", f"the value of {MEMBER} is not UTF-8") from error


def cut_query(scanned: ScannedQuery) -> str:
    """Return the query without `$callMode`; every other parameter stays byte for byte."""
    parameters = scanned.query.split("&")
    return "&".join(each for index, each in enumerate(parameters) if index != scanned.index)


def splice_query(scanned: ScannedQuery, mode: str) -> str:
    """Return the query with `$callMode` set to `mode`: in its place, else as the last parameter."""
    parameter = f"{MEMBER}={quote(mode, safe='')}"
    if scanned.index is None:
        return f"{scanned.query}&{parameter}" if scanned.query else parameter
    parameters = scanned.query.split("&")
    parameters[scanned.index] = parameter
    return "&".join(parameters)


def _validate(body: bytes, is_object: bool) -> None:
    """Raise unless `body` is one strict JSON text in UTF-8."""
    try:
        _validator.decode(body)
    except msgspec.DecodeError as error:
        if is_object and _is_lenient_json(body):
            detail = "NaN, Infinity and lone surrogates are not strict JSON"
            raise BadArguments("not-strict", detail) from error
        # msgspec's text names the offset and repeats nothing of the body.
        raise NotJson(str(error)) from error
    except RecursionError as error:  # near Python's recursion limit, far beyond any max_depth
        if is_object:
            raise _too_deep() from error
        raise NotJson("the value is nested too deeply to be read") from error
    try:
        body.decode()  # msgspec steps over strings that nobody asked for without decoding them
    except UnicodeDecodeError as error:
        if is_object:
            raise BadArguments("not-utf-8", f"the body is not UTF-8 (byte {error.start})") from error
        raise NotJson(f"the text is not UTF-8 (byte {error.start})") from error


def _is_lenient_json(body: bytes) -> bool:
    """Tell whether `body` would be JSON to a parser that takes NaN, Infinity and lone surrogates."""
    try:
        json.loads(body.decode(), parse_int=len, parse_float=len)  # int() would refuse 4,300 digits
    except (ValueError, RecursionError):
        return False
    return True


def _check_size(body: bytes, max_depth: int, max_keys: int) -> None:
    """Raise if a valid object has too many levels or members."""
    brackets, colons = body.count(b"[") + body.count(b"{"), body.count(b":")
    if brackets <= max_depth and colons <= max_keys:
        return  # even with those inside strings counted in
    skeleton = _without_strings(body)
    if skeleton.count(b":") > max_keys:
        raise BadArguments("too-many-keys", f"the body has more than {max_keys} members")
    steps = memoryview(skeleton.translate(_STEPS, _NO_BRACKETS)).cast("b")
    if max(itertools.accumulate(steps)) > max_depth:
        raise _too_deep()


def _without_strings(body: bytes) -> bytes:
    """Drop the strings of a valid JSON text; backslashes stand in strings only, so escapes go first."""
    return b"".join(body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])


def _find(body: bytes) -> Scanned:
    """Walk the top-level members of the valid object `body`."""
    opening = body.index(b"{") + 1
    members = _members.decode(body)
    if _is_free(body, members):
        return Scanned(body, is_object=True, is_empty=not members, opening=opening)
    spans = list(_walk(body, opening, members))
    index = _locate(members)
    if index is None:
        return Scanned(body, is_object=True, is_empty=not members, opening=opening)
    start, end = member = spans[index]
    if index + 1 < len(spans):
        end = body.index(b",", end) + 1  # only white space stands between a value and its comma
    elif index:
        start = body.index(b",", spans[index - 1][1])
    mode = _mode(members[MEMBER])
    return Scanned(body, is_object=True, call_mode=mode, opening=opening, member=member, removal=(start, end))


def _walk(body: bytes, opening: int, members: dict[str, msgspec.Raw]) -> Iterator[Span]:
    """Yield each member's span in order, name and value. Raises `BadArguments` on a name that comes twice.

    `members` holds a repeated name once, with its last value. So at the first of them either the text holds
    another value than `members`, or the same, and then the text has members left when `members` has none.
    """
    end, last = opening, len(members) - 1
    for index, raw in enumerate(members.values()):
        name, value = _NAME.match(body, end), bytes(raw)
        if name is None or not body.startswith(value, name.end()):
            raise _duplicate()
        end = name.end() + len(value)
        after = _AFTER.match(body, end)
        if after is None or (after[1] == b"}") != (index == last):
            raise _duplicate()
        yield name.start(1), end
        end = after.end()


def _locate(names: Iterable[str]) -> int | None:
    """Return where `$callMode` stands among `names`. Raises `BadArguments` on a second, or on another case.

    Another case is refused because .NET's binders ignore case: the upstream might take it for `$callMode`.
    """
    found = None
    for index, name in enumerate(names):
        if name.lower() != MEMBER.lower():
            continue
        if name != MEMBER:
            raise BadArguments("call-mode-name", f"the argument is spelled {MEMBER}, in this case only")
        if found is not None:
            raise _duplicate()
        found = index
    return found


def _mode(raw: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.ValidationError as error:
        raise BadArguments("call-mode-type", f"{MEMBER} takes a string") from error


def _duplicate() -> BadArguments:
    return BadArguments("duplicate-member", "a name stands twice among the arguments")


def _too_deep() -> BadArguments:
    return BadArguments("too-deep", "the body's arrays and objects are nested too deeply")
