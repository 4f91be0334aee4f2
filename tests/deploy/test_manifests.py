"""The tools of `deploy/check` accept the files as they are, and refuse each kind of mistake."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.deploy.deployment import DEPLOY, KUBERNETES, ROOT

CHECK = DEPLOY / "check"


def check(*arguments) -> subprocess.CompletedProcess:
    """Run `deploy/check`."""
    return subprocess.run([CHECK, *arguments], capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture
def copy(tmp_path):
    """Return a copy of the files that are checked, to break."""
    shutil.copy(ROOT / "Dockerfile", tmp_path)
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets"))
    return tmp_path


def test_the_files_are_sound():
    """hadolint, the Compose schema and the schemas of three Kubernetes versions find nothing."""
    done = check()
    assert (done.returncode, done.stderr) == (0, "")


def test_an_untouched_copy_is_sound(copy):
    """What the next test breaks was whole before."""
    done = check(copy)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("Dockerfile", "FROM python:3.13-slim-bookworm\n", "FROM python\n", "DL3006"),
        ("Dockerfile", "EXPOSE 8080", "EXPOSE 99999", "DL3011"),
        ("deploy/compose.yaml", "stop_grace_period", "grace", "grace"),
        ("deploy/compose.yaml", "- everysec", "- [everysec]", "everysec"),
        ("deploy/kubernetes/internal/gateway.yaml", "minReadySeconds: 5", "minReadySeconds: five", "minReadySeconds"),
        ("deploy/kubernetes/internal/gateway.yaml", "kind: Deployment", "kind: Deploy", "deploy"),
        ("deploy/kubernetes/internal/gateway.yaml", "kind: Service\n", "kind: Services\n", "Services"),
        ("deploy/kubernetes/internal/store.yaml", '- "yes"', "- yes", "True is not of type"),
        ("deploy/kubernetes/internal/store.yaml", "accessModes", "accessMode", "accessMode"),
        ("deploy/kubernetes/internal/network.yaml", "podSelector:", "podSelector: [", "parsing"),
        ("deploy/kubernetes/sidecar/application.yaml", "restartPolicy", "restartPolice", "restartPolice"),
    ],
)
def test_a_mistake_is_refused(copy, file, old, new, complaint):
    """A wrong type, an unknown key, an unknown kind, broken YAML, an unpinned image: each fails the check by name."""
    path = copy / file
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new, 1))
    done = check(copy)
    assert done.returncode != 0
    assert complaint in done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("directory", ["internal", "sidecar"])
def test_kustomize_builds_what_the_schemas_accept(directory, tmp_path):
    """What `kubectl apply -k` would send, the generated ConfigMap and its hashed name included, is valid."""
    home = {**os.environ, "HOME": str(tmp_path)}
    built = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES / directory], capture_output=True, text=True, check=True, env=home
    ).stdout
    assert "kind: ConfigMap" in built
    assert "name: callmode" in built
    tool = [ROOT / ".venv/bin/kubernetes-validate", "--strict", "--quiet", "-"]
    done = subprocess.run(tool, input=built, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
