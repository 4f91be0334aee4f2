"""The command `callmode`, and those of its subcommands that are about a gateway as a whole."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.cli import callbacks, jobs, serve, simulate
from gateway.cli.process import Commands, command, fail, group, run, say


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command `callmode`."""
    parser = _parser()
    known, unknown = parser.parse_known_args(arguments)
    if unknown:  # What was misspelt may have a secret for a value: argparse itself would print it.
        names = [each.partition("=")[0] for each in unknown if each.startswith("-")]
        parser.error(f"unrecognized options: {' '.join(names)}" if names else "too many arguments")
    options = vars(known)
    try:
        options.pop("run")(**options)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # nobody reads on; nor is what is left for them (docs.python.org/3/library/signal.html)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="callmode",
        description="A gateway in front of Orchestrator's API triggers: any call mode in, any call mode out.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help="print the version and exit"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (serve.add, _add_check, _add_health, simulate.add, _add_demo, _add_keyring, jobs.add, callbacks.add):
        add(commands)
    return parser


class _Version(argparse.Action):
    def __call__(self, *_: object) -> None:
        from importlib.metadata import version

        say(version("callmode-gateway"))
        sys.exit()


def _add_check(commands: Commands) -> None:
    parser = command(commands, "check", check)
    parser.add_argument("config", type=Path, metavar="CONFIG", help="configuration file")


def check(config: Path) -> None:
    """Validate a configuration file: 0 if it is good, else 1 and every error with its place."""
    from gateway.config import ConfigError, load

    try:
        settings = load(config)
    except ConfigError as error:
        fail(str(error))
    routes = len(settings.web.routes)
    say(f"{config}: good: {routes} route{'' if routes == 1 else 's'}, upstream {settings.upstream.url}")


def _add_health(commands: Commands) -> None:
    parser = command(commands, "health", health)
    parser.add_argument("--url", default="http://127.0.0.1:8080/-/healthz", help="what to ask (default: %(default)s)")


def health(url: str) -> None:
    """Ask a running gateway whether it serves: 0 or 1. For container health checks."""
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=3) as answer:  # noqa: S310 - the operator's own URL
            sys.exit(0 if answer.status == 200 else 1)
    except HTTPError as answer:
        answer.close()
        fail(f"{url}: {answer}")
    except (URLError, OSError, ValueError) as error:
        fail(f"{url}: {error}")


def _add_demo(commands: Commands) -> None:
    parser = command(commands, "demo", demo)
    parser.add_argument("--serve", action="store_true", help="leave all running, and print lines to try")


def demo(*, serve: bool) -> None:
    """Show every caller mode over every upstream mode, on a simulated Orchestrator: 0 if all came out exact."""
    from gateway.demo import demo as run_demo

    sys.exit(run(run_demo(serve=serve)))


def _add_keyring(commands: Commands) -> None:
    command(group(commands, "keyring", "Keys for sealing, links and hashes."), "new", keyring_new)


def keyring_new() -> None:
    """Print a new keyring: put it where all replicas read it, and nowhere else."""
    from gateway.auth.keyring import generate

    say(generate().removesuffix("\n"))
