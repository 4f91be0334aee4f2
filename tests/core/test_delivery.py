"""A delivery's record: what each attempt makes of it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.core.delivery import (
    KEPT_DEAD,
    MAX_HINT,
    MOST_ATTEMPTS,
    SCHEDULE,
    SPAN,
    Attempt,
    Delivery,
    DeliveryState,
    delivery_id,
)
from gateway.core.ids import is_id, make_id, partition_of
from gateway.core.policy import DAY, HOUR, MINUTE, SECOND

NEW = Delivery("03abc", "03job", "https://caller.example/hook", created=1_000, due=1_000)


def tried(status: int | None, at: int = 1_000) -> Attempt:
    """Return an attempt that came to `status`, or to no answer."""
    return Attempt(at=at, took=5, status=status, error=None if status else "ClientConnectorError")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (200, DeliveryState.DELIVERED),
        (204, DeliveryState.DELIVERED),
        (299, DeliveryState.DELIVERED),
        (300, DeliveryState.PENDING),
        (302, DeliveryState.PENDING),
        (400, DeliveryState.PENDING),
        (410, DeliveryState.DISABLED),
        (500, DeliveryState.PENDING),
        (None, DeliveryState.PENDING),
    ],
)
def test_what_an_answer_means(status: int | None, state: DeliveryState):
    """2xx delivers, 410 disables, everything else is tried again; a redirect is not followed."""
    after = NEW.after(tried(status))
    assert (after.state, after.revision, after.attempts) == (state, 2, (tried(status),))
    assert after.id == NEW.id


def test_a_receiver_that_is_never_there():
    """Ten attempts over three days and a bit, each later than the schedule by a tenth at most; then it has failed."""
    delivery, waits = NEW, []
    for _ in SCHEDULE:
        before, at = delivery, delivery.due
        delivery = delivery.after(tried(None, at))
        waits.append(delivery.due - at)
        assert delivery.revision == before.revision + 1
    assert delivery.state is DeliveryState.FAILED
    assert len(delivery.attempts) == len(SCHEDULE) == 10
    assert all(planned <= wait <= planned * 1.1 for planned, wait in zip(SCHEDULE[1:], waits, strict=False))
    assert 3 * DAY < delivery.attempts[-1].at - NEW.created < SPAN


def test_the_schedule_is_that_of_standard_webhooks():
    """At once, then 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h."""
    assert SCHEDULE[:4] == (0, 5 * SECOND, 5 * MINUTE, 30 * MINUTE)
    assert SCHEDULE[4:] == (2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
    assert all(sooner < later for sooner, later in pairwise(SCHEDULE))


@pytest.mark.parametrize(
    ("hint", "due"),
    [(MINUTE, 1_000 + MINUTE), (SECOND, None), (40 * DAY, 1_000 + MAX_HINT)],
    ids=["longer than planned", "shorter than planned", "absurd"],
)
def test_retry_after_is_a_lower_bound(hint: int, due: int | None):
    """A receiver may ask for more time than planned, for a day at most, and not for less."""
    after = NEW.after(tried(503), hint=hint)
    planned = NEW.after(tried(503)).due
    assert after.due == (due or planned)


def test_what_is_abandoned_has_failed():
    """With the attempt that says why; nothing more is due."""
    after = NEW.abandoned(Attempt(at=1_000, took=0, error="the outcome is no longer kept"))
    assert (after.state, after.revision, after.due) == (DeliveryState.FAILED, 2, NEW.due)
    assert after.attempts[-1].error == "the outcome is no longer kept"


def test_what_is_silenced_is_disabled():
    """With the attempt that says why; nothing more is due."""
    after = NEW.silenced(Attempt(at=1_000, took=0, error="the receiver wants no more"))
    assert (after.state, after.made, after.revision) == (DeliveryState.DISABLED, 1, 2)


def test_again_is_the_whole_schedule_anew():
    """At once, then as before; what was tried stays on record."""
    failed = NEW
    for _ in SCHEDULE:
        failed = failed.after(tried(None, failed.due))
    again = failed.again(9_000_000)
    assert (again.state, again.due, again.revision) == (DeliveryState.PENDING, 9_000_000, failed.revision + 1)
    assert again.attempts == failed.attempts
    second = again.after(tried(None, 9_000_000))
    assert second.state is DeliveryState.PENDING
    assert SCHEDULE[1] <= second.due - 9_000_000 <= SCHEDULE[1] * 1.1
    for _ in SCHEDULE[1:]:
        second = second.after(tried(None, second.due))
    assert (second.state, second.made, len(second.attempts)) == (DeliveryState.FAILED, 20, 20)


def test_attempts_on_record_are_bounded():
    """The newest are kept; how many there were is still known."""
    delivery = NEW
    for at in range(MOST_ATTEMPTS + 5):
        delivery = delivery.again(at).after(tried(500, at))
    assert (len(delivery.attempts), delivery.made) == (MOST_ATTEMPTS, MOST_ATTEMPTS + 5)
    assert delivery.attempts[-1].at == MOST_ATTEMPTS + 4


def test_what_is_dead_is_kept_longer():
    """Its outcome too: for whoever sees to it."""
    assert NEW.keep == SPAN
    assert NEW.after(tried(200)).keep == SPAN
    assert NEW.after(tried(410)).keep == NEW.abandoned(tried(None)).keep == KEPT_DEAD


def test_one_job_and_one_url_are_one_delivery():
    """Its id lies in the job's partition, and is the same wherever it is made."""
    job_id = make_id(0x2A, bytes(16))
    url = "https://caller.example/hook"
    assert delivery_id(job_id, url) == delivery_id(job_id, url)
    others = {delivery_id(job_id, url), delivery_id(job_id, f"{url}?"), delivery_id(make_id(0x2A, b"x" * 16), url)}
    assert len(others) == 3
    assert all(is_id(each) and partition_of(each) == 0x2A for each in others)
