"""The life of an order. A map for whoever reads this for the first time.

First, what an order is and what happens to it:

1. `order.py`      its states, and every named way from one to the next; pure
2. `lifecycle.py`  the steps in the order they happen: buy, poll, settle
3. `steps.py`      what a step returns, and how it writes: change, wake-up, webhook and journal in one go

Then, what makes it happen at the right time:

4. `engine.py`     the lanes: claim what is due, run a step for each; `clock.py` hints at what is due,
                   `heartbeat.py` notices that a worker has died
5. `store/`        the only place that knows Redis; `store/keys.py` is the dictionary, `store/lua/` the scripts
6. `tasks.py`      the Celery edge: a hint comes in, the engine claims; `queue.py` has the app and the queues

Then, what it talks to:

7. `provider/`     `replies.py` and `protocol.py` read the provider's answers, `client.py` makes the calls
8. `gate.py`       why buying is paused, and how fast the provider may be called
9. `outbox.py`     one attempt of one webhook, and what follows; `webhooks/` builds, signs, guards and posts it

Around them: `event.py`, `schedule.py` and `announce.py` (pure), `account.py` (balance and servers), `housekeeping.py`
(erase, mend, trim), `callers.py`, `settings.py`, `errors.py`, `logs.py`, `metrics.py`, and `services.py`, where
everything is put together. The programs: `cli/` with `doctor.py` and `reconciliation.py` (the journal of money
against the balances); `local/`, everything on one machine: `ringback up`, its store, the demo.

Imports go down, never up; `pyproject.toml` has the layers, and docs/architecture.md the picture.
"""
