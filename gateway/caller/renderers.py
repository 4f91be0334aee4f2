"""The renderer of each caller mode."""

from __future__ import annotations

from gateway.caller import callback, forget, long_poll, polling, stream, sync, upstream
from gateway.caller.port import Renderer
from gateway.core.modes import CallerMode

_RENDERERS: dict[CallerMode | None, Renderer] = {
    CallerMode.SYNC: sync.render,
    CallerMode.ASYNC: polling.render,
    CallerMode.LONG_POLL: long_poll.render,
    CallerMode.FORGET: forget.render,
    CallerMode.CALLBACK: callback.render,
    CallerMode.STREAM: stream.render,
    None: upstream.render,
}


def renderer(mode: CallerMode | None) -> Renderer:
    """Return the renderer of `mode`; of None, the one that answers as the trigger does."""
    return _RENDERERS[mode]
