"""The command line. Heavy imports wait until a command needs them, so that `callmode --help` is quick.

`serve` is the one command that runs a gateway; `jobs` and `callbacks` ask a running one over HTTP.
"""

import sys

from gateway.cli.process import uncollected

__all__ = ["main"]


def main() -> None:
    """Run the command `callmode`."""
    with uncollected():
        if sys.argv[1:2] == ["serve"]:
            # Putting all other commands together takes as long as a tenth of a gateway's start.
            from gateway.cli.serve import app
        else:
            from gateway.cli.command import app
    app()
