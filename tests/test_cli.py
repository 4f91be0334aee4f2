"""What the command line itself says: in this process where that is enough, else as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import os
import socket
import subprocess
import sys
from unittest.mock import patch

import pytest
from aiohttp import web

from gateway.auth.keyring import parse
from gateway.cli import main
from gateway.cli.process import uncollected
from tests.support.rig import GatewayProcess

NOWHERE = "http://127.0.0.1:1/acme/prod/orchestrator_"


def said(*arguments: str, **variables: str) -> tuple[int, str, str]:
    """Run a command that ends by itself in this process; return its exit status and what it said, out and err."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), patch.dict(os.environ, variables):
        try:
            main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
    return status, out.getvalue(), err.getvalue()


def process(*arguments: str, **variables: str) -> tuple[int, str]:
    """The same as a process; return its exit status and standard error, without the log's lines."""
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        capture_output=True, text=True, timeout=30, check=False, env={**os.environ, **variables},
    )  # fmt: skip
    return ended.returncode, "".join(
        line for line in ended.stderr.splitlines(keepends=True) if not line.startswith("{")
    )


def test_help():
    """Every command is there with a line of what it does."""
    status, out, _ = said("--help")
    assert status == 0
    assert all(command in out for command in ("serve", "check", "health", "simulate", "keyring"))
    for command in ("serve", "check", "health", "simulate", "keyring"):
        assert said(command, "--help")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("serve", "--stores=redis://:p4ss@h"), "unrecognized options: --stores\n"),
        (("serve", "c.yaml", "--stores", "redis://:p4ss@h"), "unrecognized options: --stores\n"),
        (("serve", "c.yaml", "redis://:p4ss@h"), "too many arguments\n"),
    ],
)
def test_what_is_misspelt(arguments: tuple[str, ...], words: str):
    """Is named, without a value that may be a secret."""
    status, out, err = said(*arguments)
    assert (status, out) == (2, "")
    assert err.endswith(words)
    assert "p4ss" not in err


def test_version():
    """The version that is installed, and nothing else."""
    from importlib.metadata import version

    assert said("--version") == (0, f"{version('callmode-gateway')}\n", "")


def test_help_is_quick():
    """Nothing heavy is imported before a command needs it."""
    code = (
        "import sys; from gateway.cli import main; "
        "print([m for m in ('aiohttp', 'asyncio', 'redis', 'pydantic', 'cryptography', 'rich') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["gateway.app.lifecycle", "gateway.app.workers.parent", "gateway.app.workers.child"])
def test_a_start_imports_nothing_for_later(module: str):
    """What only some gateways need, or none, waits for them; and who needs it then finds it."""
    code = (
        f"import sys, gateway.config, {module}; "
        "print([m for m in ('rich', 'redis', 'opentelemetry', 'aiohttp_client_cache') if m in sys.modules]); "
        "import rich.console"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout.strip() == "[]"


class TestCheck:
    """`callmode check FILE`."""

    def test_a_good_file(self, tmp_path):
        """0, and what was understood of it."""
        file = tmp_path / "good.yaml"
        file.write_text("upstream: {url: https://cloud.uipath.com/acme/prod/orchestrator_}\n")
        status, out, err = said("check", str(file))
        assert (status, err) == (0, "")
        assert out == f"{file}: good: 0 routes, upstream https://cloud.uipath.com/acme/prod/orchestrator_\n"

    def test_a_bad_file(self, tmp_path):
        """1, and every error with its place."""
        file = tmp_path / "bad.yaml"
        file.write_text("upstream:\n  url: nonsense\n  colour: red\n")
        status, out, err = said("check", str(file))
        assert (status, out) == (1, "")
        assert f"{file}:2:" in err
        assert f"{file}:3:" in err

    @pytest.mark.parametrize("text", ["upstream: [", "", "- a", "\x00"])
    def test_no_configuration_at_all(self, tmp_path, text: str):
        """1, and a line that names the file."""
        file = tmp_path / "none.yaml"
        file.write_text(text)
        status, _, err = said("check", str(file))
        assert status == 1
        assert str(file) in err

    def test_no_file(self, tmp_path):
        """1, and why it cannot be read."""
        for path in (tmp_path / "absent.yaml", tmp_path):
            status, _, err = said("check", str(path))
            assert status == 1
            assert "cannot be read" in err


class TestKeyring:
    """`callmode keyring new`."""

    def test_a_new_one(self):
        """Is read by whoever needs one, and is another every time."""
        _, one, err = said("keyring", "new")
        _, other, _ = said("keyring", "new")
        assert err == ""
        assert one != other
        assert parse(one).hash("x", "y") != parse(other).hash("x", "y")


SERVE_ERRORS = [
    ((), "upstream: is missing"),
    (("--upstream", "nonsense"), "--upstream: upstream.url"),
    (("--upstream", NOWHERE, "--listen", "nonsense"), "--listen: listen"),
    (("--upstream", NOWHERE, "--admin", "nonsense"), "--admin: admin"),
    (("--upstream", NOWHERE, "--caller-mode", "nonsense"), "must be one of sync, async"),
    (("--upstream", NOWHERE, "--store", "http://x"), "--store: store.url"),
    (("--upstream", NOWHERE, "--store", "redis://127.0.0.1:1/0"), "CALLMODE_KEYRING"),
    (("--upstream", NOWHERE, "--public-url", "nonsense"), "--public-url"),
    (("--upstream", NOWHERE, "--workers", "0"), "--workers: workers: must be a whole number from 1, or auto"),
    (("--upstream", NOWHERE, "--workers", "many"), "--workers"),
    (("absent.yaml",), "absent.yaml: cannot be read"),
]


class TestServe:
    """`callmode serve`: whatever keeps it from serving is one clear line and exit 1."""

    @pytest.mark.parametrize(("arguments", "words"), SERVE_ERRORS)
    def test_bad_flags(self, arguments: tuple[str, ...], words: str, monkeypatch):
        """Each named as it was given, before anything is started."""
        monkeypatch.delenv("CALLMODE_KEYRING", raising=False)
        status, out, err = said("serve", *arguments)
        assert (status, out) == (1, "")
        assert words in err
        assert len(err.splitlines()) == 1

    def test_a_taken_port(self, tmp_path):
        """The embedded store is stopped again."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            status, err = process(
                "serve", "--upstream", NOWHERE, "--data-dir", str(tmp_path), "--admin", "off",
                "--listen", "{}:{}".format(*taken.getsockname()),
            )  # fmt: skip
        assert status == 1
        assert "address already in use" in err
        assert len(err.splitlines()) == 1

    def test_a_store_that_is_not_there(self):
        """Where it was looked for, and without its password."""
        keyring = said("keyring", "new")[1]
        status, err = process(
            "serve", "--upstream", NOWHERE, "--store", "redis://:se-cret@127.0.0.1:1/0", CALLMODE_KEYRING=keyring
        )
        assert status == 1
        assert "the store cannot be reached" in err
        assert "127.0.0.1:1" in err
        assert "se-cret" not in err
        assert len(err.splitlines()) == 1

    def test_a_data_directory_that_cannot_be(self, tmp_path):
        """And what to do about it."""
        (tmp_path / "file").write_text("")
        status, err = process("serve", "--upstream", NOWHERE, "--data-dir", str(tmp_path / "file" / "below"))
        assert status == 1
        assert "--data-dir" in err
        assert len(err.splitlines()) == 1


@pytest.fixture
async def answering(aiohttp_server):
    """Serve `/200` and `/503`; return the URL they are below."""
    app = web.Application()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["status"]))

    app.router.add_get("/{status}", answer)
    return str((await aiohttp_server(app)).make_url(""))


class TestHealth:
    """`callmode health`, for containers."""

    @pytest.mark.parametrize(("path", "expected"), [("200", 0), ("503", 1), ("404", 1), ("204", 1)])
    async def test_of_a_server(self, answering, path: str, expected: int):
        """0 is 200, and everything else is 1."""
        status, _, err = await asyncio.to_thread(said, "health", "--url", f"{answering}/{path}")
        assert status == expected
        assert "Traceback" not in err

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "nonsense", "http://nohost.invalid/", "file:///dev/null"])
    def test_of_nobody(self, url: str):
        """1, and a line."""
        status, _, err = said("health", "--url", url)
        assert status == 1
        assert len(err.splitlines()) <= 1

    async def test_of_the_gateway_itself(self, tmp_path):
        """The probe's own path; after SIGTERM the gateway ends with 0 and answers no more."""
        gateway = await GatewayProcess.serve(NOWHERE, tmp_path)
        url = f"{gateway.url}/-/healthz"
        assert (await asyncio.to_thread(said, "health", "--url", url))[0] == 0
        assert await gateway.stop() == 0
        assert (await asyncio.to_thread(said, "health", "--url", url))[0] == 1


class TestSimulate:
    """`callmode simulate`."""

    def test_a_busy_port_is_said_plainly(self):
        """One line and exit 1, no traceback."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            status, err = process("simulate", "--listen", "{}:{}".format(*taken.getsockname()))
        assert status == 1
        assert "address already in use" in err
        assert "Traceback" not in err

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--listen", "nonsense"), "HOST:PORT"),
            (("--mode", "nonsense"), "AsyncRequestReply"),
            (("--fault", "nonsense"), "no fault is called 'nonsense'"),
        ],
    )
    def test_bad_flags(self, arguments: tuple[str, ...], words: str):
        """What there is instead."""
        status, _, err = said("simulate", *arguments)
        assert status == 1
        assert words in err
        assert len(err.splitlines()) == 1


def test_imports_leave_the_collector_on():
    """It rests while they are made, also where they fail."""
    seen = []

    def fail() -> None:
        with uncollected():
            seen.append(gc.isenabled())
            raise ImportError("a bug")

    with pytest.raises(ImportError):
        fail()
    assert (seen, gc.isenabled()) == ([False], True)
