"""nginx and haproxy as plain reverse proxies: one worker, kept-alive connections to the upstream, no access log."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import free_port, serving

NGINX = """\
daemon off; worker_processes 1; worker_rlimit_nofile {files}; pid {directory}/nginx.pid; error_log stderr crit;
events {{ worker_connections {connections}; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 300; proxy_read_timeout 300;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    upstream origin {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""
HAPROXY = """\
global
    maxconn {connections}
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    http-reuse always
frontend callers
    bind 127.0.0.1:{port} backlog 1024
    default_backend origin
backend origin
    server origin 127.0.0.1:{upstream}
"""
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_INSTALL = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends")
_INSTALLS_WITHIN = 300


class MissingError(Exception):
    """A peer that this machine has not, and why it could not be got."""


@functools.cache
def program(name: str) -> str:
    """Return the path of a Debian package's program, installed now if need be. Raises `MissingError`."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        _install(name)
        found = shutil.which(name, path=_PATH)
    if found is None:
        raise MissingError(f"{name}: its package has no program of this name")
    return found


def _install(name: str) -> None:
    if shutil.which("apt-get") is None:
        raise MissingError(f"{name}: not installed, and there is no apt-get")
    become = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    # The package would start a service on port 80 (policy-rc.d(8) is not there everywhere): RUNLEVEL=1 prevents it.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    try:
        subprocess.run([*become, *_INSTALL, name], env=quiet, check=True, capture_output=True, timeout=_INSTALLS_WITHIN)
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingError(f"{name}: not installed, and apt-get could not install it ({error})") from error


@contextlib.contextmanager
def nginx(upstream: int, directory: Path, *, callers: int = 1024) -> Iterator[tuple[int, int]]:
    """Run nginx before a port of the loopback; give its master's pid and its port."""
    port, home = free_port(), directory / "nginx"
    home.mkdir()
    # Each caller has a connection on either side; and once only a sixteenth is left, nginx closes idle and new ones.
    connections = 2 * callers * 9 // 8
    text = NGINX.format(port=port, upstream=upstream, directory=home, connections=connections, files=connections + 64)
    (home / "nginx.conf").write_text(text)
    command = [program("nginx"), "-p", str(home), "-c", str(home / "nginx.conf"), "-e", "stderr"]
    with serving(command, port) as pid:
        yield pid, port


@contextlib.contextmanager
def haproxy(upstream: int, directory: Path, *, callers: int = 1024) -> Iterator[tuple[int, int]]:
    """Run haproxy before a port of the loopback; give its pid and its port."""
    port, file = free_port(), directory / "haproxy.cfg"
    file.write_text(HAPROXY.format(port=port, upstream=upstream, connections=callers))
    with serving([program("haproxy"), "-db", "-f", str(file)], port) as pid:
        yield pid, port
