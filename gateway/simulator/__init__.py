"""An Orchestrator to develop, demonstrate and test against, over plain HTTP.

It has API triggers in all three call modes, the Jobs API over the same jobs, an identity server and webhooks.

It knows nothing of the gateway and imports nothing of it; what it gets right or wrong, it gets so on the wire.
`Settings` say what the tenant is like, `Simulator(settings).app()` is an aiohttp application, `serve` runs one. What a
job does is said by the start's own arguments (`arguments.CONTROLS`).
"""

from gateway.simulator.arguments import CONTROLS
from gateway.simulator.counters import Counters
from gateway.simulator.job import Job
from gateway.simulator.server import serve
from gateway.simulator.settings import (
    ASYNC,
    FORGET,
    LONG_POLLING,
    MODES,
    WEBHOOK_EVENTS,
    Settings,
    Trigger,
    Webhook,
    WebhookTraffic,
)
from gateway.simulator.simulator import Simulator

__all__ = [
    "ASYNC",
    "CONTROLS",
    "FORGET",
    "LONG_POLLING",
    "MODES",
    "WEBHOOK_EVENTS",
    "Counters",
    "Job",
    "Settings",
    "Simulator",
    "Trigger",
    "Webhook",
    "WebhookTraffic",
    "serve",
]
