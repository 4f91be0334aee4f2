"""What every mapping of the configuration file is made with."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

LIST = Field(strict=False)  # YAML has lists, the settings tuples


class Keys(BaseModel):
    """Some keys of the file. Types are strict, unknown keys are errors."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
