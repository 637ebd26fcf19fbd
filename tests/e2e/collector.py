"""A collector of spans: an HTTP server in this process that reads OTLP, as the workers and the web send it."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = {1: "internal", 2: "server", 3: "client"}


class Collector:
    """Listens on 127.0.0.1 until it is stopped; `spans` are all that came, as plain values."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.spans += _read(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def trace(self, trace: str) -> list[dict[str, Any]]:
        """The spans of a trace in the order in which they began."""
        return sorted((span for span in self.spans if span["trace"] == trace), key=lambda span: span["begun"])

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def _read(body: bytes) -> list[dict[str, Any]]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        {
            "service": next(a.value.string_value for a in told.resource.attributes if a.key == "service.name"),
            "name": span.name,
            "kind": KINDS[span.kind],
            "trace": span.trace_id.hex(),
            "span": span.span_id.hex(),
            "parent": span.parent_span_id.hex(),
            "begun": span.start_time_unix_nano / 1e9,
            "ended": span.end_time_unix_nano / 1e9,
            "attributes": {a.key: a.value.string_value or a.value.int_value for a in span.attributes},
        }
        for told in request.resource_spans
        for scope in told.scope_spans
        for span in scope.spans
    ]
