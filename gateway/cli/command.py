"""The command `callmode`, and those of its subcommands that are about a gateway as a whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.callbacks import callbacks_app
from gateway.cli.jobs import jobs_app
from gateway.cli.process import fail, on_stop, run, uncollected
from gateway.cli.simulate import simulate

if TYPE_CHECKING:
    from gateway.config import Config

app = typer.Typer(
    name="callmode",
    help="A gateway in front of Orchestrator's API triggers: any call mode in, any call mode out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keyring_app = typer.Typer(help="Keys for sealing, links and hashes.", no_args_is_help=True)
app.add_typer(keyring_app, name="keyring")
app.add_typer(jobs_app, name="jobs")
app.add_typer(callbacks_app, name="callbacks")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("callmode-gateway"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


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


@app.command()
def check(config: Annotated[Path, typer.Argument(help="Configuration file.")]) -> None:
    """Validate a configuration file: 0 if it is good, else 1 and every error with its place."""
    from gateway.config import ConfigError, load

    try:
        settings = load(config)
    except ConfigError as error:
        fail(str(error))
    routes = len(settings.web.routes)
    typer.echo(f"{config}: good: {routes} route{'' if routes == 1 else 's'}, upstream {settings.upstream.url}")


@app.command()
def health(url: Annotated[str, typer.Option(help="What to ask.")] = "http://127.0.0.1:8080/-/healthz") -> None:
    """Ask a running gateway whether it serves: 0 or 1. For container health checks."""
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=3) as answer:  # noqa: S310 - the operator's own URL
            raise typer.Exit(0 if answer.status == 200 else 1)
    except HTTPError as answer:
        answer.close()
        fail(f"{url}: {answer}")
    except (URLError, OSError, ValueError) as error:
        fail(f"{url}: {error}")


app.command()(simulate)


@app.command()
def demo(
    serve: Annotated[bool, typer.Option("--serve", help="Leave all running, and print lines to try.")] = False,
) -> None:
    """Show every caller mode over every upstream mode, on a simulated Orchestrator: 0 if all came out exact."""
    from gateway.demo import demo as run_demo

    raise typer.Exit(run(run_demo(serve=serve)))


@keyring_app.command("new")
def keyring_new() -> None:
    """Print a new keyring: put it where all replicas read it, and nowhere else."""
    from gateway.auth.keyring import generate

    typer.echo(generate(), nl=False)


def main() -> None:
    """Run the command `callmode`."""
    app()
