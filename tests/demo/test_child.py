from __future__ import annotations

import asyncio
import os

import pytest

from gateway.demo.child import Child, DemoError


async def pid_of(child: Child) -> int:
    """Return the process id of a child that is up."""
    await child.says(lambda line: line if "simulator on" in line else None, within=20)
    return child._process.get_pid()


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("end", [Child.stop, Child.kill])
async def test_a_child_is_gone_when_it_is_ended(end):
    """In good order or not; ending it again is no error."""
    child = await Child.start("simulate", "--listen", "127.0.0.1:0")
    exited = asyncio.Event()
    child.on_exit = exited.set
    pid = await pid_of(child)
    await end(child)
    assert exited.is_set()
    assert not alive(pid)
    await child.stop()


async def test_a_cancelled_stop_still_ends_it():
    """A second Ctrl-C leaves nothing behind."""
    child = await Child.start("simulate", "--listen", "127.0.0.1:0")
    pid = await pid_of(child)
    os.kill(pid, 19)  # SIGSTOP: it cannot act on being asked to end
    stopping = asyncio.get_running_loop().create_task(child.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    async with asyncio.timeout(5):
        await child._exited.wait()
    assert not alive(pid)


async def test_a_child_that_ends_by_itself_is_quoted():
    """Whoever waits for it hears at once that there is nothing to wait for, and why."""
    child = await Child.start("simulate", "--listen", "nowhere")
    with pytest.raises(DemoError, match=r"ended by itself.*\n'nowhere' is not HOST:PORT"):
        await child.says(lambda _: None, within=20)
    await child.stop()


async def test_a_silent_child_is_not_waited_for_without_end():
    """A time-out is a DemoError too."""
    child = await Child.start("simulate", "--listen", "127.0.0.1:0")
    with pytest.raises(DemoError, match="not ready after 0 seconds"):
        await child.says(lambda _: None, within=0.01)
    await child.stop()
