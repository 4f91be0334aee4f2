"""What the Dockerfile says, where no engine is at hand to ask the image."""

from __future__ import annotations

import json
import re
from importlib.metadata import requires
from urllib.parse import urlsplit

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.deployment import DEPLOY, ROOT, documents

DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
INSTRUCTIONS = [tuple(line.split(maxsplit=1)) for line in DOCKERFILE.splitlines() if line and line[0] not in "# "]
LAST_STAGE = INSTRUCTIONS[max(n for n, (word, _) in enumerate(INSTRUCTIONS) if word == "FROM") :]


def last(word: str) -> str:
    """Return the arguments of the last stage's one instruction of this name."""
    [arguments] = [arguments for name, arguments in LAST_STAGE if name == word]
    return arguments


def test_every_stage_has_the_same_pinned_base():
    """What is installed in the first stage finds the same Python in the last."""
    bases = {arguments.split()[0] for word, arguments in INSTRUCTIONS if word == "FROM"}
    assert bases == {"python:3.13-slim-bookworm"}


def test_it_runs_as_nobody_in_particular():
    """The user is a number (which runAsNonRoot can judge), not root's, and owns the data directory."""
    uid, gid = last("USER").split(":")
    assert int(uid) > 0
    assert int(gid) > 0
    assert f"--uid {uid} " in last("RUN")
    assert f"--owner callmode --group callmode --mode 0700 {last('VOLUME')}" in last("RUN")


def test_the_gateway_is_process_one():
    """Command and entry point are in exec form: no shell keeps SIGTERM to itself."""
    assert json.loads(last("ENTRYPOINT")) == ["callmode"]
    assert json.loads(last("CMD")) == ["serve", "/etc/callmode/gateway.yaml"]
    assert last("STOPSIGNAL") == "SIGTERM"


def test_ports_and_paths_agree_with_the_configuration_inside():
    """The exposed port, the health check's and the configuration's are one; so are the data directories."""
    [config] = documents(DEPLOY / "image/gateway.yaml")
    host, _, port = config["listen"].rpartition(":")
    assert host == "0.0.0.0"
    assert last("EXPOSE") == port
    probe = json.loads(last("HEALTHCHECK").partition(" CMD ")[2])
    assert probe[:3] == ["callmode", "health", "--url"]
    assert (urlsplit(probe[3]).port, urlsplit(probe[3]).path) == (int(port), "/-/healthz")
    assert config["store"]["data_dir"] == last("VOLUME")


def test_the_context_is_what_is_copied():
    """`.dockerignore` shuts everything out and lets in exactly what COPY takes."""
    copied = {
        source
        for word, arguments in INSTRUCTIONS
        if word == "COPY" and not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    }
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert let_in == {"deploy/image" if source.startswith("deploy/image/") else source for source in copied}
    assert all((ROOT / source).exists() for source in copied)


def test_packages_come_from_the_lock_with_their_hashes():
    """Everything installed is pinned and hashed; the project itself is built without an index."""
    installs = [arguments for word, arguments in INSTRUCTIONS if word == "RUN" and " install -" in arguments]
    first, second = (arguments for arguments in installs if arguments.startswith("pip "))
    assert "--require-hashes" in first
    assert "-r requirements/runtime.lock" in first
    assert "--no-index --no-deps --no-build-isolation ." in second


def _needed(name: str, extras: frozenset[str]) -> set[str]:
    """Return the distributions that `name` with `extras` needs to run, itself included."""
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(canonicalize_name(name), extras)]
    while todo:
        if (at := todo.pop()) in seen:
            continue
        seen.add(at)
        for requirement in map(Requirement, requires(at[0]) or ()):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in at[1] | {""}):
                todo.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return {name for name, _ in seen}


def test_what_only_builds_does_not_stay():
    """What is uninstalled after the build is in the lock, and nothing that runs needs it."""
    [removed] = re.findall(r" uninstall --yes (.+)", DOCKERFILE)
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements/runtime.lock").read_text(), re.MULTILINE))
    assert set(removed.split()) <= locked
    assert set(removed.split()).isdisjoint(_needed("callmode-gateway", frozenset({"embedded", "otel"})))


@pytest.mark.parametrize("name", ["PYTHONUNBUFFERED=1", "PATH=/opt/callmode/bin:$PATH"])
def test_the_environment(name):
    """Log lines come out at once, and the command is found."""
    assert name in last("ENV").split()
