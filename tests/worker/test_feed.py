"""The feed: one topic a job, however many wait for it."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.job import Job, State
from gateway.worker.feed import Feed, Topic
from tests.core.strategies import OK, in_state

RUNNING = in_state(State.RUNNING)
ENDED = apply(RUNNING, e.Ended(OK), RUNNING.created + 1_000)
OLDER = in_state(State.STARTING)


def test_only_newer_records_are_taken_over():
    """What comes late and says less changes nothing; the body belongs to its record."""
    topic = Topic()
    topic.offer(RUNNING)
    topic.offer(OLDER)
    assert topic.job is RUNNING
    topic.offer(ENDED, OK.body)
    topic.offer(ENDED)
    assert (topic.job, topic.body) == (ENDED, OK.body)


@pytest.mark.looptime
async def test_a_newer_record_wakes_all_waiters():
    """And an old one none."""
    topic = Topic()
    topic.offer(RUNNING)
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(topic.changed(60)) for _ in range(3)]
        await asyncio.sleep(1)
        topic.offer(OLDER)
        topic.offer(RUNNING)
        await asyncio.sleep(1)
        assert not any(wait.done() for wait in waits)
        topic.offer(ENDED)
    assert [wait.result() for wait in waits] == [True] * 3
    assert asyncio.get_running_loop().time() == pytest.approx(2, abs=0.01)


@pytest.mark.looptime
async def test_who_waits_for_something_is_not_woken_for_less():
    """A change that does not matter to it costs it nothing; it sees the newest record when it is woken."""
    topic, ending = Topic(), lambda job: job.state.terminal
    topic.offer(OLDER)
    async with asyncio.TaskGroup() as group:
        wait = group.create_task(topic.changed(60, ending))
        other = group.create_task(topic.changed(60))
        await asyncio.sleep(1)
        topic.offer(RUNNING)
        await asyncio.sleep(1)
        assert (wait.done(), other.done()) == (False, True)
        topic.offer(ENDED)
    assert wait.result()
    assert asyncio.get_running_loop().time() == pytest.approx(2, abs=0.01)


@pytest.mark.looptime
async def test_a_waiter_with_a_defect_is_woken_and_fails_nobody_else():
    """It runs into its defect by itself; who publishes does not."""

    def defective(_job: Job) -> bool:
        raise RuntimeError("a bug")

    topic = Topic()
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(topic.changed(60, defective)), group.create_task(topic.changed(60))]
        await asyncio.sleep(1)
        topic.offer(RUNNING)
    assert [wait.result() for wait in waits] == [True, True]


@pytest.mark.looptime
async def test_a_wait_ends_without_news():
    """After its time, and at once if it has none."""
    topic = Topic()
    assert not await topic.changed(30)
    assert asyncio.get_running_loop().time() == pytest.approx(30, abs=0.01)
    assert not await topic.changed(0)
    assert not await topic.changed(-1)
    assert not topic._waiters


@pytest.mark.looptime
async def test_a_waiter_that_goes_leaves_nothing_behind():
    """A caller hung up."""
    topic = Topic()
    waiting = asyncio.ensure_future(topic.changed(60))
    await asyncio.sleep(1)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not topic._waiters
    topic.offer(RUNNING)


def test_a_topic_lives_while_anybody_is_subscribed():
    """Two callers share it; the last one closes it."""
    feed = Feed()
    with feed.subscribed("03abc") as first:
        with feed.subscribed("03abc") as second:
            assert first is second
        assert feed.topics == {"03abc"}
        feed.publish(RUNNING.with_(id="03abc"))
        assert first.job.id == "03abc"
    assert feed.topics == set()
    feed.publish(ENDED.with_(id="03abc"))
    with feed.subscribed("03abc") as fresh:
        assert fresh.job is None


def test_a_subscriber_that_fails_is_gone_too():
    """The topic does not outlive an exception."""
    feed = Feed()
    with pytest.raises(RuntimeError, match="a bug"), feed.subscribed("03abc"):
        raise RuntimeError("a bug")
    assert feed.topics == set()


@pytest.mark.looptime
async def test_everybody_can_be_woken():
    """Though nothing has changed: there is something else to consider."""
    feed = Feed()
    with feed.subscribed("03a") as one, feed.subscribed("03b") as other:
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(topic.changed(60)) for topic in (one, other)]
            await asyncio.sleep(1)
            feed.wake_all()
        assert all(wait.done() for wait in waits)
        assert asyncio.get_running_loop().time() == pytest.approx(1, abs=0.01)


async def test_ten_thousand_waiters_are_cheap():
    """One publication wakes them all, in well under a second; where nobody waits it costs next to nothing."""
    feed, job = Feed(), RUNNING
    with feed.subscribed(job.id) as topic:
        waits = [asyncio.ensure_future(topic.changed(60)) for _ in range(10_000)]
        await asyncio.sleep(0)
        begun = time.process_time()
        feed.publish(job)
        assert all(await asyncio.gather(*waits))
        assert time.process_time() - begun < 2
    begun = time.process_time()
    for _ in range(10_000):
        feed.publish(job)
    assert time.process_time() - begun < 0.5
