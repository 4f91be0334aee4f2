"""Job URLs: the signature in them, and how long it is good."""

from __future__ import annotations

import pytest

from gateway.auth.keyring import generate, parse
from gateway.auth.links import Signer
from gateway.core.job import State
from gateway.core.policy import HOUR, Binding, Policy
from gateway.worker.links import Links
from tests.core.strategies import in_state
from tests.worker.doubles import OnePolicy

SIGNER = Signer(parse(generate()))
POLICIES = OnePolicy(Policy(retention=HOUR, tombstone=2 * HOUR))


@pytest.mark.parametrize("state", [State.RUNNING, State.SUCCEEDED])
def test_a_signature_is_good_until_nothing_is_remembered(state: State):
    """Retention and tombstone, from the job's end, or, while that is to come, from its deadline."""
    job = in_state(state)
    urls = Links(POLICIES, SIGNER).urls(job, "https://gate.example")
    over = (job.finished or job.deadline) + 3 * HOUR
    assert urls.sig is not None
    assert SIGNER.valid(job.id, urls.sig, over)
    assert not SIGNER.valid(job.id, urls.sig, over + 1_001)  # it counts in whole seconds


def test_whether_it_can_be_canceled():
    """Before the start always; after it where the route's jobs can be found in Orchestrator."""
    api = OnePolicy(Policy(binding=Binding(api=True, correlation="jobId")))
    cases = [
        (POLICIES, State.ACCEPTED, True), (POLICIES, State.RUNNING, False), (api, State.RUNNING, True),
        (api, State.SUCCEEDED, False),
    ]  # fmt: skip
    for policies, state, cancelable in cases:
        urls = Links(policies, None).urls(in_state(state), "https://gate.example", share="2.ab")
        assert (urls.cancelable, urls.share) == (cancelable, "2.ab")


def test_nothing_is_signed_where_an_id_is_enough():
    """Under the gateway's own credential."""
    urls = Links(POLICIES, None).urls(in_state(State.RUNNING), "https://gate.example")
    assert urls.sig is None
    assert urls.monitor.startswith("https://gate.example/-/jobs/")
