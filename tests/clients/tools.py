"""Programs from outside Python, for tests of real callers: found, compiled, run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.redis_servers import require

_HTTP_FORMATTING = "System.Net.Http.Formatting.dll"
"""Where `PostAsJsonAsync` is; Debian packs it apart from mono's compiler."""

_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
"""Everything is on the loopback interface; a proxy of the machine's would be asked for it in vain."""


@dataclass(frozen=True)
class Ran:
    """What a program left: its exit status and its output."""

    status: int
    stdout: bytes
    stderr: bytes


def tool(name: str, package: str | None = None) -> str:
    """Return the path of a program. Where it is absent, skip the test, or fail it in CI; `package` is Debian's."""
    return require(shutil.which(name), package or name)


async def run(*command: str, env: Mapping[str, str] | None = None, within: float = 30) -> Ran:
    """Run a program to its end. Raises TimeoutError, and leaves no process behind."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**_ENVIRONMENT, **(env or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with _ended(process), asyncio.timeout(within):
        stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, stdout, stderr)


def compile_csharp(sources: Sequence[Path], program: Path) -> list[str]:
    """Compile with mono; return the command that runs `program`."""
    compiler, mono = tool("mcs", "mono-mcs"), tool("mono", "mono-runtime")
    formatting = Path(compiler).resolve().parent.parent / "lib/mono/4.5" / _HTTP_FORMATTING
    require(formatting if formatting.exists() else None, "libmono-system-net-http-formatting4.0-cil")
    references = ("-r:System.Net.Http.dll", f"-r:{_HTTP_FORMATTING}")
    _compile(compiler, *references, f"-out:{program}", *map(str, sources))
    return [mono, str(program)]


def compile_java(source: Path, directory: Path) -> list[str] | None:
    """Compile with the JDK on PATH; return the command that runs the class. None where there is no JDK."""
    compiler, java = shutil.which("javac"), shutil.which("java")
    if compiler is None or java is None:
        return None
    _compile(compiler, "-d", str(directory), str(source))
    # Runs of half a second: the optimising compiler would cost more than it gives.
    return [java, "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", str(directory), source.stem]


def _compile(*command: str) -> None:
    done = subprocess.run(command, env=_ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.asynccontextmanager
async def _ended(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
