"""Several store servers that belong together: a primary with replicas, Sentinels over them, a Cluster; and TLS.

    with replicated(binary, tmp_path, replicas=1) as servers:
        with watched_by_sentinels(binary, tmp_path, servers[0]) as url:
            ...

Real processes on free ports, ended by process id. Time-outs are as short as the servers bear, so that a failover takes
a second or two.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.store.port import StoreDown
from tests.support.listening import free_port
from tests.support.redis_servers import RedisServer, redis_server

Found = TypeVar("Found")

SETTLED_WITHIN = 30.0
"""Seconds for servers to find each other, or to agree on a new primary."""
SERVICE = "main"
NODE_TIMEOUT = 1_000
"""Milliseconds of silence after which a Cluster gives a node up."""
_DOWN_AFTER = 500
"""The same of Sentinels."""
_SLOTS = 16384


def until(true: Callable[[], object], what: str, *, within: float = SETTLED_WITHIN) -> None:
    """Return once `true` is; servers that are busy changing may refuse to say."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with contextlib.suppress(redis.RedisError):
            if true():
                return
        time.sleep(0.02)
    raise AssertionError(f"not within {within} s: {what}")


def ask(server: RedisServer, *command: str | int) -> object:
    """Send one command and return the answer."""
    with redis.Redis(port=server.port, socket_timeout=5, decode_responses=True) as client:
        return client.execute_command(*command)


def field(server: RedisServer, section: str, name: str) -> str:
    """Return one field of INFO."""
    with redis.Redis(port=server.port, socket_timeout=5, decode_responses=True) as client:
        return str(client.info(section).get(name))


async def eventually(call: Callable[[], Awaitable[Found]]) -> Found:
    """Return what `call` returns once the store serves again."""
    async with asyncio.timeout(SETTLED_WITHIN):
        while True:
            try:
                return await call()
            except StoreDown:
                await asyncio.sleep(0.05)


async def in_step(primary: RedisServer, replica: RedisServer) -> None:
    """Wait until a replica has what its primary has."""

    def same() -> bool:
        written = field(primary, "replication", "master_repl_offset")
        return field(replica, "replication", "slave_repl_offset") == written

    await asyncio.to_thread(until, same, "a replica in step")


@contextlib.contextmanager
def replicated(
    binary: Path, directory: Path, *, replicas: int = 1, options: tuple[str, ...] = ()
) -> Iterator[list[RedisServer]]:
    """Run a primary and its replicas, all in step; the primary comes first."""
    quick = ("--repl-diskless-sync", "no", "--repl-timeout", "5", "--repl-ping-replica-period", "1")
    with contextlib.ExitStack() as stack:
        servers: list[RedisServer] = []
        for number in range(1 + replicas):
            of = ("--replicaof", f"127.0.0.1 {servers[0].port}") if servers else ()
            folder = directory / f"server-{number}"
            folder.mkdir()
            servers.append(stack.enter_context(redis_server(binary, folder, options=(*quick, *of, *options))))
        _joined(servers[:1], servers[1:])
        yield servers


def _joined(primaries: Sequence[RedisServer], replicas: Sequence[RedisServer]) -> None:
    """Return once both sides say so: a primary counts a replica that still loads, one that has loaded is not heard."""
    for replica in replicas:
        until(lambda replica=replica: field(replica, "replication", "master_link_status") == "up", "a replica's data")
    for primary in primaries:
        until(lambda primary=primary: _online(primary) == len(replicas) // len(primaries), "replicas that are heard")


def _online(primary: RedisServer) -> int:
    with redis.Redis(port=primary.port, socket_timeout=5, decode_responses=True) as client:
        told = client.info("replication").values()
    return sum(isinstance(value, dict) and value.get("state") == "online" for value in told)


@contextlib.contextmanager
def watched_by_sentinels(
    binary: Path, directory: Path, primary: RedisServer, *, options: Sequence[str] = ()
) -> Iterator[list[RedisServer]]:
    """Run three Sentinels over a primary and its replicas. `options`: lines for their configuration."""
    with contextlib.ExitStack() as stack:
        sentinels = []
        for number in range(3):
            folder = directory / f"sentinel-{number}"
            folder.mkdir()
            file = folder / "sentinel.conf"
            lines = [
                f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 2",
                f"sentinel down-after-milliseconds {SERVICE} {_DOWN_AFTER}",
                f"sentinel failover-timeout {SERVICE} 3000",
                *options,
            ]
            file.write_text("\n".join(lines) + "\n")
            sentinels.append(stack.enter_context(sentinel_server(binary, folder, file)))
        for sentinel in sentinels:
            until(lambda sentinel=sentinel: _sees(sentinel, sentinels=2), "Sentinels that know each other")
        yield sentinels


@contextlib.contextmanager
def sentinel_server(binary: Path, directory: Path, file: Path) -> Iterator[RedisServer]:
    """Run the server's other half: the same binary, which rewrites its configuration file."""
    server = RedisServer(binary, directory, arguments=(str(file), "--sentinel"))
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _sees(sentinel: RedisServer, *, sentinels: int) -> bool:
    with redis.Redis(port=sentinel.port, socket_timeout=5) as client:
        primary = client.sentinel_master(SERVICE)
        return primary["num-other-sentinels"] == sentinels and primary["num-slaves"] >= 1 and not primary["is_sdown"]


def sentinel_url(sentinels: Sequence[RedisServer]) -> str:
    """Return the store's URL for them."""
    hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
    return f"redis+sentinel://{hosts}/{SERVICE}"


@contextlib.contextmanager
def cluster(binary: Path, directory: Path, *, replicas: int = 0) -> Iterator[list[RedisServer]]:
    """Run a Cluster of three primaries, each with `replicas`; the primaries come first, in the order of their slots."""
    with contextlib.ExitStack() as stack:
        nodes = []
        for number in range(3 * (1 + replicas)):
            folder = directory / f"node-{number}"
            folder.mkdir()
            options = (
                "--cluster-enabled", "yes", "--cluster-port", str(free_port()),
                "--cluster-node-timeout", str(NODE_TIMEOUT), "--cluster-replica-validity-factor", "0",
                "--repl-diskless-sync", "no",
            )  # fmt: skip
            nodes.append(stack.enter_context(redis_server(binary, folder, options=options)))
        _join(nodes)
        yield nodes


def _join(nodes: list[RedisServer]) -> None:
    bounds = [round(number * _SLOTS / 3) for number in range(4)]
    for number, node in enumerate(nodes):
        ask(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        ask(nodes[0], "CLUSTER", "MEET", "127.0.0.1", node.port, _bus(node))
    for number, node in enumerate(nodes[:3]):
        ask(node, "CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
    for node in nodes:
        until(lambda node=node: _knows(node, len(nodes)), "nodes that know each other")
    for number, node in enumerate(nodes[3:]):
        ask(node, "CLUSTER", "REPLICATE", str(ask(nodes[number % 3], "CLUSTER", "MYID")))
    for node in nodes:
        until(lambda node=node: cluster_field(node, "cluster_state") == "ok", "a Cluster that serves")
    _joined(nodes[:3], nodes[3:])


def _bus(node: RedisServer) -> int:
    return int(ask(node, "CONFIG", "GET", "cluster-port")["cluster-port"])  # type: ignore[index]


def _knows(node: RedisServer, nodes: int) -> bool:
    return cluster_field(node, "cluster_known_nodes") == str(nodes)


def cluster_field(node: RedisServer, name: str) -> str:
    """Return one field of CLUSTER INFO, as this node sees it."""
    with redis.Redis(port=node.port, socket_timeout=5) as client:
        lines = client.execute_command("CLUSTER", "INFO")
    return dict(line.split(":", 1) for line in lines.decode().split())[name]


def cluster_url(nodes: Sequence[RedisServer]) -> str:
    """Return the store's URL for a Cluster that begins with these nodes."""
    return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}"


@dataclass(frozen=True)
class Certificates:
    """Files of a certificate authority, and of one certificate that it signed for 127.0.0.1 and for any client."""

    ca: Path
    certificate: Path
    key: Path

    @property
    def options(self) -> tuple[str, ...]:
        """The server's command line for TLS; that its plain port is off is for the caller to say."""
        return (
            "--tls-ca-cert-file", str(self.ca), "--tls-cert-file", str(self.certificate),
            "--tls-key-file", str(self.key),
        )  # fmt: skip


def certificates(directory: Path, *, host: str = "127.0.0.1") -> Certificates:
    """Make an authority of its own and a certificate for `host`, good for an hour."""
    directory.mkdir(exist_ok=True)
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    ca = _certificate(root, root, authority, authority).add_extension(x509.BasicConstraints(True, None), critical=True)
    leaf = _certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), root, key, authority).add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False
    )
    files = Certificates(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    for builder, file in ((ca, files.ca), (leaf, files.certificate)):
        file.write_bytes(builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, authority: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now, minutes = dt.datetime.now(dt.UTC), dt.timedelta(minutes=60)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - minutes)
        .not_valid_after(now + minutes)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
    )
