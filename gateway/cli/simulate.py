"""`callmode simulate`: an Orchestrator to develop, demo and test against."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.process import fail, run, stop_signal


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
        fail(str(error))

    def ready(host: str, port: int) -> None:
        typer.echo(f"simulator on http://{host}:{port}/acme/prod/orchestrator_ (faults and counters: /_sim)", err=True)

    async def until_signal() -> None:
        import asyncio

        stop = stop_signal()
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
        fail(failure)


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
