"""The floor under the web: a Flask endpoint that reads a JSON body, answers 202 and does nothing else."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request


def create_app() -> Flask:
    """The application, for the same gunicorn that serves ringback."""
    app = Flask(__name__)

    @app.post("/v1/orders")
    def create() -> tuple[Response, int]:
        body = request.get_json()
        return jsonify(id="ord_bench", status="queued", server=body["server"], type=body["type"]), 202

    return app
