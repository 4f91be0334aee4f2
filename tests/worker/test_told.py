"""Whether webhooks can be relied on, as they have done."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gateway.core import events as e
from gateway.core.job import Job, Leg, LegKind, Outcome, State
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import Binding, Pace, Policy
from gateway.store.port import Hint
from gateway.worker.clock import Clock
from gateway.worker.told import Told, both

pytestmark = pytest.mark.looptime

FOLDER = "5f0c7a4e-7a3c-4ad1-9d2e-0123456789ab"
ELSEWHERE = "0a5b1c2d-7a3c-4ad1-9d2e-0123456789ab"
KEY = "ee9327fd-237d-419e-86ef-9946b34461e3"
AUTO = Policy(auto=True, binding=Binding(folder=FOLDER))
ENDED = e.Ended(Outcome(200))


class Routes:
    """The policies of two routes."""

    def __init__(self, policy: Policy = AUTO) -> None:
        self.own = policy

    def policy(self, route: str) -> Policy:
        return self.own if route.startswith("r") else Policy()


async def told(policy: Policy = AUTO, *, on: bool = True) -> Told:
    """Return what is tested, over a clock that is the loop's."""
    clock, now = Clock(), asyncio.get_running_loop().time()
    clock.synchronise(1_700_000_000_000, now, now)
    return Told(Routes(policy), clock, on=on)


def job(route: str = "r", kind: LegKind = LegKind.STATUS, **changes: object) -> Job:
    """Return the record of a job that is read."""
    base = Job("id", route, "p", "t", CallerMode.SYNC, UpstreamMode.ASYNC, 0, 1, state=State.RUNNING)
    return base.with_(leg=Leg(kind, "https://h/leg"), **changes)


def ends(it: Told, count: int, *, by_webhook: bool, event: e.Event = ENDED, **of: object) -> None:
    """Have so many jobs end."""
    for _ in range(count):
        it.ended(job(**of), job(**of), event, by_webhook)


async def test_ten_in_a_row():
    """A webhook that is set up is not yet one that works."""
    it = await told()
    ends(it, 9, by_webhook=True)
    assert (it.of("r"), it.policy("r")) == (False, AUTO)
    ends(it, 1, by_webhook=True)
    assert it.of("r")
    assert it.policy("r") == msgspec.structs.replace(AUTO, pace=Pace(stretch=4))
    assert it.policy("r") is it.policy("r")


async def test_one_end_that_nobody_told_of():
    """Takes the trust back, ten seconds after a poll has found it."""
    it = await told()
    ends(it, 20, by_webhook=True)
    ends(it, 1, by_webhook=False)
    await asyncio.sleep(9.9)
    assert it.of("r")
    await asyncio.sleep(0.2)
    assert not it.of("r")
    assert it.policy("r") == AUTO
    ends(it, 10, by_webhook=True)
    assert it.of("r")


@pytest.mark.parametrize(
    ("found", "hint", "known"),
    [
        ({}, Hint("event", folder=FOLDER), True),
        ({}, Hint("event", folder=FOLDER.upper(), key=KEY), True),
        ({}, Hint("event", folder=ELSEWHERE), False),
        ({}, Hint("event", reference="id"), True),
        ({}, Hint("event", reference="other", folder=FOLDER), False),
        ({"upstream_key": KEY}, Hint("event", key=KEY.upper(), folder=ELSEWHERE), True),
        ({"upstream_key": KEY}, Hint("event", key=ELSEWHERE, folder=FOLDER), False),
    ],
)
async def test_a_poll_may_be_quicker_than_the_webhook(found, hint, known):
    """Its word of a job that has just ended is good too, if it can be of that job."""
    it = await told()
    for _ in range(10):
        ends(it, 1, by_webhook=False, **found)
        await asyncio.sleep(1)
        it.hinted(hint)
    await asyncio.sleep(11)
    assert it.of("r") is known


async def test_what_nobody_told_of_for_long():
    """May have stopped working unnoticed: nothing has ended meanwhile."""
    it = await told()
    ends(it, 10, by_webhook=True)
    await asyncio.sleep(29 * 60)
    assert it.of("r")
    await asyncio.sleep(2 * 60)
    assert not it.of("r")


async def test_what_says_nothing_of_webhooks():
    """A held leg's end, a redirect that is no end, a route of another mode, a gateway that takes none."""
    it = await told()
    ends(it, 10, by_webhook=True)
    ends(it, 5, by_webhook=False, kind=LegKind.HOLD)
    ends(it, 5, by_webhook=False, event=e.Redirected(Leg(LegKind.STATUS, "https://h/moved")))
    await asyncio.sleep(11)
    assert it.of("r")
    ends(it, 1, by_webhook=False, event=e.Redirected(Leg(LegKind.OUTPUT, "https://h/output")))
    await asyncio.sleep(11)
    assert not it.of("r")
    ends(it, 20, by_webhook=True, route="other")
    assert (it.of("other"), it.policy("other")) == (False, Policy())
    off = await told(on=False)
    ends(off, 20, by_webhook=True)
    assert not off.of("r")


async def test_a_changed_policy_is_stretched_anew():
    """What was learned meanwhile is not lost."""
    it = await told()
    ends(it, 10, by_webhook=True)
    assert it.policy("r").pace == Pace(stretch=4)
    it._policies.own = msgspec.structs.replace(AUTO, pace=Pace(typical=5))
    assert it.policy("r").pace == Pace(typical=5, stretch=4)


async def test_ends_that_wait_for_a_word_are_bounded():
    """However many are polled for: the oldest are forgotten."""
    it = await told()
    ends(it, 1_500, by_webhook=False)
    assert len(it._found) == 1_000


def test_both_are_told():
    """In order, of the same."""
    heard: list[tuple[str, bool]] = []
    tell = both(lambda *end: heard.append(("a", end[3])), lambda *end: heard.append(("b", end[3])))
    tell(job(), job(), ENDED, True)
    assert heard == [("a", True), ("b", True)]


async def test_paths_without_number():
    """In pass-through, any spelling of a path is a route; what is known of those told of first is forgotten."""
    it = await told()
    ends(it, 10, by_webhook=True)
    assert it.of("r")
    for number in range(5_000):
        ends(it, 1, by_webhook=True, route=f"r{number}")
    assert not it.of("r")
    assert len(it._records) == 1_000
