"""The provider: the balance over a day, why buying is paused and the switch for it, the limiter, the catalogue."""

from __future__ import annotations

import json
from typing import Any

from flask import redirect, request
from werkzeug.wrappers import Response

from web.console import access, charts
from web.console.access import Turned
from web.console.overview import by_label
from web.console.page import render
from web.parts import parts
from worker.operator import Act
from worker.pause import Pause
from worker.reading import BALANCE, Reading

DAY = 86_400.0
ALWAYS_READ = ("servers:1", "servers:2")
"""Listings that can be requested even before the workers have read any."""


def show() -> str:
    """What is known of the provider."""
    store, now = parts().store, parts().clock()
    minute = int(now // 60)
    figures = store.figures.read(now - DAY, now)
    pauses = store.pauses()
    purchases = {reply: sum(found.values()) for reply, found in by_label(figures, "purchases", "reply").items()}
    return render(
        "provider.html", title="Provider", balance=store.reading(BALANCE), pauses=pauses,
        items=store.item_pauses(),
        limiter=store.queries.limiter(),
        advice={reason.value: reason.advice for reason in Pause}, switched_off=Pause.SWITCHED_OFF in pauses,
        catalogue=[(reading, _listed(reading)) for reading in map(store.reading, _listings())],
        chart=charts.line(figures.get("balance", {}), minute - 24 * 60, minute), purchases=purchases,
        throttled=sum(figures.get("throttled", {}).values()), floor=parts().settings.min_balance,
    )  # fmt: skip


def _listings() -> list[str]:
    """The listings that workers read regularly; those of services and rentals are read on request."""
    asked = {name.removesuffix(":asked") for name in parts().store.account() if name.endswith(":asked")}
    return sorted({*ALWAYS_READ, *asked} - {BALANCE})


def _listed(reading: Reading) -> list[dict[str, Any]]:
    try:
        known = json.loads(reading.value or "[]")
    except ValueError:
        return []
    return [one for one in known if isinstance(one, dict)] if isinstance(known, list) else []


def switch_buying() -> Response:
    """Switch buying off for everybody, or lift that; everything else goes on."""
    switch, why = request.form.get("switch"), access.reason()
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
    """Have a worker read the balance and the catalogue again, with free calls."""
    access.audit(Act.REFRESH, "balance, catalogue")
    for what in (BALANCE, *_listings()):
        parts().store.request_refresh(what)
    return redirect("/console/provider?done=asked", 303)
