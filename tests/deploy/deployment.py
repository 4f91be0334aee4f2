"""Reads the deployment files for the tests beside it: YAML 1.2, where a key given twice is an error."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
CONFIGS = [
    DEPLOY / "image/gateway.yaml",
    DEPLOY / "compose/gateway.yaml",
    KUBERNETES / "internal/config/gateway.yaml",
    KUBERNETES / "sidecar/config/gateway.yaml",
]
"""Every configuration of the gateway that a deployment brings along."""


def documents(path: Path) -> list:
    """Return the YAML documents of one file."""
    return list(YAML(typ="safe").load_all(path))


def resources(directory: str) -> dict[tuple[str, str], dict]:
    """Return what the kustomization in `directory` names, by kind and name; a name given twice is an error."""
    base = KUBERNETES / directory
    [kustomization] = documents(base / "kustomization.yaml")
    found: dict[tuple[str, str], dict] = {}
    for name in kustomization["resources"]:
        for resource in documents(base / name):
            key = resource["kind"], resource["metadata"]["name"]
            assert key not in found, key
            found[key] = resource
    return found


def seconds(duration: str) -> float:
    """Return a duration of seconds as the configuration and Compose write it: `20s`."""
    return float(re.fullmatch(r"(\d+)s", duration)[1])


def version() -> str:
    """Return the project's version, which is the image's tag."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
