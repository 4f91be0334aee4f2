import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.exchange import Request
from gateway.upstream.http1_request import Origin, encode_request, split_url

TARGET = "/A//b/../%2e%2E/%2f;x?q=%zz&'\"\\"


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("http://h", Origin(False, "h", 80), "/"),
        ("https://h?", Origin(True, "h", 443), "/?"),
        ("http://h?a=/b", Origin(False, "h", 80), "/?a=/b"),
        (f"HTTP://H:8080{TARGET}#frag?", Origin(False, "h", 8080), TARGET),
        ("http://h:/x", Origin(False, "h", 80), "/x"),
        ("http://h#/x", Origin(False, "h", 80), "/"),
        ("http://[::1]:81/x", Origin(False, "::1", 81), "/x"),
        ("http://[fe80::1%25eth0]/", Origin(False, "fe80::1%eth0", 80), "/"),
    ],
)
def test_split_url_is_textual(url, origin, target):
    """Origin and target are cut out as text; the target is neither normalised nor re-quoted."""
    assert split_url(url)[::2] == (origin, target)


@settings(deadline=None)  # the machine may be busy
@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=60))
def test_any_printable_target_reaches_the_wire_byte_for_byte(target):
    """Whatever stands behind the slash is what the request line says."""
    _, head = encode_request(Request("GET", "http://h/" + target))
    assert head == f"GET /{target} HTTP/1.1\r\nHost: h\r\n\r\n".encode()


@pytest.mark.parametrize(
    "url",
    [
        "/x",
        "ftp://h/x",
        "http:/h/x",
        "http:///x",
        "http://user@h/",
        "http://u:p@h/",
        "http://h:0/",
        "http://h:65536/",
        "http://h:1x/",
        "http://a:b:c/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[x]/",
        "http://h\\@evil/",
        "http://h,i/é",
        "http://h/a b",
        "http://h/a\r\nX: y",
        "http://h/\0",
        "http://h/\x7f",
        "http://h/\u2028",
        "http://h/\t",
    ],
)
def test_an_unfit_url_is_refused(url):
    """No guess is made about a URL that is not plainly http(s)://host[:port]/…; the error repeats nothing of it."""
    with pytest.raises(ValueError) as caught:
        encode_request(Request("GET", url))
    assert url not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("", ()),
        ("GE T", ()),
        ("GET\r\nX: y", ()),
        ("GÉT", ()),
        ("GET", (("", "x"),)),
        ("GET", (("A B", "x"),)),
        ("GET", (("A:", "x"),)),
        ("GET", (("A\n", "x"),)),
        ("GET", (("É", "x"),)),
        ("GET", (("A", "x\r\nB: y"),)),
        ("GET", (("A", "x\n"),)),
        ("GET", (("A", "x\r"),)),
        ("GET", (("A", "\0"),)),
        ("GET", (("A", "✓"),)),
    ],
)
def test_an_unfit_method_or_field_is_refused(method, headers):
    """Nothing that could end a line early gets into a head."""
    with pytest.raises(ValueError):
        encode_request(Request(method, "http://h/", headers))


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=20), st.lists(st.tuples(st.text(max_size=8), st.text(max_size=20)), max_size=3))
def test_a_head_has_no_lines_but_its_own(method, headers):
    """Whatever the parts hold, the head is refused or has one line for each field."""
    try:
        _, head = encode_request(Request(method, "http://h/", tuple(headers)))
    except ValueError:
        return
    lines = head.split(b"\r\n")
    assert lines[-2:] == [b"", b""]
    assert len(lines) <= 2 + len(headers) + 1 + 2
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)


def test_hop_by_hop_fields_are_dropped_and_others_kept_in_order():
    """Connection's family, Host and Content-Length are the client's own; everything else goes as given."""
    given_headers = (
        ("X-B", "1"),
        ("connection", "X-B"),
        ("Keep-Alive", "x"),
        ("TE", "trailers"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("Proxy-Authorization", "x"),
        ("proxy-connection", "x"),
        ("Content-Length", "7"),
        ("HOST", "evil"),
        ("Trailer", "x"),
        ("a", "é\t"),
        ("X-B", "2"),
    )
    _, head = encode_request(Request("POST", "http://H:80/x", given_headers, b"{}"))
    assert head == (b"POST /x HTTP/1.1\r\nHost: H:80\r\nX-B: 1\r\na: \xe9\t\r\nX-B: 2\r\nContent-Length: 2\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("GET", b"", None),
        ("DELETE", b"", None),
        ("POST", b"", 0),
        ("PUT", b"", 0),
        ("PATCH", b"", 0),
        ("GET", b"x", 1),
        ("DELETE", b"xy", 2),
    ],
)
def test_content_length_is_said_where_it_means_something(method, body, length):
    """A body always has a length; POST, PUT and PATCH say 0 where there is none."""
    _, head = encode_request(Request(method, "http://h/", (), body))
    expected = b"" if length is None else b"Content-Length: %d\r\n" % length
    assert head == f"{method} / HTTP/1.1\r\nHost: h\r\n".encode() + expected + b"\r\n"
