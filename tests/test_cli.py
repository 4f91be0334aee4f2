"""What the command line itself says, as a process."""

from __future__ import annotations

import socket
import subprocess
import sys


def test_a_busy_port_of_the_simulator_is_said_plainly():
    """One line and exit 1, no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "{}:{}".format(*taken.getsockname())
        ended = subprocess.run(
            [sys.executable, "-m", "gateway", "simulate", "--listen", address],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert ended.returncode == 1
    assert "address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr
