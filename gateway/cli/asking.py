"""How the commands that talk to a running gateway ask it: one JSON document each way, and one line when that fails."""

from __future__ import annotations

import json
from typing import Any

from gateway.cli.process import fail

ADMIN = "http://127.0.0.1:9090"
"""Where the admin port is unless configured otherwise."""

_TIMEOUT = 30


def ask(
    url: str, path: str, *, method: str = "GET", body: object = None, token: str | None = None
) -> tuple[int, dict[str, Any]]:
    """Call `path` of the gateway at `url`; return its status and document, {} for what is none.

    Ends the command if nobody answers.
    """
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    headers = {"Accept": "application/json"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
    data = None if body is None else json.dumps(body).encode()
    if data is not None:
        headers["Content-Type"] = "application/json"
    try:
        # The operator's own URL.
        request = Request(url.rstrip("/") + path, data, headers, method=method)  # noqa: S310
        with urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            return answer.status, _document(answer.read())
    except HTTPError as refused:
        with refused:
            return refused.code, _document(refused.read())
    except (URLError, OSError, ValueError, HTTPException) as error:
        fail(f"{url}: {error}")


def quoted(text: str) -> str:
    """Return text as a segment of a path or a value in a query."""
    from urllib.parse import quote

    return quote(text, safe="")


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
