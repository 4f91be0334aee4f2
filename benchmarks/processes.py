"""Processes under measurement: started on free ports, their CPU time and memory read from /proc (Linux)."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
READY_WITHIN = 30.0


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(port: int, *arguments: str) -> Iterator[int]:
    """Run `python ARGUMENTS`, all of its output thrown away, until the block ends; give its pid once `port` answers."""
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, *arguments], cwd=HERE, **quiet)
    try:
        deadline = time.monotonic() + READY_WITHIN
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{arguments} did not come up")
            time.sleep(0.02)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def children(pid: int) -> list[int]:
    """Return the pids of a process's children."""
    return [int(each.name) for each in Path("/proc").glob("[0-9]*") if _parent(each) == pid]


def _parent(process: Path) -> int | None:
    with contextlib.suppress(OSError):
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    return None


def cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, that the living threads of a process have used."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in threads) / 1e9


def memory_kib(pid: int) -> int:
    """Return a process's proportional set size, in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
