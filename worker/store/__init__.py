"""Redis, and nobody else knows it: keys and records (`keys`, `codec`, `vault`), the scripts (`lua/`), and two faces.

`AsyncStore` is for the workers' event loop, `Store` for the web and the command line, as httpx has AsyncClient and
Client.
"""

from worker.store.asynchronous import AsyncStore, Claim, ServerClock, Tick, Trigger
from worker.store.blocking import Created, Idempotency, Spot, Store
from worker.store.codec import Written
from worker.store.connection import broker_options, connect, connect_async
from worker.store.vault import Vault, VaultLocked

__all__ = [
    "AsyncStore",
    "Claim",
    "Created",
    "Idempotency",
    "ServerClock",
    "Spot",
    "Store",
    "Tick",
    "Trigger",
    "Vault",
    "VaultLocked",
    "Written",
    "broker_options",
    "connect",
    "connect_async",
]
