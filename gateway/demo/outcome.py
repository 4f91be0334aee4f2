"""What the jobs of the demo give back, and whether an answer is exactly that. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

JSON = "application/json; charset=utf-8"


@dataclass(frozen=True)
class Outcome:
    """An outcome as a caller got it, in whichever way: status, header fields and bytes."""

    status: int
    headers: Mapping[str, str]
    """Case-insensitive, or with names in the usual spelling."""
    body: bytes


def output_of(tag: str) -> str:
    """Return what the job `tag` gives back: JSON that no JSON library would write again in just this way."""
    return f'{{"job": "{tag}",  "customer": "Zażółć gęślą jaźń · 株式会社 · 🧾", "amount": 1.10, "rate": 1E-7 }}\n'


def arguments(tag: str, duration: float) -> dict[str, Any]:
    """Return the arguments of a job that runs `duration` seconds and gives back `output_of(tag)`, byte for byte."""
    return {"id": tag, "duration": duration, "output_text": output_of(tag), "output_type": JSON}


def not_the_output(got: Outcome, tag: str) -> str | None:
    """Return what makes `got` another outcome than that of the job `tag`; None where it is exactly that."""
    if got.status != 200:
        return f"the outcome has status {got.status} instead of 200: {_excerpt(got.body)}"
    content_type = got.headers.get("Content-Type")
    if content_type != JSON:
        return f"the outcome's Content-Type is {content_type!r} instead of {JSON!r}"
    expected = output_of(tag).encode()
    if got.body != expected:
        return f"the outcome's bytes differ from byte {_first_difference(got.body, expected)}: {_excerpt(got.body)}"
    return None


def not_dispatched(got: Outcome, job_id: str) -> str | None:
    """Return what makes `got` another answer than `dispatched`, all that can be known where a trigger forgets.

    That is 202 with the job's monitor as JSON, and no invitation to come again: no Location, no Retry-After.
    """
    if got.status != 202:
        return f"a dispatched job is answered {got.status} instead of 202: {_excerpt(got.body)}"
    for name in ("Location", "Retry-After"):
        if name in got.headers:
            return f"a dispatched job's answer has {name}, as if there were more to come"
    try:
        monitor = json.loads(got.body)
        seen = monitor["id"], monitor["status"]
    except (ValueError, KeyError, TypeError):
        return f"a dispatched job's answer is not its monitor: {_excerpt(got.body)}"
    if seen != (job_id, "dispatched"):
        return f"the monitor shows job {seen[0]} as {seen[1]} instead of {job_id} as dispatched"
    return None


def _first_difference(got: bytes, expected: bytes) -> int:
    pairs = zip(got, expected, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(got), len(expected)))


def _excerpt(body: bytes) -> str:
    text = body.decode(errors="replace").strip()
    return text if len(text) <= 120 else f"{text[:119]}…"
