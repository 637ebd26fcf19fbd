"""The bodies that the bench sends: one order to post, and one event of a received code."""

from __future__ import annotations

import json

ORDER = json.dumps({"server": "1", "type": "1", "metadata": {"job": "bench"}})

EVENT = json.dumps(
    {
        "type": "order.otp_received",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "data": {
            "id": "ord_00000000000000000000000000",
            "status": "received",
            "server": "1",
            "type": "1",
            "number": "+923000000000",
            "otp": "000000",
            "callback_url": "http://127.0.0.1/hook",
            "metadata": {"job": "bench"},
            "purpose": None,
            "settlement": "finished",
            "error": None,
            "flags": [],
            "created_at": "2026-01-01T00:00:00.000Z",
            "bought_at": "2026-01-01T00:00:00.000Z",
            "expires_at": "2026-01-01T00:15:00.000Z",
            "received_at": "2026-01-01T00:00:09.000Z",
            "ended_at": "2026-01-01T00:00:09.000Z",
        },
    }
)
