"""callmode under measurement: a process of its own, its promises and its log as a deployment has them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import children, free_port, module, serving
from gateway.auth.keyring import generate


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    pid: int
    port: int
    admin: int
    log: Path

    @property
    def pids(self) -> tuple[int, ...]:
        """Its process and its workers' processes."""
        return (self.pid, *(pid for pid in children(self.pid) if _is_gateway(pid)))

    @property
    def store(self) -> tuple[int, ...]:
        """The process of its embedded store, if it has one."""
        return tuple(pid for pid in children(self.pid) if not _is_gateway(pid))


@contextlib.contextmanager
def callmode(
    url: str, directory: Path, routes: list[dict[str, Any]], /, *, port: int | None = None, **settings: Any
) -> Iterator[Gateway]:
    """Run a gateway before an upstream, with its files in `directory`, until the block ends.

    Callers' bearers go upstream; there is a line of JSON on a file for each request; the admin port is open. `settings`
    are keys of the configuration.
    """
    directory.mkdir(parents=True)
    port, admin = port or free_port(), free_port()
    document = {
        "listen": f"127.0.0.1:{port}",
        "admin": f"127.0.0.1:{admin}",
        "log": {"format": "json", "level": "info"},
        "routes": routes,
        # Nobody calls while it stops, and no load balancer has to notice.
        "drain": "2s",
        "drain_notice": "0s",
        **settings,
        "upstream": {"url": url, **settings.get("upstream", {})},
        "store": {"data_dir": str(directory / "data"), **settings.get("store", {})},
    }
    if "url" in document["store"]:
        del document["store"]["data_dir"]
        document.setdefault("keyring", generate())
    config, log = directory / "gateway.yaml", directory / "gateway.log"
    # YAML 1.2 takes JSON as it is.
    config.write_text(json.dumps(document, indent=1))
    with serving(module("gateway", "serve", config), port, errors=log) as pid:
        yield Gateway(pid, port, admin, log)


def _is_gateway(pid: int) -> bool:
    """Whether a child is one of the gateway's own processes, not its store server."""
    with contextlib.suppress(OSError):
        program = Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0]
        return Path(program).name.startswith("python")
    return False
