"""Redis, and nobody else knows it: keys and records (`keys`, `codec`, `vault`), the scripts (`lua/`), and two faces.

`EngineStore` is for the workers' event loop, `DoorStore` for the door and the command line.
"""

from worker.store.codec import Wake
from worker.store.connection import broker_options, connect, connect_async
from worker.store.door import Caps, Created, DoorStore, Idempotency
from worker.store.engine import Claim, EngineStore, ServerClock, Tick, Written
from worker.store.vault import Vault, VaultLocked

__all__ = [
    "Caps",
    "Claim",
    "Created",
    "DoorStore",
    "EngineStore",
    "Idempotency",
    "ServerClock",
    "Tick",
    "Vault",
    "VaultLocked",
    "Wake",
    "Written",
    "broker_options",
    "connect",
    "connect_async",
]
