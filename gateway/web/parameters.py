"""Counts in a job URL's query. Links are the gateway's own: what is broken in one is as if it were not there."""

from __future__ import annotations

from aiohttp import web

_DIGITS = 6
"""Beyond, a count is as good as without end."""


def number(value: str | None) -> int:
    """Return a count from the query, as large as any that means something; 0 for what is none."""
    if not value or not (value.isascii() and value.isdigit()):
        return 0
    return int(value) if len(value) <= _DIGITS else 10**_DIGITS


def share_of(request: web.Request) -> int:
    """Return which share of its job a link is about; 0 for the job itself."""
    return number(request.query.get("share"))
