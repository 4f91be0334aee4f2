"""`callmode demo`: every caller mode over every upstream mode, through real HTTP, before the eyes of whoever asks.

It runs the simulator and the gateway as processes of their own and is then a caller like any other: of the gateway's
code it knows the table of modes alone, everything else it learns over HTTP. Only the command line imports it.
"""

from gateway.demo.command import demo

__all__ = ["demo"]
