"""The life of an order. A map for first-time readers.

First, what an order is and what happens to it:

1. `order.py`      its states, and every named transition from one to the next; pure
2. `lifecycle/`    the steps as they follow one another: buying, polling, settling; `steps.py` has what they share
   A rental (`rental.py`) has a life of its own, `lifecycle/renting.py`; `lifecycle/purchasing.py` is common to both

Then, what makes it happen at the right time:

3. `engine/`       the lanes: claim what is due, run a step for each entry; the clock, the heartbeat, the chores
4. `store/`        the only place that knows Redis; `store/keys.py` is the dictionary, `store/lua/` the scripts
5. `tasks.py`      the Celery edge: a hint comes in, the engine claims; `queue.py` has the app and the queues

Then, what it talks to:

6. `provider/`     `products.toml` says how to call it, `protocol.py` reads its replies, `client.py` makes the calls
7. `gate.py`       pauses of buying, and how fast the provider may be called; `reachability.py`: whether it responds
8. `outbox.py`     one attempt of one webhook, and what follows; `webhooks/` builds, signs, guards and posts it

The pure values: `event.py`, `caller.py`, `operator.py`, `schedule.py`, `pause.py`, `alerts.py`, `reading.py`,
`journal.py`, and `reconciliation.py` (the journal of money against the balances). Around them: `announce.py` (the
webhooks that a change causes), `tally.py` (what a change adds to the metrics), `tracing.py` and `otlp.py` (one trace
per order, and where it goes), `account.py` (balance and servers), `housekeeping.py` (erase, repair, trim),
`redelivery.py` (in bulk), `callers.py`, `operators.py`, `settings.py`, `errors.py`, `logs.py`, `metrics.py`,
`retry_after.py`, `compact_json.py`, `ttl_cache.py`, `version.py`, and `services.py`, where everything is put
together. The programs: `cli/` with `doctor.py`, and `local/`, everything on one machine: `ringback up`, its store, the
demo.

Imports go down, never up; `pyproject.toml` has the layers, and docs/architecture.md the picture.
"""
