"""Resolving receivers' names: by the system, in threads of its own."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from gateway.worker.resolver import Resolver


@pytest.fixture
async def resolver():
    """A resolver, closed at the end."""
    it = Resolver()
    yield it
    await it.close()


async def test_a_name(resolver):
    """Its addresses, as the connector takes them."""
    found = await resolver.resolve("localhost", 8443, socket.AF_INET)
    assert {(each["hostname"], each["host"], each["port"]) for each in found} == {("localhost", "127.0.0.1", 8443)}
    assert {each["family"] for each in found} == {socket.AF_INET}


@pytest.mark.parametrize("name", ["a" * 70 + ".example", "nobody.invalid"])
async def test_what_is_no_host(resolver, name):
    """An `OSError`, whether the name is unknown or cannot be one."""
    with pytest.raises(OSError):
        await resolver.resolve(name, 443)


async def test_a_silent_name_server_holds_up_nothing_else(resolver, monkeypatch):
    """Look-ups that hang take no thread of the loop's, and leave others of the same kind room."""
    answered = threading.Event()
    really = socket.getaddrinfo

    def hanging(host, *args, **kwargs):
        if host == "silent.example":
            answered.wait(20)
            raise socket.gaierror
        return really(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    hung = [asyncio.get_running_loop().create_task(resolver.resolve("silent.example", 443)) for _ in range(16)]
    try:
        async with asyncio.timeout(5):
            assert await asyncio.get_running_loop().run_in_executor(None, int, "7") == 7
            assert await resolver.resolve("localhost", 443, socket.AF_INET)
        assert not any(task.done() for task in hung)
    finally:
        answered.set()
        assert {type(each) for each in await asyncio.gather(*hung, return_exceptions=True)} == {socket.gaierror}
