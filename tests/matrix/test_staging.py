"""The gateways under the matrix: what leaves them by an error leaves nothing behind."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from tests.matrix.conftest import Staging
from tests.matrix.test_waits import call


@pytest.mark.looptime
async def test_a_gateway_that_is_left_by_an_error_stops_following(virtual):
    """Its jobs are let go as at any other end: nothing of it runs on, so nothing of it has anything to log."""
    with pytest.raises(ZeroDivisionError):
        await _leave_by_an_error(virtual)
    with capture_logs() as logs:
        await asyncio.sleep(60)
    assert logs == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def _leave_by_an_error(virtual: Staging) -> None:
    async with virtual() as stage:
        await stage.client.start(call(Call_Mode="async"))
        raise ZeroDivisionError
