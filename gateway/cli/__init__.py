"""The command line. Heavy imports wait until a command needs them, so that `callmode --help` is quick.

`serve` is the one command that runs a gateway; `jobs` and `callbacks` ask a running one over HTTP. Each module has
functions that are commands, and `add`, which says what their arguments are: with argparse, since libraries that read
them from signatures take as long as a third of a gateway's start.
"""

from gateway.cli.command import main

__all__ = ["main"]
