"""Where spans go: to a collector, by OTLP over HTTP. Needs the extra `ringback[otel]`, which is imported only here."""

from __future__ import annotations

import atexit
from importlib.util import find_spec
from typing import Any

from worker.errors import SettingsInvalid
from worker.settings import Settings
from worker.tracing import Export, Span, Tracer
from worker.version import version

TRACES = "/v1/traces"
"""Where a collector takes spans, unless the setting says so itself."""


def tracer_of(settings: Settings, role: str) -> Tracer:
    """The tracer of a process. Without RINGBACK_OTLP_ENDPOINT it makes no spans, and nothing is imported.

    Raises SettingsInvalid when the endpoint is set and the extra is missing.
    """
    endpoint = settings.otlp_endpoint
    if endpoint is None:
        return Tracer()
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
        raise SettingsInvalid("RINGBACK_OTLP_ENDPOINT is set, but the extra is missing: pip install 'ringback[otel]'")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    where = endpoint if endpoint.endswith(TRACES) else endpoint + TRACES
    resource = Resource.create({"service.name": f"ringback-{role}", "service.version": version()})
    processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=where, timeout=5), schedule_delay_millis=1000)
    atexit.register(processor.shutdown)
    return Tracer(_exporter(processor, resource), processor.shutdown)


def _exporter(processor: Any, resource: Any) -> Export:
    """Hands finished spans to OpenTelemetry's queue; a full queue drops them, and nobody waits."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    kinds = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}

    def context(trace: str, span: str, *, remote: bool) -> SpanContext:
        return SpanContext(int(trace, 16), int(span, 16), remote, TraceFlags(TraceFlags.SAMPLED))

    def export(span: Span) -> None:
        parent = context(span.trace, span.parent, remote=True) if span.parent else None
        processor.on_end(
            ReadableSpan(
                span.name, context(span.trace, span.span, remote=False), parent, resource,
                attributes={f"ringback.{name}": value for name, value in span.attributes.items()},
                kind=kinds[span.kind], status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
                start_time=int(span.begun * 1e9), end_time=int(span.ended * 1e9),
            )
        )  # fmt: skip

    return export
