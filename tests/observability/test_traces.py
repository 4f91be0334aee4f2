"""A span a job, made from its record."""

from __future__ import annotations

import pytest

from gateway.core import events as e
from gateway.core.job import Job, State
from gateway.core.modes import CallerMode, UpstreamMode
from gateway.observability.traces import JobTraces, provider

sdk = pytest.importorskip("opentelemetry.sdk.trace")
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def exported():
    """A tracer whose spans end up in a list, and that list."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, made = InMemorySpanExporter(), sdk.TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(exporter))
    yield made.get_tracer("test"), exporter.get_finished_spans
    made.shutdown()


def job(**changes):
    """Return a job."""
    base = Job("00" + "a" * 22, "/t/x", "p", "t", CallerMode.SYNC, UpstreamMode.ASYNC, created=1_000, deadline=9_000)
    return base.with_(**changes)


def test_a_job_that_ended_is_one_span_below_the_callers(exported):
    """Begin, end, parent and what happened come from the record alone."""
    tracer, finished = exported
    ended = job(state=State.FAILED, started=1_100, finished=2_000, error="job-deadline", trace=PARENT)
    JobTraces(tracer)(ended, e.StillRunning())
    (span,) = finished()
    assert (span.start_time, span.end_time) == (1_000_000_000, 2_000_000_000)
    assert span.parent.span_id == 0x00F067AA0BA902B7
    assert span.status.description == "job-deadline"
    assert span.attributes["callmode.job"] == ended.id


def test_a_job_that_goes_on_has_no_span_yet(exported):
    """Only the end makes a span."""
    tracer, finished = exported
    JobTraces(tracer)(job(state=State.RUNNING), e.StillRunning())
    assert finished() == ()


def test_a_callers_nonsense_is_no_parent(exported):
    """A malformed `traceparent` begins a trace of its own."""
    tracer, finished = exported
    JobTraces(tracer)(job(state=State.SUCCEEDED, finished=2_000, trace="nonsense"), e.StillRunning())
    assert finished()[0].parent is None


def test_nobody_asked_for_traces(monkeypatch):
    """Without an endpoint there is no provider."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", raising=False)
    assert provider() is None
