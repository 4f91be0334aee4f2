"""Requests are read by aiohttp's C parser. Apart from the server: who only names the error imports no server."""

from __future__ import annotations


class WeakParserError(RuntimeError):
    """aiohttp runs on its pure-Python parser, which lets pass what its C parser refuses."""


def require_c_parser() -> None:
    """Raise `WeakParserError` where aiohttp has no C parser."""
    from aiohttp import http_parser

    if http_parser.HttpRequestParser.__module__ == "aiohttp.http_parser":
        raise WeakParserError("aiohttp's C extension is missing: install aiohttp with its binary wheel")
