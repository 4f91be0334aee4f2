"""The URI of a leg is stored sealed, for its job alone."""

from __future__ import annotations

from gateway.auth.keyring import generate, parse
from gateway.core.job import Job, Leg, LegKind
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.worker.vault import Vault

URL = "https://host/acme/status/%2Fx?sig=secret"


def job(job_id="00" + "a" * 22, leg=None):
    """Return a job."""
    return Job(job_id, "/t/x", "p", "t", CallerMode.SYNC, UpstreamMode.ASYNC, created=1, deadline=2, leg=leg)


def test_what_is_concealed_can_be_revealed():
    """Byte for byte, and concealing or revealing twice does no more."""
    vault, plain = Vault(parse(generate())), job(leg=Leg(LegKind.STATUS, URL))
    concealed = vault.conceal(plain)
    assert "secret" not in concealed.leg.url
    assert concealed.leg.kind is LegKind.STATUS
    assert vault.conceal(concealed) is concealed
    assert vault.reveal(concealed) == plain
    assert vault.reveal(plain) is plain


def test_a_leg_opens_for_its_own_job_only():
    """Copied into another record it is nothing to follow."""
    vault = Vault(parse(generate()))
    concealed = vault.conceal(job(leg=Leg(LegKind.HOLD, URL)))
    assert vault.reveal(job("01" + "b" * 22, concealed.leg)).leg is None


def test_a_job_without_a_leg_has_nothing_to_conceal():
    """Most records of a job's life have none."""
    vault, plain = Vault(parse(generate())), job()
    assert vault.conceal(plain) is plain


def test_a_leg_keeps_all_that_reading_it_needs():
    """A job of the Jobs API is read in its folder, by whichever replica follows it."""
    vault, plain = Vault(parse(generate())), job(leg=Leg(LegKind.JOB, URL, "the key of a folder"))
    assert vault.reveal(vault.conceal(plain)) == plain
