"""`callmode serve`: the gateway itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.process import fail, on_stop, run, uncollected

if TYPE_CHECKING:
    from gateway.config import Config

app = typer.Typer(name="callmode", add_completion=False, pretty_exceptions_enable=False)
"""The command line with this command alone: see `gateway.cli.main`."""


@app.callback()
def _alone() -> None:
    """Keep `serve` the name of a command: without this the only one would need none."""


@app.command()
def serve(
    config: Annotated[Path | None, typer.Argument(help="Configuration file; flags win over it.")] = None,
    upstream: Annotated[str | None, typer.Option(help="Orchestrator's base URL, …/orchestrator_")] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT of the data port.")] = None,
    admin: Annotated[str | None, typer.Option(help="HOST:PORT of the admin port, or `off`.")] = None,
    public_url: Annotated[str | None, typer.Option(help="What job URLs begin with.")] = None,
    caller_mode: Annotated[str | None, typer.Option(help="The mode of callers who do not say.")] = None,
    store: Annotated[str | None, typer.Option(help="redis:// URL; without it, an embedded store.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded store keeps its jobs.")] = None,
    workers: Annotated[str | None, typer.Option(help="How many processes serve, or `auto`.")] = None,
) -> None:
    """Run the gateway."""
    with uncollected():
        from gateway.app.workers.cpus import usable_cpus
        from gateway.config import ConfigError, Overrides, from_flags, load
        from gateway.observability.logs import configure

    overrides = Overrides(
        upstream=upstream,
        listen=listen,
        admin=admin,
        public_url=public_url,
        caller_mode=caller_mode,
        store=store,
        data_dir=data_dir,
        workers=int(workers) if workers and workers.isdecimal() else workers,
    )

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
