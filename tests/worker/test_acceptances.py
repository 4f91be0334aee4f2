"""Which tokens are remembered as accepted, how often that is written, and how many are kept in mind."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core import events as e
from gateway.worker import acceptances
from gateway.worker.acceptances import REMEMBERED, Acceptances
from tests.worker.doubles import FOLLOWED, bench

pytestmark = pytest.mark.looptime


async def accepted(observer, job, *tokens):
    """Tell of starts with these tokens that were accepted, and let what follows from it happen."""
    for token in tokens:
        observer(job.with_(token=token), FOLLOWED)
    await asyncio.sleep(0.1)


async def test_a_token_in_use_is_written_once_in_a_while():
    """Not for each job; and anew before it is forgotten."""
    async with bench() as it:
        observer = Acceptances(it.store, it.clock, it.tasks)
        job = (await it.created()).job
        await accepted(observer, job, "aa", "aa", "aa")
        assert it.store.calls["remember_token"] == 1
        await asyncio.sleep(REMEMBERED / 2000)
        await accepted(observer, job, "aa")
        assert it.store.calls["remember_token"] == 2
        assert await it.store.knows_token("aa")


async def test_what_says_nothing_of_a_token_is_not_written():
    """A start in doubt; and a token that is its own principal, which nobody compares."""
    async with bench() as it:
        observer = Acceptances(it.store, it.clock, it.tasks)
        job = (await it.created()).job
        observer(job.with_(token="aa"), e.StartIntended())
        await accepted(observer, job, job.principal)
        assert it.store.calls["remember_token"] == 0


async def test_very_many_tokens_are_not_kept_in_mind(monkeypatch):
    """The one written the longest ago is forgotten first, which costs one more write and nothing else."""
    monkeypatch.setattr(acceptances, "_MOST", 3)
    async with bench() as it:
        observer = Acceptances(it.store, it.clock, it.tasks)
        job = (await it.created()).job
        await accepted(observer, job, "aa", "bb", "cc", "dd")
        await accepted(observer, job, "dd", "cc", "bb")
        assert it.store.calls["remember_token"] == 4
        await accepted(observer, job, "aa")
        assert it.store.calls["remember_token"] == 5
