"""Processes under measurement: started on free ports, their CPU time and memory read from /proc (Linux)."""

import contextlib
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parent
READY_WITHIN = 30.0
ENDS_WITHIN = 30.0
_OBSERVED = 0.5


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(
    command: Sequence[str], port: int, *, errors: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a server until the block ends; give its pid once `port` answers. Its standard error goes to `errors`."""
    allow_files()
    with contextlib.ExitStack() as stack:
        told = stack.enter_context(errors.open("ab")) if errors else subprocess.DEVNULL
        process = subprocess.Popen(
            command,
            cwd=HERE.parent,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=told,
        )
        stack.callback(_end, process)
        deadline = time.monotonic() + READY_WITHIN
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                why = errors.read_text()[-2000:] if errors else "see its standard error"
                raise RuntimeError(f"{Path(command[0]).name} {command[1:]} did not come up: {why}")
            time.sleep(0.02)
        yield process.pid


def module(name: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of this checkout."""
    return [sys.executable, "-m", name, *map(str, arguments)]


def allow_files() -> int:
    """Allow this process, and those that it starts, as many files as the hard limit does; return how many that is.

    Ten thousand callers have a connection each.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def children(pid: int) -> list[int]:
    """Return the pids of a process's children."""
    return [int(each.name) for each in Path("/proc").glob("[0-9]*") if _parent(each) == pid]


def family(pid: int) -> tuple[int, ...]:
    """Return the pids of a process and its children."""
    return (pid, *children(pid))


def _parent(process: Path) -> int | None:
    with contextlib.suppress(OSError):
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    return None


def cpu_seconds(*pids: int) -> float:
    """Return the CPU time, user and system, that the living threads of processes have used."""
    threads = (each for pid in pids for each in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(each.read_text().split()[0]) for each in threads) / 1e9


def settle(pids: Sequence[int], *, share: float = 0.05, within: float = 20) -> None:
    """Wait until processes use less than this share of a CPU over half a second, or for `within` seconds."""
    deadline, used = time.monotonic() + within, cpu_seconds(*pids)
    while time.monotonic() < deadline:
        time.sleep(_OBSERVED)
        before, used = used, cpu_seconds(*pids)
        if used - before < share * _OBSERVED:
            return


def memory_kib(*pids: int) -> int:
    """Return the proportional set size of processes, in KiB."""
    return sum(_pss(pid) for pid in pids)


def _pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
