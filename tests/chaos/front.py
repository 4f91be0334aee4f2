"""What stands between clients and replicas: probes them, as a load balancer does, and says where a request goes."""

from __future__ import annotations

import asyncio
from random import Random

import aiohttp

from tests.chaos.cluster import Cluster
from tests.chaos.history import History, Unwell

_EVERY = 0.25
_PROMPT = 0.3
"""A probe that takes longer, in seconds, finds the replica unwell."""


class Front:
    """Sends requests to replicas that are ready; to any, where none is."""

    def __init__(self, cluster: Cluster, history: History, random: Random) -> None:
        self._cluster = cluster
        self._history = history
        self._random = random
        self._ready = {replica.number for replica in cluster.replicas}

    def url(self, replica: int) -> str:
        """Return where a replica is."""
        return self._cluster.replicas[replica].url

    @property
    def replicas(self) -> range:
        """Every replica's number."""
        return range(len(self._cluster.replicas))

    def pick(self) -> int:
        """Return the replica that the next request goes to."""
        return self._random.choice(sorted(self._ready) or list(self.replicas))

    async def watch(self) -> None:
        """Probe the replicas until cancelled."""
        async with asyncio.TaskGroup() as group:
            for replica in self.replicas:
                group.create_task(self._watch(replica))

    async def _watch(self, replica: int) -> None:
        while True:
            at = self._history.now()
            ready = await self._probe(replica)
            now = self._history.now()
            if not ready or now - at > _PROMPT:
                self._history.add(Unwell(replica, at, now + _EVERY))
            (self._ready.add if ready else self._ready.discard)(replica)
            await asyncio.sleep(_EVERY)

    async def _probe(self, replica: int) -> bool:
        try:
            async with self._cluster.session.get(
                self.url(replica) + "/-/readyz", timeout=aiohttp.ClientTimeout(total=1.0)
            ) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False
