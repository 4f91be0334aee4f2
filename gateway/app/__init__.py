"""The composition root: settings in, a running gateway out. Nowhere else are concrete adapters named."""

from gateway.app.lifecycle import running, serve

__all__ = ["running", "serve"]
