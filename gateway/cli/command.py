"""The command `callmode`, and those of its subcommands that are about a gateway as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.callbacks import callbacks_app
from gateway.cli.jobs import jobs_app
from gateway.cli.process import fail, run
from gateway.cli.serve import serve
from gateway.cli.simulate import simulate

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


app.command()(serve)


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
