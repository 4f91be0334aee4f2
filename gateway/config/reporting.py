"""pydantic's errors → faults in the words of the file, with a hint where a key looks misspelled or misplaced.

A wrong value is repeated only when it stands in the file itself and its key holds no secret.
"""

from __future__ import annotations

import difflib

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.descriptions import descriptions
from gateway.config.errors import Fault, Key
from gateway.config.interpolation import Interpolated
from gateway.config.model import sections

_SECRET = frozenset({
    "bearer", "keyring", "secret", "secrets", "callback_secrets", "password", "sentinel_password", "url",
    "callback_url", "public_url",
})  # fmt: skip
"""Keys whose values are secrets, or are URLs in which people write them."""
_LONGEST = 60
_PLAIN = {
    "missing": "is missing",
    "model_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list, such as [a, b]",
    "too_short": "must not be empty",
}


def faults(error: ValidationError) -> list[Fault]:
    """Return what pydantic found. A list whose items are wrong is not called empty as well."""
    details = error.errors(include_url=False)
    deeper = {detail["loc"][:-1] for detail in details}
    return [_fault(detail) for detail in details if detail["type"] != "too_short" or detail["loc"] not in deeper]


def _fault(detail: ErrorDetails) -> Fault:
    key: Key = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return Fault(key, f"unknown key{_hint(key)}")
    if detail["type"] == "missing":
        return Fault(key, f"is missing. {_description(key)}")
    if detail["type"] == "value_error":
        return Fault(key, f"{detail['ctx']['error']}{_repeated(key, detail['input'])}")
    return Fault(key, _PLAIN.get(detail["type"], detail["msg"]))


def _repeated(key: Key, value: object) -> str:
    if isinstance(value, Interpolated) or not _SECRET.isdisjoint(key) or not isinstance(value, str | int | float):
        return ""
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return f", not {shown}" if value != "" and len(shown) <= _LONGEST else ""


def _section(key: Key) -> str:
    """Return the section that a key stands in: `routes` for `routes[0].path`, `upstream.oauth` for one below that."""
    return ".".join(part for part in key[:-1] if isinstance(part, str))


def _hint(key: Key) -> str:
    section, name = _section(key), str(key[-1])
    known = list(sections()[section].model_fields)
    if near := difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1):
        return f"; did you mean {near[0]}?"
    for other, model in sections().items():
        if name in model.model_fields:
            return f"; did you mean {other}.{name}?" if other else f"; {name} belongs at the top, outside {section}"
    return f"; known here are {', '.join(known)}"


def _description(key: Key) -> str:
    return descriptions(sections()[_section(key)]).get(str(key[-1]), "")
