"""The command line. Heavy imports wait until a command needs them, so that `callmode --help` is quick.

`serve` is the one command that runs a gateway; `jobs` and `callbacks` ask a running one over HTTP.
"""

from gateway.cli.command import app, main

__all__ = ["app", "main"]
