"""fakeredis behind the interface of the store's own client: the store's verbs, without a server process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fakeredis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from gateway.store.port import StoreDown
from gateway.store.topology import Servers, one
from gateway.store.wire.client import Command
from gateway.store.wire.errors import Lost, Refused, refusal


class FakeClient(fakeredis.FakeAsyncRedis):
    """A client for both: redis-py's methods for a test that looks or meddles, and `execute` and `each` for the store.

    The latter answer as the server does; redis-py's methods make more of it.
    """

    def __init__(self, server: fakeredis.FakeServer) -> None:
        super().__init__(server=server)
        self._plain = fakeredis.FakeAsyncRedis(server=server, protocol=2)
        self._plain.response_callbacks.clear()

    async def execute(self, *command: bytes | str | int) -> Any:
        """See `Client`."""
        try:
            return await self._plain.execute_command(*command)
        except NoScriptError as error:
            raise Refused(f"NOSCRIPT {error}") from error  # redis-py has cut the code off
        except ResponseError as error:
            raise refusal(str(error)) from error
        except RedisError as error:
            raise Lost(str(error)) from error

    async def each(self, commands: Sequence[Command]) -> list[Any]:
        """See `Client`."""
        answers: list[Any] = []
        for command in commands:
            try:
                answers.append(await self.execute(*command))
            except StoreDown as error:
                answers.append(error)
        return answers

    async def close(self) -> None:
        """See `Client`."""
        await self._plain.aclose()
        await self.aclose()


class FakeListening:
    """What is heard of some channels."""

    def __init__(self, client: fakeredis.FakeAsyncRedis) -> None:
        self._client = client
        self._pubsub = client.pubsub()

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Begin."""
        await self._pubsub.subscribe(*channels)

    async def next(self) -> list[Any]:
        """See `Listening`."""
        while True:
            if heard := await self._pubsub.get_message(timeout=None):
                return [heard["type"].encode(), heard["channel"], heard["data"]]

    async def close(self) -> None:
        """See `Listening`."""
        await self._pubsub.aclose()
        await self._client.aclose()


def fake_servers(server: fakeredis.FakeServer | None = None) -> Servers:
    """Return what a store works with, on a server of its own or a given one. It knows no flags of scripts."""
    server = server or fakeredis.FakeServer()

    async def listen(channels: Sequence[str]) -> FakeListening:
        listening = FakeListening(fakeredis.FakeAsyncRedis(server=server))
        await listening.subscribe(channels)
        return listening

    return one(FakeClient(server), listen, flags=False)
