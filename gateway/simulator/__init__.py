"""An Orchestrator to develop, demonstrate and test against: API triggers in all three call modes, over plain HTTP.

It knows nothing of the gateway and imports nothing of it; what it gets right or wrong, it gets so on the wire.
`Settings` say what the tenant is like, `Simulator(settings).app()` is an aiohttp application, `serve` runs one. What a
job does is said by the start's own arguments (`arguments.CONTROLS`).
"""

from gateway.simulator.arguments import CONTROLS
from gateway.simulator.counters import Counters
from gateway.simulator.jobs import Job
from gateway.simulator.server import serve
from gateway.simulator.settings import ASYNC, FORGET, LONG_POLLING, MODES, Settings, Trigger
from gateway.simulator.simulator import Simulator

__all__ = [
    "ASYNC",
    "CONTROLS",
    "FORGET",
    "LONG_POLLING",
    "MODES",
    "Counters",
    "Job",
    "Settings",
    "Simulator",
    "Trigger",
    "serve",
]
