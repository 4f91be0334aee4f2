"""What an ended job answers: its output or its error, as the start's arguments asked for it."""

from __future__ import annotations

import base64
import binascii
import gzip

from gateway.simulator.answers import FAULTED, JSON, Answer, encode, error
from gateway.simulator.arguments import Arguments, BadArgumentsError

_PADDING = (b'{"padding":"', b'"}')


def outcome(arguments: Arguments, *, max_output: int) -> Answer:
    """Return the answer of a job that ended with these arguments.

    An output of more than `max_output` bytes is answered 200 with an empty body and no error, as Orchestrator does.
    Raises BadArgumentsError for a control that cannot be acted on; `check_outcome` finds that out before the start.
    """
    message = arguments.text("fail")
    if message is not None:
        failed = error(arguments.integer("status", 500), message, arguments.integer("fail_code", FAULTED))
        return Answer(failed.status, failed.body, (*failed.headers, *_further_fields(arguments)))
    body, content_type = output_of(arguments)
    if len(body) > max_output:
        return Answer(200)
    fields = [("Content-Type", arguments.text("output_type") or content_type)] if body else []
    if arguments.flag("output_gzip"):
        body = gzip.compress(body, compresslevel=1, mtime=0)
        fields.append(("Content-Encoding", "gzip"))
    return Answer(arguments.integer("status", 200), body, (*fields, *_further_fields(arguments)))


def check_outcome(arguments: Arguments) -> None:
    """Raise BadArgumentsError where a control has a value that no outcome can be made of."""
    if not 200 <= arguments.integer("status", 200) <= 599:
        raise BadArgumentsError("Argument 'status' is not a final HTTP status.")
    if arguments.integer("output_size", 0) < 0:
        raise BadArgumentsError("Argument 'output_size' is negative.")
    arguments.integer("fail_code", FAULTED)
    _further_fields(arguments)
    _decode(arguments.text("output_base64") or "")


def output_of(arguments: Arguments) -> tuple[bytes, str]:
    """Return the output's bytes and its default Content-Type."""
    given = arguments.values
    if "output_base64" in given:
        return _decode(arguments.text("output_base64") or ""), "application/octet-stream"
    if "output_text" in given:
        return (arguments.text("output_text") or "").encode("utf-8", "replace"), "text/plain; charset=utf-8"
    if "output_size" in given:
        return _made_up(arguments.integer("output_size", 0)), JSON
    if "output" in given:
        return encode(arguments.json("output")), JSON
    if arguments.blob is not None:
        return arguments.blob, arguments.blob_type
    return encode(arguments.own), JSON


def _made_up(size: int) -> bytes:
    """Return exactly `size` bytes of JSON (none at all for 0): a number while an object would not fit."""
    opening, closing = _PADDING
    room = size - len(opening) - len(closing)
    return b"1" * size if room < 0 else opening + b"x" * room + closing


def _decode(text: str) -> bytes:
    """Return the bytes that `text` is the base64 of, or raise BadArgumentsError."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadArgumentsError("Argument 'output_base64' is not base64.") from None


def _further_fields(arguments: Arguments) -> tuple[tuple[str, str], ...]:
    """Return the header fields that the arguments add to the output, or raise BadArgumentsError."""
    if "output_headers" not in arguments.values:
        return ()
    fields = arguments.json("output_headers")
    if not isinstance(fields, dict) or any("\r" in f"{k}{v}" or "\n" in f"{k}{v}" for k, v in fields.items()):
        raise BadArgumentsError("Argument 'output_headers' is not an object of header fields.")
    return tuple((str(name), str(value)) for name, value in fields.items())
