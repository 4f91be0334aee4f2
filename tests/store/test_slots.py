"""The slot of a key."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from redis.crc import key_slot

from gateway.store.slots import slot_of


@given(st.text(alphabet="a{}é:0", max_size=12))
@example("callmode:{p2a}:job:x")
@example("{}a")
@example("a{b")
@example("}{a}")
def test_it_is_redis_pys(key):
    """With a hash tag, without one, and with what only looks like one."""
    assert slot_of(key) == key_slot(key.encode())
