"""The arguments of a start: read from query and body, and what they tell the simulator to do.

Every argument whose name stands in `CONTROLS` drives the simulated job; all others are the process's own, and are what
a job gives back when nothing else is asked of it. The argument `id`, if there is one, is a correlation tag: the
simulator counts starts by it and notes when the job that carries it ended.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

CALL_MODE = "$callMode"

CONTROLS = {
    "duration": "seconds that the job runs (default: the trigger's)",
    "pending": "seconds that the job is Pending before it runs (default 0)",
    "ignoreStop": "true: the job does not heed a SoftStop",
    "stop_delay": "seconds from a SoftStop to the job's end (default: the tenant's)",
    "output": "any JSON value: the job's output (default: its arguments, without these controls)",
    "output_size": "bytes of JSON to make up as the output",
    "output_text": "the output as text/plain",
    "output_base64": "the output as bytes, in base64",
    "output_type": "the output's Content-Type",
    "output_gzip": "true: the output is sent with Content-Encoding: gzip",
    "output_headers": "an object of further header fields for the output",
    "status": "the output's HTTP status (default 200)",
    "fail": "a message: the job faults with it (500, error code 4801)",
    "fail_code": "the error code of that fault (4802: stopped)",
    "fault": "what goes wrong with the calls of this job: a name from the table in faults.py",
    "fault_on": "start (default), status, leg or output: with which call it goes wrong",
    "fault_times": "how often it goes wrong (default: every start of this kind; once for a read)",
}
"""The arguments that the simulator acts on, each with its meaning. Query strings give the same as JSON values."""


class BadArgumentsError(Exception):
    """The start cannot be understood: Orchestrator's 400 with error code 4804."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of one start.

    `values` holds those of query and JSON body (the body wins); a value from the query is a string. A body that is not
    JSON by its label is kept whole in `blob`, with its Content-Type in `blob_type`.
    """

    values: Mapping[str, Any]
    blob: bytes | None = None
    blob_type: str = ""

    @property
    def own(self) -> dict[str, Any]:
        """The process's own arguments: all but `$callMode` and the controls."""
        return {k: v for k, v in self.values.items() if k not in CONTROLS and k != CALL_MODE}

    @property
    def sent(self) -> dict[str, Any]:
        """What the caller sent, the controls included, without `$callMode`: the job's input arguments."""
        return {k: v for k, v in self.values.items() if k != CALL_MODE}

    @property
    def size(self) -> int:
        """How many characters the process's own arguments have, as JSON; a blob counts by its bytes."""
        own = self.own
        characters = len(json.dumps(own, ensure_ascii=False, separators=(",", ":"))) if own else 0
        return characters + len(self.blob or b"")

    @property
    def tag(self) -> str | None:
        """The correlation tag: the argument `id` as a string."""
        tag = self.values.get("id")
        return None if tag is None else str(tag)

    def text(self, name: str) -> str | None:
        """Return a control as a string, or None where it was not given."""
        value = self.values.get(name)
        return None if value is None else str(value)

    def number(self, name: str, default: float) -> float:
        """Return a control as a finite number; a numeric string counts as one.

        Raises BadArgumentsError for anything else.
        """
        value = self.values.get(name)
        if value is None:
            return float(default)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise BadArgumentsError(f"Argument '{name}' is not a number.")
        return number

    def integer(self, name: str, default: int) -> int:
        """Return a control as an integer. Raises BadArgumentsError where it is not one."""
        value = self.number(name, default)
        if not value.is_integer():
            raise BadArgumentsError(f"Argument '{name}' is not an integer.")
        return int(value)

    def flag(self, name: str) -> bool:
        """Return a control as a boolean; from a query, `true` and `1` are true."""
        return str(self.values.get(name, "")).lower() in {"true", "1"}

    def json(self, name: str) -> Any:
        """Return a control as a JSON value; a string that parses as JSON (as in a query) is parsed.

        From a JSON body the value is returned as it is, a string included.
        """
        value = self.values[name]
        if not isinstance(value, QueryText):
            return value
        try:
            return json.loads(value)
        except ValueError:
            return str(value)


class QueryText(str):
    """A value that came in the query string, where JSON values can only be written as text."""

    __slots__ = ()


def read_arguments(query: Mapping[str, str], content_type: str, body: bytes) -> Arguments:
    """Return the arguments of a start.

    Raises BadArgumentsError for a body that is labelled JSON and is not a JSON object, an empty one included.
    """
    values: dict[str, Any] = {name: QueryText(value) for name, value in query.items()}
    if _is_json(content_type):
        values |= _json_object(body)
    elif body:
        return Arguments(values, body, content_type or "application/octet-stream")
    return Arguments(values)


def _is_json(content_type: str) -> bool:
    """Whether a Content-Type names JSON: `application/json`, `text/json` or a `+json` suffix."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type in {"application/json", "text/json"} or media_type.endswith("+json")


def _json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`, or raise BadArgumentsError in Orchestrator's words."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise BadArgumentsError("Could not parse body as json.") from None
    if not isinstance(value, dict):
        raise BadArgumentsError("Could not parse body as json.")
    return value


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's parser would take."""
    raise ValueError(name)
