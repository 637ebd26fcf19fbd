"""A version of tomorrow: with this folder on PYTHONPATH a process writes fields and a word that today does not know.

Python imports a module of this name at its start. Orders get a `revision`, an attempt says `via` what it was made, and
orders without a number end with an error of another name.
"""

from __future__ import annotations

from dataclasses import replace

from worker.event import Event
from worker.order import Acquisition, ErrorCode
from worker.store import Vault, codec

_pack, _pack_event = codec.pack, codec.pack_event


def pack(order: Acquisition, vault: Vault) -> bytes:
    """An order with a field and a word more."""
    error = codec.word(ErrorCode, "no_stock") if order.error is ErrorCode.NO_NUMBERS else order.error
    return _pack(replace(order, error=error, beyond={**order.beyond, "revision": order.version}), vault)


def pack_event(event: Event, vault: Vault) -> bytes:
    """An event whose newest attempt has a field more."""
    *before, last = event.attempts or (None,)
    if last is not None:
        event = replace(event, attempts=(*before, replace(last, beyond={"via": "tomorrow"})))
    return _pack_event(event, vault)


codec.pack, codec.pack_event = pack, pack_event
