"""The `$callMode` scanner: what it accepts, what it refuses, and that it touches nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.core.arguments import (
    BadArguments,
    NotJson,
    Scanned,
    cut,
    cut_query,
    scan,
    scan_query,
    splice,
    splice_query,
)

SPACE = st.text(" \t\n\r", max_size=2)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8")),
    st.sampled_from(['}{"', "\\", '\\"', "$callMode", ",", "a:b", "]"]),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
NAMES = st.text(st.characters(codec="utf-8")).filter(lambda name: name.lower() != "$callmode")


@st.composite
def members(draw: st.DrawFn, name: str, value: str) -> str:
    """Draw one member as text, with white space wherever it may stand."""
    return f"{draw(SPACE)}{name}{draw(SPACE)}:{draw(SPACE)}{value}{draw(SPACE)}"


@st.composite
def objects(draw: st.DrawFn) -> tuple[list[str], bytes]:
    """Draw an object without `$callMode`: its members as text, and the whole text."""
    pairs = draw(st.dictionaries(NAMES, VALUES, max_size=5))
    ascii_only = draw(st.booleans())
    texts = [
        draw(members(json.dumps(name, ensure_ascii=ascii_only), json.dumps(value, ensure_ascii=ascii_only)))
        for name, value in pairs.items()
    ]
    return texts, (f"{draw(SPACE)}{{{','.join(texts) or draw(SPACE)}}}{draw(SPACE)}").encode()


def strict_loads(body: bytes) -> object:
    """Decode as RFC 8259 has it, with the standard library: what `scan` must agree with."""

    def refuse(constant: str) -> object:
        raise ValueError(constant)

    return json.loads(body.decode(), parse_constant=refuse, parse_int=str, parse_float=str)


def refused(body: bytes, **limits: int) -> str:
    """Return the code that `body` is refused with."""
    with pytest.raises(BadArguments) as caught:
        scan(body, **limits)
    return caught.value.code


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(objects(), st.text(st.characters(codec="utf-8")))
def test_splice_then_cut_gives_back_every_byte(drawn: tuple[list[str], bytes], mode: str):
    """What is spliced in can be found again, and cut out again without a trace."""
    _, body = drawn
    spliced = splice(scan(body), mode)
    assert json.loads(spliced) == {"$callMode": mode, **json.loads(body)}
    assert scan(spliced).call_mode == mode
    assert cut(scan(spliced)) == body


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(objects(), st.data())
def test_callers_member_is_cut_and_replaced_wherever_it_stands(drawn: tuple[list[str], bytes], data: st.DataObject):
    """With `$callMode` at any place, escaped or not, the other members keep their bytes and their order."""
    texts, plain = drawn
    name = data.draw(st.sampled_from(['"$callMode"', r'"\u0024callMode"', r'"$c\u0061llMode"']))
    index = data.draw(st.integers(0, len(texts)))
    texts = [*texts[:index], data.draw(members(name, '"Sync"')), *texts[index:]]
    scanned = scan(f"{{{','.join(texts)}}}".encode())
    assert scanned.call_mode == "Sync"
    assert list(json.loads(cut(scanned)).items()) == list(json.loads(plain).items())
    others = [text.strip(" \t\n\r").encode() for at, text in enumerate(texts) if at != index]
    for edited in (cut(scanned), splice(scanned, "LongPolling")):
        assert [other for other in others if other not in edited] == []
    assert list(json.loads(splice(scanned, "X"))) == [json.loads(f"{{{text}}}").popitem()[0] for text in texts]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"$callMode":"Sync"}', b"{}"),
        (b'{ "$callMode" : "Sync" }', b"{  }"),
        (b'{"$callMode":"Sync","a":1}', b'{"a":1}'),
        (b'{"a":1,"$callMode":"Sync"}', b'{"a":1}'),
        (b'{"a":1 , "$callMode":"Sync" , "b":2}', b'{"a":1 ,  "b":2}'),
        (b'{"a":1.0e2, "$callMode":"Sync"}', b'{"a":1.0e2}'),
        (b'{"a":{"$callMode":1,"$callMode":2}}', b'{"a":{"$callMode":1,"$callMode":2}}'),
        (b'{"a":"\\",\\"$callMode\\":1"}', b'{"a":"\\",\\"$callMode\\":1"}'),
    ],
)
def test_cut_takes_the_member_and_one_comma(body: bytes, expected: bytes):
    """Only a top-level member goes, with the comma after it, or else the one before."""
    assert cut(scan(body)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", b'{"$callMode":"M"}'),
        (b" { } ", b' {"$callMode":"M" } '),
        (b'{"n":1e400,"n2":-0.10}', b'{"$callMode":"M","n":1e400,"n2":-0.10}'),
        (b'{"a":1, "\\u0024callMode" : "Sync" }', b'{"a":1, "$callMode":"M" }'),
    ],
)
def test_splice_inserts_first_or_replaces_in_place(body: bytes, expected: bytes):
    """Numbers, white space and order stay as sent."""
    assert splice(scan(body), "M") == expected


@pytest.mark.parametrize("body", [b"[1]", b'"{}"', b" 12 ", b"null", b'[{"$callMode":1}]', b"[" * 99 + b"]" * 99])
def test_other_values_go_untouched(body: bytes):
    """JSON that is no object has no arguments."""
    scanned = scan(body)
    assert scanned == Scanned(body, is_object=False)
    assert cut(scanned) == splice(scanned, "Sync") == body


NOT_JSON = [b"", b" ", b"a=1&b=2", b"\xef\xbb\xbf{}", b"{} {}", b"{}\x00", b"{'a':1}", b"{]", b"\xa0{}"]
NOT_JSON += [b'{"a":01}', b'{"a":+1}', b'{"a":1.}', b'{"a":1,}', b'{"a":"\t"}', b'{"a":"\\x"}', b'{"a":NaN']
NOT_JSON += [b"[NaN]", b'"\xff"', b"[" * 100_000, '{"a":1}'.encode("utf-16")]


@pytest.mark.parametrize("body", NOT_JSON)
def test_what_is_no_json_is_told_apart(body: bytes):
    """The caller of `scan` decides by the label, so that this is its own exception."""
    with pytest.raises(NotJson):
        scan(body)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"$callMode":"a","$callMode":"a"}', "duplicate-member"),
        (b'{"$callMode":"a","\\u0024callMode":"b"}', "duplicate-member"),
        (b'{"a":1,"a":1}', "duplicate-member"),
        (b'{"a":1,"b":2,"a":1,"b":2}', "duplicate-member"),
        (b'{"a":1,"a":12}', "duplicate-member"),
        (b'{"a":12,"a":1}', "duplicate-member"),
        (b'{"a":1,"\\u0061":"x"}', "duplicate-member"),
        (b'{"$CallMode":"a"}', "call-mode-name"),
        (b'{"$callMode":"a","$callmode":"a"}', "call-mode-name"),
        (b'{"$CALLMODE":"a","$callMode":"a"}', "call-mode-name"),
        (b'{"\\u0024CallMode":"a"}', "call-mode-name"),
        (b'{"$callMode":null}', "call-mode-type"),
        (b'{"$callMode":1}', "call-mode-type"),
        (b'{"$callMode":["Sync"]}', "call-mode-type"),
        (b'{"a":NaN}', "not-strict"),
        (b'{"a":-Infinity}', "not-strict"),
        (b'{"a":"\\ud800"}', "not-strict"),
        (b'{"\\udc00":1}', "not-strict"),
        (b'{"a":"\xe9"}', "not-utf-8"),
        (b'{"\xed\xa0\x80":1}', "not-utf-8"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "too-deep"),
        (b'{"a":' + b"[" * 100_000, "too-deep"),
        (b"{" + b",".join(b'"%d":1' % n for n in range(10_001)) + b"}", "too-many-keys"),
        (b'{"a":[' + b",".join([b'{"k":1}'] * 10_000) + b"]}", "too-many-keys"),
    ],
)
def test_readable_and_refused(body: bytes, code: str):
    """Every way in which two parsers could read one body differently is refused, and says which."""
    assert refused(body) == code


def test_limits_are_exact():
    """The last depth and count allowed pass; brackets and colons in strings do not count."""
    noise = '"' + '\\"[{:\\\\' * 20_000 + '"'
    deep = ('{"s":' + noise + ',"a":' + "[" * 63 + "]" * 63 + "}").encode()
    assert scan(deep).is_object
    assert refused(deep, max_depth=63) == "too-deep"
    keys = ("{" + ",".join(f'"{n}":{{"s":{noise if n == 1 else 0}}}' for n in range(5_000)) + "}").encode()
    assert scan(keys).is_object
    assert refused(keys, max_keys=9_999) == "too-many-keys"


def test_huge_numbers_pass_untouched():
    """A number of 900,000 digits is the upstream's business: it is never converted here."""
    body = b'{"n":' + b"9" * 900_000 + b"}"
    assert splice(scan(body), "Sync") == b'{"$callMode":"Sync",' + body[1:]


def test_refusals_do_not_repeat_the_body():
    """An error's text can be shown and logged: nothing of the body is in it."""
    for body in (b'{"$callMode":"s3cret","$CALLMODE":"s3cret"}', b'{"s3cret":1,"s3cret":2}', b'{"s3cret":nope}'):
        with pytest.raises((BadArguments, NotJson)) as caught:
            scan(body)
        assert "s3cret" not in caught.value.detail


TOKENS = [b"{", b"}", b"[", b"]", b",", b":", b'"a"', b'"$callMode"', b'"\\u0041"', b" ", b"1", b"-0.5e+3", b"01"]
TOKENS += [b"1.", b"true", b"null", b"nul", b'"', b"\\", b'"\\', b"\x0b", b"\xc3\xa9", b"\xff", b"NaN", b"\xef\xbb\xbf"]


def verdict(body: bytes) -> str:
    """Scan `body` and name what came of it."""
    try:
        return "object" if scan(body).is_object else "other"
    except NotJson:
        return "not-json"
    except BadArguments as error:
        return error.code


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(st.lists(st.sampled_from(TOKENS), max_size=9).map(b"".join) | st.binary(max_size=12))
@example(b'{"a":1}')
@example(b'{"a":{"a":[-0.5e+3]}}')
@example(b'"\\ud83d\\ude00"')
def test_accepts_exactly_what_a_strict_parser_accepts(body: bytes):
    """`scan` and the standard library agree on every text, but for the refusals that are documented."""
    try:
        value = strict_loads(body)
    except ValueError:
        assert verdict(body) in {"not-json", "not-strict", "not-utf-8"}
    else:
        extra = {"duplicate-member", "call-mode-type"} if isinstance(value, dict) else set()
        assert verdict(body) in {"object" if isinstance(value, dict) else "other"} | extra


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(objects(), st.data())
def test_every_mutation_is_judged_as_a_strict_parser_judges_it(drawn: tuple[list[str], bytes], data: st.DataObject):
    """One byte changed, added or lost in a valid object: both parsers take it, or neither does."""
    body = drawn[1]
    at, byte = data.draw(st.integers(0, len(body))), data.draw(st.binary(max_size=1))
    mutant = body[:at] + byte + body[at + data.draw(st.integers(0, 1)) :]
    try:
        strict_loads(mutant)
    except ValueError:
        assert verdict(mutant) in {"not-json", "not-strict", "not-utf-8"}
    else:
        assert verdict(mutant) in {"object", "duplicate-member", "not-strict"}


@pytest.mark.parametrize(
    ("query", "mode", "rest"),
    [
        ("a=1&$callMode=LongPolling&b=%20", "LongPolling", "a=1&b=%20"),
        ("%24callMode=Sync", "Sync", ""),
        ("%24c%61llMode=A%2eB+C&a=+", "A.B C", "a=+"),
        ("a&a&&=%zz&$callMode", "", "a&a&&=%zz"),
        ("a=$callMode=1&x$callMode=2", None, "a=$callMode=1&x$callMode=2"),
        ("", None, ""),
    ],
)
def test_query_is_found_and_cut(query: str, mode: str | None, rest: str):
    """The parameter goes with its `&`; the others stay as sent."""
    scanned = scan_query(query)
    assert (scanned.call_mode, cut_query(scanned)) == (mode, rest)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("$callMode=a&b=1&%24callMode=a", "duplicate-member"),
        ("$CallMode=a", "call-mode-name"),
        ("%24callmode", "call-mode-name"),
        ("$callMode=%ff", "not-utf-8"),
    ],
)
def test_query_is_refused(query: str, code: str):
    """The same refusals as for a body."""
    with pytest.raises(BadArguments) as caught:
        scan_query(query)
    assert caught.value.code == code


def test_query_member_is_replaced_in_place():
    """The upstream gets the plain name and the gateway's own choice."""
    assert splice_query(scan_query("a=1&%24callMode=x&b"), "Long&Polling") == "a=1&$callMode=Long%26Polling&b"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(st.text("ab=&%20+$", max_size=12), st.text())
def test_query_splice_then_cut_gives_back_every_byte(query: str, mode: str):
    """What is spliced in is found again, and cut without a trace."""
    spliced = splice_query(scan_query(query), mode)
    assert scan_query(spliced).call_mode == mode
    assert cut_query(scan_query(spliced)) == query
