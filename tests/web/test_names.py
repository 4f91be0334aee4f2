"""What is known of a request by the names of its fields."""

from gateway.web import names
from gateway.web.names import names_of


def test_what_is_known():
    """All names in lower case, their bytes, and whether one comes twice, in whatever case."""
    known = names_of(((b"Host", b"x"), (b"X-A", b"1"), (b"x-a", b"2")))
    assert known.present == {"host", "x-a"}
    assert known.size == len("Hostx-ax-a")
    assert known.repeated
    assert known.passing == (1, 2)
    assert not names_of(((b"Host", b"x"), (b"X-A", b"1"))).repeated


def test_values_make_no_difference():
    """The same names are looked up, so no value can be kept with them."""
    assert names_of(((b"X-Value", b"1"),)) is names_of(((b"X-Value", b"2"),))


def test_made_up_names_fill_no_memory():
    """Long ones are not kept, of short ones so many."""
    before = len(names._known)
    names_of(((b"x" * 3000, b""),))
    assert len(names._known) == before
    for number in range(3000):
        names_of(((b"x-%d" % number, b""),))
    assert len(names._known) <= 1024
