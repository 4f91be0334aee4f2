"""Callers of jobs that their own replica follows are served from memory."""

from __future__ import annotations

import json

from gateway.store.redis import RedisStore
from tests.support.rig import rig, with_store


async def test_a_job_followed_here_is_watched_without_the_store(redis_url, monkeypatch):
    """While the start's intent is being saved, its caller sees the record before it, and is woken by the save."""
    asked = []
    watch = RedisStore.watch

    async def counted(store, job_id, watcher):
        asked.append(job_id)
        return await watch(store, job_id, watcher)

    monkeypatch.setattr(RedisStore, "watch", counted)
    async with rig(shared=with_store(redis_url)) as running:
        status, _, body = await running.call(data=json.dumps({"n": 1, "duration": 0.2}))
    assert (status, json.loads(body), asked) == (200, {"n": 1}, [])
