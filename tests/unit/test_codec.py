"""Orders and events as the store keeps them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOW, NUMBER, event, lost_order, order, order_in, refunded_order
from worker.event import Attempt, Event, EventStatus
from worker.order import Order, Status
from worker.store import Vault, codec

SEALED = Vault([Fernet.generate_key().decode()])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def there_and_back(kept: Order, vault: Vault) -> Order:
    """An order through its hash and its sealed record, as Redis would give them back."""
    stored = {b"v": str(kept.version).encode(), b"s": kept.status.encode(), b"c": kept.caller.encode()}
    return codec.unpack(kept.id, stored, codec.pack(kept, vault), vault)


def event_there_and_back(kept: Event, vault: Vault) -> Event:
    """An event through its hash and its sealed record, as Redis would give them back."""
    stored = {
        b"v": str(kept.version).encode(),
        b"s": kept.status.encode(),
        b"c": kept.caller.encode(),
        b"o": (kept.order or "").encode(),
        b"t": kept.type.encode(),
        b"q": str(kept.sequence).encode(),
    }
    return codec.unpack_event(kept.id, stored, codec.pack_event(kept, vault), vault)


@pytest.mark.parametrize("vault", [Vault(), SEALED], ids=["clear", "sealed"])
@pytest.mark.parametrize(
    "kept",
    [*map(order_in, Status), lost_order(), refunded_order()],
    ids=lambda kept: f"{kept.status}-{kept.settlement}",
)
def test_order_comes_back_as_it_was(kept: Order, vault: Vault):
    """Every state, field by field."""
    assert there_and_back(kept, vault) == kept


@given(st.dictionaries(st.text(), json_values, max_size=4), st.text() | st.none(), st.text(min_size=1))
def test_callers_text_comes_back_to_the_letter(metadata: dict, purpose: str | None, otp: str):
    """Metadata, label and code may hold anything that JSON can say."""
    kept = replace(order_in(Status.RECEIVED, metadata=metadata, purpose=purpose), otp=otp)
    assert there_and_back(kept, Vault()) == kept


def test_half_a_surrogate_pair_comes_back_too():
    """JSON can spell it, so a caller can send it."""
    kept = order(metadata={"odd": "\ud800"})
    assert there_and_back(kept, Vault()) == kept


def test_sealed_order_hides_code_number_address_and_metadata():
    """Only what the scripts need lies open, and none of this is that."""
    kept = replace(order_in(Status.RECEIVED, metadata={"user": "alice"}), otp="847293")
    for hidden in ("847293", NUMBER, "caller.example", "alice"):
        assert hidden.encode() not in codec.pack(kept, SEALED)


def test_record_of_a_waiting_order_is_small():
    """Fields at their defaults take no room."""
    assert len(codec.pack(order_in(Status.WAITING), SEALED)) < 512


@pytest.mark.parametrize("vault", [Vault(), SEALED], ids=["clear", "sealed"])
def test_event_comes_back_as_it_was(vault: Vault):
    """With its bytes and all its attempts."""
    attempt = Attempt(NOW, None, "timeout", 9.99, "…")
    kept = replace(event(body='{"otp":"é😀"}'.encode()), sequence=7).tried(attempt, EventStatus.PENDING, due_at=NOW + 1)
    assert event_there_and_back(kept, vault) == kept
    ping = event(order=None, type="webhook.ping")
    assert event_there_and_back(ping, vault) == ping


def test_milliseconds_are_rounded():
    """A score is exact to the millisecond, not one below it."""
    assert codec.ms(NOW + 0.001) == 1795341600001
    assert codec.ms(1795341600.999) == 1795341600999
