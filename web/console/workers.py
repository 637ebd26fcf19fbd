"""Workers: who is there, since when silent, what each has under way; and what the doctor finds."""

from __future__ import annotations

import time

from web.console.page import render
from web.parts import parts
from worker import doctor
from worker.schedule import LIFE, Lane


def show() -> str:
    """Every worker, the lanes, and the doctor's findings."""
    store = parts().store
    findings = [
        *doctor.check_settings(parts().settings), *doctor.check_persistence(store),
        doctor.check_clocks(store.now(), time.time()), doctor.check_workers(store), *doctor.check_lanes(store),
        *doctor.check_pauses(store), *doctor.check_alerts(store),
    ]  # fmt: skip
    return render(
        "workers.html", title="Workers", workers=store.queries.workers(), findings=findings, lanes=store.depths(),
        lane_names=list(Lane), life=LIFE, tick=store.last_tick(), info=store.info(), store_now=store.now(),
    )  # fmt: skip
