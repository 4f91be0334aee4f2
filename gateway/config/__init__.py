"""Configuration: YAML, flags and environment → the frozen settings that the packages declare.

`document` reads YAML and keeps places, `interpolation` fills in `${…}`, `model` says what keys there are, `checks`
compares them with each other, `mapping` makes the settings, `loading` is the way through all of them.
Only the command line and the composition root import this package: pydantic costs a tenth of a second at start-up.
"""

import os

# Else it looks through all installed packages for plugins, which takes 10 ms of a start; there are none for it here.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")

from gateway.config.errors import ConfigError
from gateway.config.loading import from_flags, load
from gateway.config.mapping import Config
from gateway.config.overrides import Overrides

__all__ = ["Config", "ConfigError", "Overrides", "from_flags", "load"]
