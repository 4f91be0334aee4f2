"""`callmode simulate`: an Orchestrator to develop, demo and test against."""

from __future__ import annotations

import argparse

from gateway.cli.process import Commands, command, fail, run, say, stop_signal


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "simulate", simulate)

    def option(name: str, default: object, text: str, **how: object) -> None:
        parser.add_argument(f"--{name}", default=default, help=f"{text} (default: {default})", **how)  # type: ignore[arg-type]

    def several(name: str, metavar: str, text: str) -> None:
        parser.add_argument(f"--{name}", action="append", default=[], metavar=metavar, help=f"{text}; may come again")

    switch = argparse.BooleanOptionalAction
    option("listen", "127.0.0.1:8090", "where", metavar="HOST:PORT")
    option("mode", "AsyncRequestReply", "the triggers' own call mode")
    option("duration", 1.0, "seconds that a job runs when its arguments do not say", type=float)
    option("leg", 25.0, "seconds that a long-poll leg is held", type=float)
    option("sync-limit", 900.0, "seconds after which a long-poll is given up", type=float)
    option("auth", True, "ask for a bearer token on every call", action=switch)
    option("redirect-auth", True, "ask for it on a long-poll's redirects too", action=switch)
    option("relative", False, "send relative Locations", action=switch)
    several("fault", "FAULT", "a fault to draw from")
    option("fault-rate", 0.0, "share of calls that a fault befalls", type=float)
    option("seed", 0, "seed of the faults", type=int)
    several("client", "ID:SECRET", "an OAuth client, and then only issued tokens are good")
    option("token-lifetime", 3600, "seconds that an issued token is good", type=int)
    several("webhook", "URL", "a URL to tell of jobs' events")
    parser.add_argument("--webhook-secret", metavar="SECRET", help="what webhooks are signed with")


def simulate(
    *,
    listen: str,
    mode: str,
    duration: float,
    leg: float,
    sync_limit: float,
    auth: bool,
    redirect_auth: bool,
    relative: bool,
    fault: list[str],
    fault_rate: float,
    seed: int,
    client: list[str],
    token_lifetime: int,
    webhook: list[str],
    webhook_secret: str | None,
) -> None:
    """Run an Orchestrator to develop, demo and test against. Its admin page is at /_sim."""
    from gateway.simulator import Settings, Webhook
    from gateway.simulator import serve as serve_simulator
    from gateway.simulator.faults import read_fault

    try:
        for text in fault:
            read_fault(text)
        settings = Settings(
            mode=mode,
            duration=duration,
            leg=leg,
            sync_limit=sync_limit,
            require_auth=auth,
            require_auth_on_redirects=redirect_auth,
            location="relative" if relative else "absolute",
            faults=tuple(fault),
            fault_rate=fault_rate,
            seed=seed,
            oauth_clients=dict(map(_id_secret, client)) if client else None,
            token_lifetime=token_lifetime,
            webhooks=tuple(Webhook(url=url, secret=webhook_secret) for url in webhook),
        )
        host, port = _host_port(listen)
    except ValueError as error:
        fail(str(error))

    def ready(host: str, port: int) -> None:
        say(f"simulator on http://{host}:{port}/acme/prod/orchestrator_ (faults and counters: /_sim)", error=True)

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
