"""Redis, and nobody else knows it: keys and records (`keys`, `codec`, `vault`), the scripts (`lua/`), and two faces.

`AsyncStore` is for the workers' event loop, `Store` for the web and the command line, as httpx has AsyncClient and
Client.
"""

from worker.store.asynchronous import AsyncStore, Claim, ServerClock, Tick, Trigger
from worker.store.blocking import Created, Idempotency, Record, Spot, Store
from worker.store.codec import FORMAT, RecordTooNew, Written
from worker.store.connection import broker_options, connect, connect_async
from worker.store.jobs import Job, JobState
from worker.store.keys import OPEN_ORDERS, OPEN_RENTALS
from worker.store.vault import Damaged, Place, Unreadable, Unsealed, Vault, VaultLocked

__all__ = [
    "FORMAT",
    "OPEN_ORDERS",
    "OPEN_RENTALS",
    "AsyncStore",
    "Claim",
    "Created",
    "Damaged",
    "Idempotency",
    "Job",
    "JobState",
    "Place",
    "Record",
    "RecordTooNew",
    "ServerClock",
    "Spot",
    "Store",
    "Tick",
    "Trigger",
    "Unreadable",
    "Unsealed",
    "Vault",
    "VaultLocked",
    "Written",
    "broker_options",
    "connect",
    "connect_async",
]
