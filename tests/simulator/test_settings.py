"""What a tenant can and cannot be."""

from __future__ import annotations

import pytest

from gateway.simulator import ASYNC, FORGET, LONG_POLLING, Settings, Trigger
from gateway.simulator.settings import trigger_of


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"mode": "Sync"}, "Sync"),
        ({"triggers": {"a": Trigger(mode="Jobs")}}, "Jobs"),
        ({"location": "elsewhere"}, "elsewhere"),
        ({"fault_rate": 1.5}, "1.5"),
    ],
)
def test_refuses_what_no_tenant_is(wrong, named):
    """A wrong setting is an error that names the value."""
    with pytest.raises(ValueError, match=named):
        Settings(**wrong)


@pytest.mark.parametrize(
    ("slug", "mode", "honours"),
    [
        ("job", FORGET, True),
        ("async", ASYNC, True),
        ("longpolling-orders", LONG_POLLING, True),
        ("forget", FORGET, True),
        ("fixed-longpoll", LONG_POLLING, False),
        ("fixed-job", FORGET, False),
        ("async-but-own", LONG_POLLING, True),
        ("fixed-but-own", FORGET, True),
    ],
)
def test_what_a_slug_says(slug, mode, honours):
    """A trigger's own settings come first, then its slug's prefixes, then the tenant's settings."""
    own = {"async-but-own": Trigger(mode=LONG_POLLING), "fixed-but-own": Trigger(honour_call_mode=True)}
    trigger = trigger_of(Settings(mode=FORGET, triggers=own), slug)
    assert (trigger.mode, trigger.honour_call_mode, trigger.duration) == (mode, honours, 1.0)
