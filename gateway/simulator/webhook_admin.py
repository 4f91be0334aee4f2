"""`/_sim/webhooks`: webhooks registered, looked at and enabled again while the simulator runs.

GET    /_sim/webhooks          every webhook, and what became of its events
POST   /_sim/webhooks          {"url": …, "secret": … or null, "events": [type, …], "name": …}: register one
POST   /_sim/webhooks/enable   close every circuit breaker now
DELETE /_sim/webhooks          remove all
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from gateway.simulator.answers import json_answer
from gateway.simulator.settings import WEBHOOK_EVENTS, Webhook
from gateway.simulator.webhooks import Hook, Webhooks


class WebhookAdmin:
    """The handlers below `/_sim/webhooks`."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes of the table above."""
        router.add_get("/_sim/webhooks", self.all)
        router.add_post("/_sim/webhooks", self.register)
        router.add_post("/_sim/webhooks/enable", self.enable)
        router.add_delete("/_sim/webhooks", self.remove)

    async def all(self, _: web.Request) -> web.Response:
        """Answer with every webhook."""
        return _ok([_shown(hook) for hook in self._webhooks.hooks])

    async def register(self, request: web.Request) -> web.Response:
        """Register a webhook; 400 says what is wrong with it."""
        try:
            hook = self._webhooks.register(_read_webhook(await request.json()))
        except (ValueError, TypeError) as wrong:
            return json_answer(400, {"error": str(wrong)}).response()
        return _ok(_shown(hook))

    async def enable(self, _: web.Request) -> web.Response:
        """Close every breaker."""
        for hook in self._webhooks.hooks:
            hook.disabled_until = 0.0
        return _ok({})

    async def remove(self, _: web.Request) -> web.Response:
        """Remove every webhook; deliveries that have begun go on."""
        self._webhooks.hooks.clear()
        return _ok({})


def _read_webhook(given: Any) -> Webhook:
    """Return the webhook that a JSON body describes. Raises ValueError or TypeError."""
    if not isinstance(given, dict) or not isinstance(given.get("url"), str):
        raise TypeError('a webhook is {"url": …, "secret": …, "events": [type, …], "name": …}')
    unknown = set(given) - {"url", "secret", "events", "name"}
    if unknown:
        raise ValueError(f"a webhook has no {', '.join(sorted(unknown))}")
    return Webhook(
        url=given["url"],
        secret=None if given.get("secret") is None else str(given["secret"]),
        events=frozenset(given.get("events") or WEBHOOK_EVENTS),
        name=str(given.get("name", "webhook")),
    )


def _shown(hook: Hook) -> dict[str, Any]:
    """Return a webhook for people and scripts to read; its secret stays untold."""
    disabled = hook.disabled_until - asyncio.get_running_loop().time()
    return {
        "name": hook.webhook.name,
        "url": hook.webhook.url,
        "events": sorted(hook.webhook.events),
        "signed": hook.webhook.secret is not None,
        "disabled_for": max(0.0, disabled),
        "seen": hook.events,
        "sent": hook.sent,
        "failed": hook.failed,
        "skipped": hook.skipped,
        "lost": hook.lost,
    }


def _ok(value: Any) -> web.Response:
    return json_answer(200, value).response()
