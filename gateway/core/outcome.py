"""The outcome rules: what an exchange with the upstream means for the job.

What came back decides, not what was asked for: a trigger that ignores `$callMode` still works. Two questions are kept
apart. Of a start: did anything run, surely, surely not, or perhaps? Of a read: is this the outcome, the way to it, or
a hiccup on the way? A read may be repeated at will, so everything doubtful is a hiccup; a start may not, so everything
doubtful is ambiguous.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from gateway.core import events as e
from gateway.core.errors import (
    OutcomeUnreadable,
    Problem,
    UpstreamCredentials,
    UpstreamUnreachable,
)
from gateway.core.exchange import Answer, Exchanged, Failure, Framing, Headers, Reason, is_json
from gateway.core.job import Leg, LegKind, Outcome, State
from gateway.core.locations import BadLocation, allowed, resolve
from gateway.core.modes import UpstreamMode
from gateway.core.policy import MINUTE
from gateway.core.timing import asked_wait

LOCATION_REFUSED = "location-refused"
"""What the monitor calls the error of a job that runs where the gateway may not, or cannot, follow it."""

MAX_REDIRECTS = 5
"""Redirects followed in a row that bring the job no further: from output URI to output URI, or of a moved URI."""

LONGEST_WAIT = 10 * MINUTE
"""What an upstream may have us wait by one `Retry-After`: a job's end is not lost for days by a number made up on the
way to it, and Orchestrator's own limits are by the minute."""

MAX_UNREADABLE = 20
"""Failed reads in a row, about four minutes, after which an outcome that is cut short once more is given up."""

GATEWAY_STATUSES = frozenset({502, 503, 504, *range(520, 528)})
"""What proxies on the way answer of themselves (RFC 9110 15.6; 520-527 are Cloudflare's)."""

_CANCELED_CODE = 4802
"""Orchestrator's error code of a stopped job."""
_NO_FINAL_STATUS_CODE = 4803
"""Orchestrator's error code of a job whose final status it does not tell, for instance as it waits no longer for it."""

_REDIRECTS = frozenset({302, 303})
_MOVES_ON = _REDIRECTS | {301, 307, 308}

_NOT_PASSED_ON = frozenset({
    # Hop-by-hop, RFC 9110 7.6.1.
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
    # Of one response, of the upstream's own site, or made anew by the gateway.
    "age", "alt-svc", "cache-control", "content-length", "date", "expires", "link", "location", "nel", "pragma",
    "report-to", "retry-after", "server", "set-cookie", "strict-transport-security", "x-powered-by",
    "job-id", "job-status", "call-mode-applied", "idempotent-replayed", "preference-applied", "operation-location",
})  # fmt: skip


class Origins(msgspec.Struct, frozen=True):
    """Where the upstream may send us: its own host and what the configuration adds."""

    upstream_url: str
    extra: frozenset[str] = frozenset()
    setting: str = "upstream.allowed_hosts"
    """The setting that would allow more, for messages."""

    def permits(self, url: str) -> bool:
        """Whether the absolute `url` may be followed."""
        return allowed(url, upstream_url=self.upstream_url, extra=self.extra)

    def follow(self, base: str, location: str) -> str:
        """Return `location` made absolute against `base`. Raises `BadLocation`, also if it may not be followed."""
        url = resolve(base, location)
        if not self.permits(url):
            host = url.split("/", 3)[2].rpartition("@")[2]
            raise BadLocation(f"the upstream points to {host}, which {self.setting} does not allow")
        return url


class StartContext(msgspec.Struct, frozen=True):
    """What judging a start needs to know besides the answer."""

    url: str
    asked: UpstreamMode | None
    origins: Origins
    own_credential: bool = False
    """Whether the gateway's own credential went upstream, rather than the caller's."""


def judge_start(exchanged: Exchanged, context: StartContext) -> e.Event:
    """Say what the answer to a start, or its failure, means.

    Certain failures come back as `StartRefused` with `frees_key`; whether they are tried again is the driver's policy.
    """
    if isinstance(exchanged, Failure):
        return failed_start(exchanged)
    answer = exchanged
    if answer.status < 300:
        return _accepted_start(answer, context)
    if answer.status in _REDIRECTS:
        return _followed(answer, context, UpstreamMode.LONG_POLL, LegKind.HOLD)
    if answer.status < 400:
        return e.StartAmbiguous(f"the upstream answered the start with {answer.status}, which no call mode has")
    return refused_start(answer, context)


def failed_start(failure: Failure) -> e.Event:
    """Say what a start means that was not answered."""
    if failure.sent:
        return e.StartAmbiguous(f"the start was sent and gave no whole answer ({_words(failure)})")
    kind = UpstreamCredentials if failure.reason is Reason.CREDENTIAL else UpstreamUnreachable
    return e.StartRefused(problem_outcome(kind(f"nothing was sent: {_words(failure)}")), frees_key=True)


def _accepted_start(answer: Answer, context: StartContext) -> e.Event:
    long_poll = context.asked is UpstreamMode.LONG_POLL
    if answer.status == 202 and answer.header("Location") is not None:
        return _followed(answer, context, UpstreamMode.ASYNC, LegKind.STATUS)
    if answer.status == 202 and not long_poll:
        return e.StartAmbiguous("the upstream accepted the start and gave no Location to follow", LOCATION_REFUSED)
    if answer.status == 200 and not answer.body and not long_poll:
        return e.Dispatched()
    if _cut(answer):
        return e.StartAmbiguous("the answer to the start was cut short")
    return e.Ended(outcome_of(answer), mode=UpstreamMode.LONG_POLL)


def _followed(answer: Answer, context: StartContext, mode: UpstreamMode, kind: LegKind) -> e.Event:
    location = answer.header("Location")
    if location is None:
        return e.StartAmbiguous(f"the upstream answered {answer.status} without a Location", LOCATION_REFUSED)
    try:
        url = context.origins.follow(context.url, location)
    except BadLocation as error:
        return e.StartAmbiguous(f"the job runs, but {error}", LOCATION_REFUSED)
    if url in {context.url, context.url.partition("?")[0]}:
        # A trigger may be started by GET: reading it would be a second start.
        return e.StartAmbiguous("the upstream's Location is the trigger itself", LOCATION_REFUSED)
    return e.Followed(mode, Leg(kind, url))


def refused_start(answer: Answer, context: StartContext) -> e.Event:
    """Say what an answer of 400 or above to a start means."""
    html = _is_html(answer)
    if answer.status == 429 and not html:
        return e.StartRefused(_refusal(answer), frees_key=True, hint=retry_after(answer))
    # A long-poll's first answer may be the job's own end, and jobs may say 403.
    denied = {401} if context.asked is UpstreamMode.LONG_POLL else {401, 403}
    if answer.status in denied and context.own_credential:
        problem = UpstreamCredentials(f"the upstream answered the gateway's own credential with {answer.status}")
        return e.StartRefused(problem_outcome(problem), frees_key=answer.status == 401)
    certain_4xx = answer.status < 500 and answer.status != 429
    if (certain_4xx or _has_json_object(answer)) and not _cut(answer):
        if context.asked is UpstreamMode.LONG_POLL and answer.status != 401:
            return e.Ended(outcome_of(answer), mode=UpstreamMode.LONG_POLL)
        # Authentication comes before anything runs, so a refreshed token may use the same key.
        return e.StartRefused(_refusal(answer), frees_key=answer.status == 401)
    what = "an HTML page" if html else "no answer of Orchestrator's own"
    return e.StartAmbiguous(f"the start was answered with {answer.status} and {what}")


def judge_read(exchanged: Exchanged, leg: Leg, origins: Origins, redirects: int = 0, failures: int = 0) -> e.Event:
    """Say what the answer to a read of `leg` means.

    `redirects` and `failures`: those that came in a row just before, as the record counts them.
    """
    if isinstance(exchanged, Failure):
        return failed_read(exchanged, leg, failures)
    answer = exchanged
    hint = retry_after(answer)
    if answer.status in {401, 429}:
        return e.ReadFailed(f"the upstream answered {answer.status}", hint, unauthorized=answer.status == 401)
    if answer.status in GATEWAY_STATUSES and not _has_json(answer):
        return e.ReadFailed(f"a proxy on the way answered {answer.status}", hint)
    if answer.status in _MOVES_ON:
        return _redirected(answer, leg, origins, redirects)
    if leg.kind is LegKind.STATUS and answer.status in {200, 202}:
        return e.StillRunning(hint)
    if _cut(answer):
        return cut_short("the answer was cut short", leg, failures, hint)
    return e.Ended(outcome_of(answer))


def disallowed(leg: Leg, origins: Origins) -> e.Lost | None:
    """Return what it means that `leg` may not be read; None if it may.

    Then the configuration has changed since the leg was saved, and the credential does not leave for there.
    """
    if origins.permits(leg.url):
        return None
    return e.Lost(f"{origins.setting} no longer allows the host that the job is followed on", LOCATION_REFUSED)


def failed_read(failure: Failure, leg: Leg, failures: int) -> e.Event:
    """Say what a read of `leg` means that was not answered; `failures`: those in a row just before."""
    if failure.reason is Reason.TOO_LARGE:
        return e.GaveUp(problem_outcome(OutcomeUnreadable("the outcome is larger than limits.answer")))
    if failure.reason is Reason.TRUNCATED:
        return cut_short(_words(failure), leg, failures)
    return e.ReadFailed(_words(failure))


def cut_short(why: str, leg: Leg, failures: int, hint: int = 0) -> e.Event:
    """Say what an answer of `leg` means that is not whole."""
    # An upstream that cuts every answer would have us read until the deadline; a status is worth that, an end is not.
    if leg.kind is not LegKind.STATUS and failures >= MAX_UNREADABLE:
        return e.GaveUp(problem_outcome(OutcomeUnreadable(f"after {failures + 1} reads, {why}")))
    return e.ReadFailed(why, hint)


def _redirected(answer: Answer, leg: Leg, origins: Origins, redirects: int) -> e.Event:
    location = answer.header("Location")
    if location is None:
        return e.ReadFailed(f"the upstream answered {answer.status} without a Location")
    # A status URI's 303 is the way on to the output, and a held one is the loop that long-polling consists of.
    onward = answer.status in _REDIRECTS and leg.kind is not LegKind.OUTPUT
    if not onward and redirects >= MAX_REDIRECTS:
        return _endless(leg)
    try:
        url = origins.follow(leg.url, location)
    except BadLocation as error:
        return e.Lost(f"the job runs, but {error}", LOCATION_REFUSED)
    kind = LegKind.OUTPUT if onward and leg.kind is LegKind.STATUS else leg.kind
    return e.Redirected(Leg(kind, url), 0 if onward else redirects + 1)


def _endless(leg: Leg) -> e.Event:
    if leg.kind is LegKind.OUTPUT:
        return e.GaveUp(problem_outcome(OutcomeUnreadable("the output URI redirects without end")))
    return e.Lost("the job runs, but its status URI redirects without end", LOCATION_REFUSED)


def outcome_of(answer: Answer) -> Outcome:
    """Return `answer` as an outcome: its status and body as they are, its end-to-end headers."""
    return Outcome(answer.status, end_to_end(answer.headers), answer.body)


def _refusal(answer: Answer) -> Outcome:
    """Return a refused start as its outcome. Nothing runs, so when to try again is the caller's to know."""
    refused = outcome_of(answer)
    after = tuple((name, value) for name, value in answer.headers if name.lower() == "retry-after")
    return msgspec.structs.replace(refused, headers=(*refused.headers, *after))


def problem_outcome(problem: Problem) -> Outcome:
    """Return the outcome of an end that the gateway makes."""
    return Outcome(problem.status, problem=problem.code, detail=problem.detail)


def state_of(outcome: Outcome) -> State:
    """Return the terminal state that `outcome` stands for."""
    if outcome.status < 400:
        return State.SUCCEEDED
    return State.CANCELED if _error_code(outcome.body) == _CANCELED_CODE else State.FAILED


def tells_no_end(outcome: Outcome) -> bool:
    """Whether an answer in an outcome's place says of itself that how the job ended is not known."""
    return outcome.status >= 400 and _error_code(outcome.body) == _NO_FINAL_STATUS_CODE


def _error_code(body: bytes) -> object:
    """Return the code of Orchestrator's error envelope: `errorCode`, or in the older one `error.code`."""
    envelope = _json_object(body) or {}
    nested = envelope.get("error")
    return envelope.get("errorCode", nested.get("code") if isinstance(nested, dict) else None)


def end_to_end(headers: Headers) -> Headers:
    """Return the fields of an outcome that are passed on to callers."""
    kept = [field for field in headers if _is_passed_on(field[0])]
    lists = [value for name, value in headers if len(name) == 10 and name.lower() == "connection"]
    if lists:
        named = {token.strip().lower() for value in lists for token in value.split(",")}
        kept = [field for field in kept if field[0].lower() not in named]
    return tuple(kept)


@lru_cache(maxsize=1024)
def _is_passed_on(name: str) -> bool:
    """Whether a field of this name may be passed on; names are few, and come with every answer."""
    lower = name.lower()
    return lower not in _NOT_PASSED_ON and not lower.startswith(("cf-", "access-control-"))


def retry_after(answer: Answer) -> int:
    """Return how long (ms) the answer asks to wait, at most `LONGEST_WAIT`; 0 if it does not."""
    return min(asked_wait(answer.header("Retry-After")), LONGEST_WAIT)


def _cut(answer: Answer) -> bool:
    """Whether an answer that ended with its connection is JSON that does not parse: one cut short looks like that."""
    if answer.framing is not Framing.CLOSE or answer.header("Content-Encoding"):
        return False
    return _is_json(answer) and not _parses(answer.body)


def _is_json(answer: Answer) -> bool:
    return is_json(answer.header("Content-Type"))


def _is_html(answer: Answer) -> bool:
    return "html" in (answer.header("Content-Type") or "").lower() or answer.body.lstrip()[:1] == b"<"


def _has_json(answer: Answer) -> bool:
    return _has_json_object(answer) or (_is_json(answer) and _parses(answer.body))


def _has_json_object(answer: Answer) -> bool:
    return not _is_html(answer) and _json_object(answer.body) is not None


def _json_object(body: bytes) -> Mapping[str, object] | None:
    if body.lstrip()[:1] != b"{" or len(body) > 1 << 16:
        return None
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _parses(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _words(failure: Failure) -> str:
    return f"{failure.reason.value}: {failure.detail}" if failure.detail else failure.reason.value
