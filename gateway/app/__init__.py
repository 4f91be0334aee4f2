"""The composition root: settings in, a running gateway out. Nothing but the command line imports it."""

from gateway.app.lifecycle import running, serve

__all__ = ["running", "serve"]
