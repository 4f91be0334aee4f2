"""The store server that the gateway brings along, so that one command gives durable jobs.

A Valkey (or Redis) server as a child process: append-only file, unix socket, nobody else's. It is an ordinary store
server to everything above: `EmbeddedServer.start` returns a URL for redis-py, and that is all the rest needs.

    server.py     `EmbeddedServer`: owns the directory, keeps one server running in it
    process.py    `ServerProcess`: one life of the server, from spawn to exit
    bootstrap.py  what the child runs before it becomes the server: it must die with the gateway
    sync.py       flushes the append-only file to disk once a second
    lock.py       `DirectoryLock`: never two servers on one directory
    paths.py      where the files and the socket are
    binary.py     which server binary
    errors.py     `EmbeddedStoreError`

Never imports: the store's port, the job, redis-py. It starts a server; what is stored there is not its concern.
"""

from __future__ import annotations

from gateway.store.embedded.binary import find_server_binary
from gateway.store.embedded.errors import EmbeddedStoreError
from gateway.store.embedded.server import EmbeddedServer

__all__ = ["EmbeddedServer", "EmbeddedStoreError", "find_server_binary"]
