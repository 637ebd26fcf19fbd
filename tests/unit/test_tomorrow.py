"""Records of tomorrow: what this version does not know is kept and written back, and never stops it."""

from __future__ import annotations

import json
from typing import Any

import fakeredis
import pytest
from cryptography.fernet import Fernet

from tests.builders import NOW, caller, event, order_in
from tests.fakes import World
from worker.caller import Caps, key_hash
from worker.callers import Callers
from worker.errors import StoreTooNew
from worker.event import Attempt, EventStatus
from worker.operator import Act, Operator, Role
from worker.order import Ending, ErrorCode, Order, Settlement, Status
from worker.schedule import Lane
from worker.store import FORMAT, Place, RecordTooNew, Store, Vault, VaultLocked, codec

pytestmark = pytest.mark.anyio
VAULT = Vault()


def add(sealed: bytes, place: Place, **fields: Any) -> bytes:
    """A record with more in it than this version knows; None takes a field away."""
    record = json.loads(VAULT.open(sealed, place)) | fields
    return VAULT.seal(json.dumps({k: v for k, v in record.items() if v is not None}).encode(), place)


def read(sealed: bytes, place: Place) -> dict[str, Any]:
    """What a record holds."""
    held: dict[str, Any] = json.loads(VAULT.open(sealed, place))
    return held


def order_from(sealed: bytes, status: bytes = b"waiting") -> Order:
    """An order through its hash and its record."""
    return codec.unpack("ord_1", {b"v": b"3", b"s": status, b"c": b"cal_1"}, sealed, VAULT)


ORDER = Place("order", "ord_1", "cal_1")
EVENT = Place("event", "evt_1", "cal_1")
CALLER = Place("caller", "cal_1", "cal_1")
OPERATOR = Place("operator", "op_1", "")


def test_every_record_says_its_format():
    """Orders, events with their attempts, and callers."""
    for sealed, place in (
        (codec.pack(order_in(Status.WAITING), VAULT), ORDER),
        (codec.pack_event(event(), VAULT), EVENT),
        (codec.pack_caller(caller(), VAULT), CALLER),
    ):
        assert read(sealed, place)["format"] == FORMAT


def test_an_orders_unknown_fields_are_kept_and_written_back():
    """Through a change that this version makes."""
    sealed = add(codec.pack(order_in(Status.WAITING), VAULT), ORDER, discount="12.50", basket={"size": 2})
    after = order_from(sealed).receive("847293", NOW)
    written = read(codec.pack(after, VAULT), ORDER)
    assert (written["discount"], written["basket"], written["otp"]) == ("12.50", {"size": 2}, "847293")


def test_unknown_words_are_kept_and_equal_to_none_that_is_known():
    """In every field that holds a word."""
    words = {"error": "no_stock", "settlement": "escrowed", "ending": "renewal"}
    found = order_from(add(codec.pack(order_in(Status.WAITING), VAULT), ORDER, **words), status=b"active")
    assert (found.status, found.status.value, found.understood) == ("active", "active", False)
    assert isinstance(found.status, Status)
    assert (found.error in set(ErrorCode), found.settlement in set(Settlement)) == (False, False)
    assert found.ending not in set(Ending)
    assert found.public()["error"]["code"] == "no_stock"
    assert {name: read(codec.pack(found, VAULT), ORDER)[name] for name in words} == words


def test_an_events_and_its_attempts_unknown_fields_are_kept():
    """Through another attempt."""
    first = event().tried(Attempt(NOW, 500, None, 0.1), EventStatus.PENDING, due_at=NOW + 1)
    sealed = codec.pack_event(first, VAULT)
    attempts = [one | {"address": "93.184.215.14"} for one in read(sealed, EVENT)["attempts"]]
    stored = {b"v": b"2", b"s": b"recorded", b"c": b"cal_1", b"o": b"ord_1", b"t": b"order.renewed", b"q": b"1"}
    found = codec.unpack_event("evt_1", stored, add(sealed, EVENT, attempts=attempts, endpoint="abc"), VAULT)
    assert (found.status, found.type) == ("recorded", "order.renewed")
    after = found.tried(Attempt(NOW, 200, None, 0.1), EventStatus.DELIVERED)
    written = read(codec.pack_event(after, VAULT), EVENT)
    assert written["endpoint"] == "abc"
    assert [one.get("address") for one in written["attempts"]] == ["93.184.215.14", None]


def test_a_callers_unknown_fields_are_kept():
    """Its own, those of its caps and those of its secrets."""
    sealed = codec.pack_caller(caller(caps=Caps(max_in_flight=3)), VAULT)
    held = read(sealed, CALLER)
    sealed = add(
        sealed, CALLER, role="admin", caps=held["caps"] | {"max_spend_per_year": "500"},
        secrets=[one | {"algorithm": "ed25519"} for one in held["secrets"]],
    )  # fmt: skip
    found = codec.unpack_caller("cal_1", 1, sealed, VAULT)
    written = read(codec.pack_caller(found.with_secret("whsec_new", NOW).with_key("hash"), VAULT), CALLER)
    assert (written["role"], written["caps"]["max_spend_per_year"], written["caps"]["max_in_flight"]) == (
        "admin", "500", 3,
    )  # fmt: skip
    assert [one.get("algorithm") for one in written["secrets"]] == [None, "ed25519"]


def test_an_operators_unknown_fields_are_kept_and_an_unknown_role_may_nothing():
    """Both are written back as they were."""
    asma = Operator(id="op_1", name="Asma", role=Role.ADMIN, created_at=NOW)
    sealed = add(codec.pack_operator(asma, VAULT), OPERATOR, role="auditor", team="night")
    found = codec.unpack_operator("op_1", 1, sealed, VAULT)
    assert not any(found.may(act) for act in Act)
    written = read(codec.pack_operator(found.revoked(NOW), VAULT), OPERATOR)
    assert (written["role"], written["team"], written["revoked_at"]) == ("auditor", "night", NOW)


def test_a_record_without_a_format_is_read():
    """As it was before there were formats."""
    sealed = add(codec.pack(order_in(Status.WAITING), VAULT), ORDER, format=None)
    assert order_from(sealed).purchase == order_in(Status.WAITING).purchase


def test_a_record_of_a_newer_format_is_left_alone():
    """Its meaning may have changed; the error says which is known."""
    sealed = add(codec.pack(order_in(Status.WAITING), VAULT), ORDER, format=FORMAT + 1)
    with pytest.raises(RecordTooNew, match=f"format {FORMAT + 1}"):
        order_from(sealed)


def test_a_store_of_a_newer_format_is_refused_in_one_sentence():
    """And the note of the newest format stands."""
    raw = fakeredis.FakeRedis()
    store = Store(raw, VAULT, retention=60, otp_ttl=60)
    store.adopt_format()
    store.adopt_format()
    assert int(raw.get("rb:format")) == FORMAT  # type: ignore[arg-type]
    raw.set("rb:format", FORMAT + 1)
    with pytest.raises(StoreTooNew, match="newer version") as refused:
        store.adopt_format()
    assert "\n" not in str(refused.value)
    assert int(raw.get("rb:format")) == FORMAT + 1  # type: ignore[arg-type]


@pytest.mark.parametrize("lane", [Lane.BUY, Lane.SETTLE])
async def test_an_order_in_a_state_of_tomorrow_is_left_to_newer_workers(world: World, lane: Lane):
    """Its wake-up stays, and nothing is bought, cancelled or written for it."""
    world.accept(order_in(Status.QUEUED))
    world.raw.hset("rb:order:ord_1", "s", "reserved")
    world.raw.delete("rb:turns")
    world.raw.zadd(f"rb:due:{lane}", {"ord_1": int(world.clock() * 1000)})
    await world.work(lane)
    assert world.lanes() == [lane]
    assert (world.provider.calls, world.see().status) == ([], "reserved")


async def test_a_record_that_cannot_be_read_hides_no_other(world: World):
    """A list leaves it out and names it."""
    for name in ("ord_1", "ord_2", "ord_3"):
        world.accept(order_in(Status.QUEUED, id=name))
    world.raw.set("rb:order:ord_2:record", b"\x02garbage")
    skipped: list[str] = []
    found, _ = world.blocking.orders("cal_1", status=None, limit=10, before=None, skipped=skipped)
    assert ({one.id for one in found}, skipped) == ({"ord_1", "ord_3"}, ["ord_2"])


async def test_a_planted_api_key_lets_nobody_in(world: World):
    """The hash that counts lies sealed inside the caller's record."""
    callers = Callers(world.blocking)
    made, good, _ = callers.create("Shop", NOW)
    world.raw.set(f"rb:apikey:{key_hash('rbk_planted')}", made.id)
    assert callers.by_key("rbk_planted") is None
    assert callers.by_key(good) == made


def moved(world: World, what: str, here: str, there: str) -> None:
    """Somebody with access to the store copies one record over another."""
    world.raw.set(f"rb:{what}:{there}:record", world.raw.get(f"rb:{what}:{here}:record"))


async def test_records_cannot_be_swapped_between_orders(clock: Any):
    """With keys set, an order whose record was taken from another is unreadable, not somebody else's."""
    world = World(clock, keys=(Fernet.generate_key().decode(),))
    for name, owner in (("ord_1", "cal_1"), ("ord_2", "cal_2")):
        world.accept(order_in(Status.QUEUED, id=name, caller=owner))
    moved(world, "order", "ord_1", "ord_2")
    with pytest.raises(VaultLocked):
        world.blocking.load("ord_2")
    assert world.blocking.load("ord_1") is not None
