"""`callmode serve`: the gateway itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.process import Commands, command, fail, on_stop, run, uncollected

if TYPE_CHECKING:
    from gateway.config import Config


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "serve", serve)
    parser.add_argument("config", type=Path, nargs="?", metavar="CONFIG", help="configuration file; flags win over it")
    parser.add_argument("--upstream", metavar="URL", help="Orchestrator's base URL, …/orchestrator_")
    parser.add_argument("--listen", metavar="HOST:PORT", help="the data port")
    parser.add_argument("--admin", metavar="HOST:PORT", help="the admin port, or `off`")
    parser.add_argument("--public-url", metavar="URL", help="what job URLs begin with")
    parser.add_argument("--caller-mode", metavar="MODE", help="the mode of callers who do not say")
    parser.add_argument("--store", metavar="URL", help="redis:// URL; without it, an embedded store")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where the embedded store keeps its jobs")
    parser.add_argument("--workers", metavar="N", help="how many processes serve, or `auto`")


def serve(config: Path | None, workers: str | None, **flags: Any) -> None:
    """Run the gateway."""
    with uncollected():
        from gateway.app.workers.cpus import usable_cpus
        from gateway.config import ConfigError, Overrides, from_flags, load
        from gateway.observability.logs import configure

    overrides = Overrides(workers=int(workers) if workers and workers.isdecimal() else workers, **flags)

    def read() -> Config:
        return load(config, overrides=overrides) if config else from_flags(overrides)

    try:
        settings = read()
    except ConfigError as error:
        fail(str(error))
    count = settings.workers or usable_cpus()
    configure(settings.log, parent=count > 1)
    run(_serve(settings, count, read))


async def _serve(settings: Config, count: int, reread: Callable[[], Config]) -> None:
    from gateway.app.failures import CANNOT_SERVE, line
    from gateway.app.stop import Stop

    stop = Stop()
    on_stop(stop.wish)
    try:
        if count == 1:
            with uncollected():
                from gateway.app.lifecycle import serve
            await serve(settings, stop)
        else:
            from gateway.app.workers import parent

            await parent.serve(settings, count, stop, reread)
    except CANNOT_SERVE as error:
        fail(line(error))
