"""Traces over OTLP, where the extra `otel` is installed and OTEL_EXPORTER_OTLP_ENDPOINT says where to.

One span a job, from its acceptance to its end, below the caller's own span. It is made when the job ends, from the
record alone, so it is whole even if several replicas followed the job.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gateway.core import events as e
from gateway.core.job import Job, State

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

_NANOSECONDS = 1_000_000
"""In a millisecond."""


class JobTraces:
    """An observer of jobs that makes their spans."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __call__(self, job: Job, event: e.Event) -> None:  # noqa: ARG002 - an observer's signature
        """Make the span of a job that has ended."""
        if job.state.terminal:
            self._span(job)

    def _span(self, job: Job) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract({"traceparent": job.trace or ""})
        span = self._tracer.start_span(
            f"job {job.route}",
            context=parent,
            kind=SpanKind.SERVER,
            start_time=job.created * _NANOSECONDS,
            attributes={
                "callmode.job": job.id,
                "callmode.route": job.route,
                "callmode.mode": job.mode.value if job.mode else "upstream",
                "callmode.upstream_mode": job.observed.value if job.observed else "",
                "callmode.state": job.state.value,
                "callmode.upstream_calls": job.progress.attempts,
            },
        )
        if job.started is not None:
            span.add_event("started", timestamp=job.started * _NANOSECONDS)
        if job.state in {State.FAILED, State.EXPIRED}:
            span.set_status(Status(StatusCode.ERROR, job.error or ""))
        span.end((job.finished or job.changed) * _NANOSECONDS)


def provider() -> TracerProvider | None:
    """Return a provider that exports over OTLP; None where nobody asked for it or the extra is not installed."""
    if not (os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        return None
    made = TracerProvider(resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "callmode")}))
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made
