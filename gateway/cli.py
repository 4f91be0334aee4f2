"""The command line. Heavy imports wait until a command needs them, so that `callmode --help` is quick."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from gateway.cli_callbacks import callbacks_app
from gateway.cli_jobs import jobs_app

if TYPE_CHECKING:
    import asyncio

    from gateway.config import Config

T = TypeVar("T")

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
) -> None:
    """Run the gateway."""
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
    )
    try:
        settings = load(config, overrides=overrides) if config else from_flags(overrides)
    except ConfigError as error:
        _fail(str(error))
    configure(settings.log)
    run(_serve(settings))


async def _serve(settings: Config) -> None:
    from gateway.app import serve as serve_gateway
    from gateway.auth.keyring import KeyringError
    from gateway.store.embedded import EmbeddedStoreError
    from gateway.store.port import StoreDown
    from gateway.store.requirements import Unsuitable
    from gateway.web.servers import WeakParserError

    try:
        await serve_gateway(settings, _stop_signal())
    except (EmbeddedStoreError, KeyringError, Unsuitable, WeakParserError, OSError) as error:
        _fail(str(error))
    except StoreDown as error:
        _fail(f"the store cannot be reached: {error}")


@app.command()
def check(config: Annotated[Path, typer.Argument(help="Configuration file.")]) -> None:
    """Validate a configuration file: 0 if it is good, else 1 and every error with its place."""
    from gateway.config import ConfigError, load

    try:
        settings = load(config)
    except ConfigError as error:
        _fail(str(error))
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
        _fail(f"{url}: {answer}")
    except (URLError, OSError, ValueError) as error:
        _fail(f"{url}: {error}")


@app.command()
def simulate(
    listen: Annotated[str, typer.Option(help="HOST:PORT")] = "127.0.0.1:8090",
    mode: Annotated[str, typer.Option(help="The triggers' own call mode.")] = "AsyncRequestReply",
    duration: Annotated[float, typer.Option(help="Seconds that a job runs when its arguments do not say.")] = 1.0,
    leg: Annotated[float, typer.Option(help="Seconds that a long-poll leg is held.")] = 25.0,
    sync_limit: Annotated[float, typer.Option(help="Seconds after which a long-poll is given up.")] = 900.0,
    auth: Annotated[bool, typer.Option(help="Ask for a bearer token on every call.")] = True,
    redirect_auth: Annotated[bool, typer.Option(help="Ask for it on a long-poll's redirects too.")] = True,
    relative: Annotated[bool, typer.Option(help="Send relative Locations.")] = False,
    fault: Annotated[list[str] | None, typer.Option(help="A fault to draw from; may come again.")] = None,
    fault_rate: Annotated[float, typer.Option(help="Share of calls that a fault befalls.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the faults.")] = 0,
    client: Annotated[
        list[str] | None, typer.Option(help="ID:SECRET of an OAuth client; then only issued tokens are good.")
    ] = None,
    token_lifetime: Annotated[int, typer.Option(help="Seconds that an issued token is good.")] = 3600,
    webhook: Annotated[list[str] | None, typer.Option(help="A URL to tell of jobs' events; may come again.")] = None,
    webhook_secret: Annotated[str | None, typer.Option(help="What webhooks are signed with.")] = None,
) -> None:
    """Run an Orchestrator to develop, demo and test against. Its admin page is at /_sim."""
    from gateway.simulator import Settings, Webhook
    from gateway.simulator import serve as serve_simulator
    from gateway.simulator.faults import read_fault

    try:
        for text in fault or ():
            read_fault(text)
        settings = Settings(
            mode=mode,
            duration=duration,
            leg=leg,
            sync_limit=sync_limit,
            require_auth=auth,
            require_auth_on_redirects=redirect_auth,
            location="relative" if relative else "absolute",
            faults=tuple(fault or ()),
            fault_rate=fault_rate,
            seed=seed,
            oauth_clients=dict(map(_id_secret, client)) if client else None,
            token_lifetime=token_lifetime,
            webhooks=tuple(Webhook(url=url, secret=webhook_secret) for url in webhook or ()),
        )
        host, port = _host_port(listen)
    except ValueError as error:
        _fail(str(error))

    def ready(host: str, port: int) -> None:
        typer.echo(f"simulator on http://{host}:{port}/acme/prod/orchestrator_ (faults and counters: /_sim)", err=True)

    async def until_signal() -> None:
        import asyncio

        stop = _stop_signal()
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve_simulator(settings, host, port, on_ready=ready))
            await stop.wait()
            serving.cancel()

    failure = ""
    try:
        run(until_signal())
    except* OSError as errors:
        failure = str(errors.exceptions[0])
    if failure:
        _fail(failure)


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


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on the fastest event loop there is, and return what it returns."""
    import asyncio

    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)


def _stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    import asyncio
    import signal

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _host_port(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdigit():
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _id_secret(text: str) -> tuple[str, str]:
    name, separator, secret = text.partition(":")
    if not name or not separator or not secret:
        raise ValueError("a client is ID:SECRET")
    return name, secret


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    sys.exit(1)


def main() -> None:
    """Run the command `callmode`."""
    app()
