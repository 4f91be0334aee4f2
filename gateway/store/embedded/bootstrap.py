"""What the child process runs before it becomes the server: bind its life to the gateway's, then exec.

Run as a script: `python -I -S bootstrap.py PARENT_PID BINARY [ARGUMENT...]`; it imports nothing of the gateway.

Why not `preexec_fn`: Python code between fork and exec may deadlock in a process with threads (subprocess docs), and
it rules out vfork. A script in a process of its own has neither trouble and costs about 13 ms per start.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""`linux/prctl.h`; prctl(2): the signal that this process gets when the thread that forked it ends."""


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends. Exits where the parent is gone already.

    SIGKILL, since a server that is stuck or stopped must go as well; the append-only file is made for that. The
    setting survives exec (prctl(2)). Linux only: elsewhere a server outlives a killed gateway, and keeps the
    directory's lock, so that the next gateway names its pid instead of starting a second one.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it ended before the line above: no signal will come
        sys.exit(f"the gateway (pid {parent}) is gone")


def main(arguments: list[str]) -> None:
    """Become the server: `arguments` are the gateway's pid, the binary, and the binary's arguments."""
    parent, binary, *options = arguments
    die_with_parent(int(parent))
    os.umask(0o077)  # the append-only file holds what callers sent
    try:
        os.execv(binary, [binary, *options])  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"{binary} cannot be run: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
