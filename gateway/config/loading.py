"""`load` and `from_flags`: the way from a file, flags and the environment to a `Config`.

Flags win over the file, the file over the environment. Of the environment's own variables only `CALLMODE_KEYRING` is
read, where nothing else says where the keyring is; all others come in by `${env:NAME}`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from gateway.config import checks
from gateway.config.document import Document, read
from gateway.config.interpolation import interpolator
from gateway.config.mapping import Config, settings
from gateway.config.model import GatewayKeys
from gateway.config.overrides import Overrides, override
from gateway.config.reporting import faults


def load(path: Path, *, overrides: Overrides | None = None, environment: Mapping[str, str] = os.environ) -> Config:
    """Return what a file says, flags over it. Raise ConfigError with everything that is wrong in it."""
    document = read(path, interpolator(environment, path.parent))
    return _config(document, overrides or Overrides(), path.parent, environment)


def from_flags(overrides: Overrides, *, environment: Mapping[str, str] = os.environ) -> Config:
    """Return what flags alone say: a complete gateway needs no more than `--upstream`. Raise ConfigError."""
    return _config(Document("command line"), overrides, Path.cwd(), environment)


def _config(document: Document, overrides: Overrides, directory: Path, environment: Mapping[str, str]) -> Config:
    override(document, overrides)
    try:
        keys = GatewayKeys.model_validate(document.data)
    except ValidationError as error:
        raise document.error(faults(error)) from None
    if wrong := checks.faults(keys, environment):
        raise document.error(wrong)
    return settings(keys, directory.absolute(), environment)
