"""The provider: the balance over a day, why buying is paused and the switch for it, the limiter, the servers."""

from __future__ import annotations

import json
from typing import Any

from flask import redirect, request
from werkzeug.wrappers import Response

from web.console import access, charts
from web.console.access import Turned
from web.console.orders import LONGEST_REASON
from web.console.overview import by_label
from web.console.page import render
from web.parts import parts
from worker.operator import Act
from worker.pause import Pause
from worker.reading import Reading

DAY = 86_400.0
READINGS = ("balance", "servers:1", "servers:2")


def show() -> str:
    """What is known of the provider."""
    store, now = parts().store, parts().clock()
    minute = int(now // 60)
    figures = store.figures.read(now - DAY, now)
    pauses = store.pauses()
    purchases = {reply: sum(found.values()) for reply, found in by_label(figures, "purchases", "reply").items()}
    return render(
        "provider.html", title="Provider", balance=store.reading("balance"), pauses=pauses,
        items=store.item_pauses(),
        limiter=store.queries.limiter(),
        advice={reason.value: reason.advice for reason in Pause}, switched_off=Pause.SWITCHED_OFF in pauses,
        servers={what.partition(":")[2]: (store.reading(what), _listed(store.reading(what))) for what in READINGS[1:]},
        chart=charts.line(figures.get("balance", {}), minute - 24 * 60, minute), purchases=purchases,
        throttled=sum(figures.get("throttled", {}).values()), floor=parts().settings.min_balance,
    )  # fmt: skip


def _listed(reading: Reading) -> list[dict[str, Any]]:
    try:
        known = json.loads(reading.value or "[]")
    except ValueError:
        return []
    return [one for one in known if isinstance(one, dict)] if isinstance(known, list) else []


def switch_buying() -> Response:
    """Switch buying off for everybody, or lift that; everything else goes on."""
    switch, why = request.form.get("switch"), request.form.get("reason", "").strip()[:LONGEST_REASON]
    if switch not in ("on", "off"):
        raise Turned(422, "choose on or off")
    access.audit(Act.SWITCH_BUYING, switch, why)
    if switch == "off":
        since, by = parts().store.now(), access.current().name
        parts().store.pause(Pause.SWITCHED_OFF, {"since": since, "by": by, **({"reason": why} if why else {})})
    else:
        parts().store.resume(Pause.SWITCHED_OFF)
    return redirect(f"/console/provider?done={switch}", 303)


def refresh() -> Response:
    """Have a worker read balance and servers anew, by free calls."""
    access.audit(Act.REFRESH, "balance, servers")
    for what in READINGS:
        parts().store.request_refresh(what)
    return redirect("/console/provider?done=asked", 303)
