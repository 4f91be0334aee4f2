"""Hypothesis strategies for the core: answers, events, policies, and the records that sequences of events lead to.

A record is never made up field by field: `jobs()` applies legal events to a `fresh()` one, so that whatever it draws
can be met in production.
"""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.core import events as e
from gateway.core.apply import apply
from gateway.core.exchange import Answer, Failure, Framing, Reason
from gateway.core.job import Job, Leg, LegKind, Outcome, State, StopStrategy
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.core.policy import DAY, HOUR, MINUTE, Binding, Pace, Policy
from gateway.core.states import TRANSITIONS

UPSTREAM = "https://orchestrator.example/acme/prod/orchestrator_"
TRIGGER = f"{UPSTREAM}/t/0f3c/add"
BORN = 1_700_000_000_000
"""When `fresh()` jobs are accepted: any instant of the store's clock will do."""


def fresh(
    *,
    asked: UpstreamMode | None = UpstreamMode.ASYNC,
    deadline: int = HOUR,
    callback: bool = False,
    cancel_after: int | None = None,
) -> Job:
    """Return a job that was just accepted. `deadline`, `cancel_after`: how long after its acceptance."""
    return Job(
        id="p042-x7Zk",
        route="add",
        principal="who",
        token="how",
        mode=CallerMode.CALLBACK if callback else CallerMode.SYNC,
        asked=asked,
        created=BORN,
        deadline=BORN + deadline,
        cancel_at=None if cancel_after is None else BORN + cancel_after,
        callback_url="https://caller.example/hook" if callback else None,
    )


STATUS_LEG = Leg(LegKind.STATUS, f"{UPSTREAM}/status/1")
KEY = "c1b9e3a4-0d7e-4c57-9b1e-2f6a5d8c7b90"
"""A job's key in Orchestrator."""
JOB_LEG = Leg(LegKind.JOB, f"{UPSTREAM}/odata/Jobs/{KEY}", folder="0f3c")
OK = Outcome(200, (("Content-Type", "application/json"),), b'{"sum":3}')

EXAMPLES: dict[type[e.Event], e.Event] = {
    type(event): event
    for event in (
        e.StartIntended(),
        e.StartPostponed(at=BORN + 1_000, why="refused"),
        e.StartRefused(Outcome(404, (), b"{}"), frees_key=False),
        e.StartAmbiguous("reset"),
        e.Followed(UpstreamMode.ASYNC, STATUS_LEG),
        e.Dispatched(),
        e.StillRunning(),
        e.Redirected(Leg(LegKind.OUTPUT, f"{UPSTREAM}/output/1")),
        e.ReadFailed("502"),
        e.Lost("another host", "location-refused"),
        e.NoVerdict("none of the jobs is it"),
        e.Located(KEY),
        e.StopSent(StopStrategy.SOFT),
        e.StopFailed("503"),
        e.Ended(OK),
        e.GaveUp(Outcome(504, problem="job-deadline", detail="too late")),
        e.CancelRequested(),
        e.Canceled(Outcome(409, problem="job-canceled", detail="asked for")),
        e.VerdictMissed(),
    )
}
"""One event of each kind."""

_WAY: dict[State, tuple[type[e.Event], ...]] = {
    State.ACCEPTED: (),
    State.STARTING: (e.StartIntended,),
    State.RUNNING: (e.StartIntended, e.Followed),
    State.UNKNOWN: (e.StartIntended, e.StartAmbiguous),
    State.SUCCEEDED: (e.StartIntended, e.Followed, e.Ended),
    State.FAILED: (e.StartIntended, e.StartRefused),
    State.CANCELED: (e.Canceled,),
    State.DISPATCHED: (e.StartIntended, e.Dispatched),
    State.EXPIRED: (e.StartIntended, e.StartAmbiguous, e.VerdictMissed),
}


def in_state(state: State, **options: object) -> Job:
    """Return a job brought to `state` by the shortest way, an event every 10 ms. `options`: those of `fresh`."""
    job = fresh(**options)
    for step, kind in enumerate(_WAY[state], 1):
        job = apply(job, EXAMPLES[kind], BORN + 10 * step)
    return job


LIVE = [state for state in State if not state.terminal]
FLAGS = st.booleans()
_PLAIN = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
HINTS = st.one_of(st.just(0), st.integers(0, HOUR))
MODES = st.sampled_from(UpstreamMode)
KEYS = st.sampled_from([None, KEY])
ASKED = st.none() | MODES
LEGS = st.builds(
    Leg, st.sampled_from(LegKind), st.integers(1, 9).map(lambda n: f"{UPSTREAM}/api/{n}?signature=%2Fa%2fb+c")
)

LOCATIONS = st.one_of(
    st.integers(1, 9).map(lambda n: f"{UPSTREAM}/api/{n}"),
    st.sampled_from(
        ["/api/7?s=%2F", "next", "?again", "#here", TRIGGER, "https://elsewhere.example/x", "//odd@host/", "::", ""]
    ),
    _PLAIN,
)
HEADERS = st.lists(
    st.one_of(
        st.tuples(st.just("Location"), LOCATIONS),
        st.tuples(st.just("Content-Type"), st.sampled_from(["application/json", "text/html; charset=utf-8", "x/y"])),
        st.tuples(st.just("Retry-After"), st.sampled_from(["0", "1", "60", "soon", "-1", "999999999", ""])),
        st.tuples(st.sampled_from(["X-Trace", "connection", "Set-Cookie", "Job-Status"]), _PLAIN),
    ),
    max_size=4,
).map(tuple)
BODIES = st.one_of(
    st.sampled_from(
        [
            b"",
            b"{}",
            b'{"sum":3}',
            b'{"sum":',
            b"[1]",
            b"<html>502</html>",
            b'{"message":"stopped","errorCode":4802}',
            b'{"message":"faulted","errorCode":4801}',
        ]
    ),
    st.binary(max_size=40),
)
STATUSES = st.one_of(
    st.sampled_from([200, 202, 302, 303, 307, 308, 401, 404, 429, 500, 502, 503, 524]), st.integers(200, 599)
)

ANSWERS = st.builds(Answer, STATUSES, HEADERS, BODIES, st.sampled_from(Framing))
FAILURES = st.builds(Failure, st.sampled_from(Reason), st.booleans(), _PLAIN)
EXCHANGES = ANSWERS | FAILURES
"""Anything that a call to the upstream may come to."""

OUTCOMES = st.builds(Outcome, STATUSES, HEADERS, BODIES)
PROBLEM_OUTCOMES = st.sampled_from([EXAMPLES[e.GaveUp].outcome, EXAMPLES[e.Canceled].outcome])

EVENTS: dict[type[e.Event], st.SearchStrategy[e.Event]] = {
    e.StartIntended: st.builds(e.StartIntended),
    e.StartPostponed: st.builds(
        e.StartPostponed,
        at=st.integers(BORN, BORN + DAY),
        why=_PLAIN,
        code=st.sampled_from([None, "upstream-ambiguous"]),
    ),
    e.StartRefused: st.builds(e.StartRefused, OUTCOMES, st.booleans(), HINTS),
    e.StartAmbiguous: st.builds(e.StartAmbiguous, _PLAIN),
    e.Followed: st.builds(e.Followed, MODES, LEGS, KEYS),
    e.Dispatched: st.builds(e.Dispatched),
    e.StillRunning: st.builds(e.StillRunning, HINTS),
    e.Redirected: st.builds(e.Redirected, LEGS, st.integers(0, 5)),
    e.ReadFailed: st.builds(e.ReadFailed, _PLAIN, HINTS),
    e.Lost: st.builds(e.Lost, _PLAIN, st.just("location-refused")),
    e.NoVerdict: st.builds(e.NoVerdict, _PLAIN, HINTS),
    e.Located: st.builds(e.Located, st.just(KEY)),
    e.StopSent: st.builds(e.StopSent, st.sampled_from(StopStrategy)),
    e.StopFailed: st.builds(e.StopFailed, _PLAIN, HINTS),
    e.Ended: st.builds(e.Ended, OUTCOMES, ASKED),
    e.GaveUp: st.builds(e.GaveUp, PROBLEM_OUTCOMES),
    e.CancelRequested: st.builds(e.CancelRequested),
    e.Canceled: st.builds(e.Canceled, PROBLEM_OUTCOMES),
    e.VerdictMissed: st.builds(e.VerdictMissed),
}
"""Arbitrary events of each kind."""

ANY_EVENT = st.one_of(list(EVENTS.values()))


def legal(job: Job) -> st.SearchStrategy[e.Event]:
    """Return a strategy for the events that `job`'s state takes; it is empty for a job that has ended."""
    return st.one_of([EVENTS[kind] for kind in TRANSITIONS[job.state]])


@st.composite
def jobs(draw: st.DrawFn, *states: State) -> tuple[Job, int]:
    """Draw a record that some sequence of events leads to, and a time not before its last event.

    `states`: only these, if any are named; the shortest way leads there where the drawn one did not.
    """
    options = {
        "asked": draw(ASKED),
        "deadline": draw(st.sampled_from([MINUTE, HOUR, DAY])),
        "callback": draw(FLAGS),
        "cancel_after": draw(st.none() | st.integers(0, 2 * HOUR)),
    }
    wanted = states or tuple(State)
    job = in_state(draw(st.sampled_from([state for state in wanted if not state.terminal] or LIVE)), **options)
    now = BORN + 100
    for _ in range(draw(st.integers(0, 8))):
        now += draw(st.integers(0, HOUR))
        after = apply(job, draw(legal(job)), now)
        if job.state in wanted and after.state not in wanted:
            break
        job = after
        if job.state.terminal:
            break
    if job.state not in wanted:
        job = in_state(draw(st.sampled_from(wanted)), **options)
    return job, now + draw(st.integers(0, 2 * DAY))


BINDINGS = st.builds(
    Binding, api=FLAGS, process=st.sampled_from([None, "Add"]), correlation=st.sampled_from([None, "jobId"])
)
POLICIES = st.builds(
    Policy,
    idempotent=FLAGS,
    kill_after=st.sampled_from([0, 1, MINUTE]),
    binding=BINDINGS,
    upstream_mode=ASKED,
    pace=st.builds(Pace, typical=st.none() | st.integers(1, HOUR), floor=st.integers(1, 500)),
    start_timeout=st.integers(1_000, MINUTE),
    start_retry=st.sampled_from([0, MINUTE, HOUR]),
    unknown_ttl=st.integers(0, DAY),
)


def differs_durably(job: Job, other: Job) -> bool:
    """Whether more than the progress differs, so that the change must be saved."""
    return job.with_(progress=other.progress) != other
