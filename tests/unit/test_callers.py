"""Callers: their keys, their secrets, who may come in."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from tests.builders import NOW, SECRET, caller
from tests.fakes import World
from worker.caller import MOST_VERIFIED, Caps, Secret, key_hash
from worker.callers import Callers
from worker.errors import NotFound
from worker.store import Vault, Written, codec

pytestmark = pytest.mark.anyio


@pytest.fixture
async def callers(world: World) -> Callers:
    return Callers(world.blocking)


def test_caller_comes_back_as_it_was():
    """Through its record, every field."""
    kept = caller(
        name="Ärzte",
        secrets=(Secret("whsec_new"), Secret(SECRET, NOW + 60)),
        caps=Caps(3, 60, 1000),
        verify_callback=True,
        revoked_at=NOW + 1.5,
        verified=("0a", "0b"),
    )
    vault = Vault([Fernet.generate_key().decode()])
    assert codec.unpack_caller(kept.id, kept.version, codec.pack_caller(kept, vault), vault) == kept


async def test_new_caller_gets_in_with_its_key(callers: Callers):
    """The key and the secret are shown once, and the key finds its caller."""
    made, api_key, secret = callers.create("Shop", NOW, callback_url="https://shop.example/hook")
    assert api_key.startswith("rbk_")
    assert secret.startswith("whsec_")
    assert callers.by_key(api_key) == made == callers.get(made.id)


async def test_only_hashes_and_sealed_secrets_are_stored(world: World):
    """What lies in the store lets nobody in."""
    world.vault = Vault([Fernet.generate_key().decode()])
    world.blocking._vault = world.vault
    made, api_key, secret = Callers(world.blocking).create("Shop", NOW, callback_url="https://s.example/?t=1")
    stored = world.raw.get(f"rb:caller:{made.id}:record")
    stored += b"".join(k + v for k, v in world.raw.hgetall(f"rb:caller:{made.id}").items())
    stored += b"".join(world.raw.keys())
    for hidden in (api_key, secret.removeprefix("whsec_"), "s.example"):
        assert hidden.encode() not in stored


@pytest.mark.parametrize("api_key", ["", "rbk_", "rbk_unknown", "Ünicode"])
async def test_unknown_key_gets_nobody_in(callers: Callers, api_key: str):
    """No caller, no error."""
    callers.create("Shop", NOW)
    assert callers.by_key(api_key) is None


async def test_repr_shows_no_secret():
    """A caller in a log line gives nothing away."""
    assert SECRET not in repr(caller())
    assert key_hash("rbk_of-the-shop") not in repr(caller())


async def test_old_key_stops_at_once_when_it_is_rotated(callers: Callers):
    """A leaked key is worthless from then on."""
    made, old, _ = callers.create("Shop", NOW)
    new = callers.rotate_key(made.id)
    assert callers.by_key(old) is None
    assert callers.by_key(new) == callers.get(made.id)


async def test_old_secret_signs_beside_the_new_one_for_the_overlap(callers: Callers):
    """Receivers have time to change over; the current one comes first."""
    made, _, old = callers.create("Shop", NOW)
    new = callers.rotate_secret(made.id, NOW + 10, overlap=60)
    kept = callers.get(made.id)
    assert kept.live_secrets(NOW + 69) == [new, old]
    assert kept.live_secrets(NOW + 70) == [new]


async def test_rotating_again_prolongs_no_old_secret(callers: Callers):
    """A secret's end is set when it is replaced."""
    made, _, first = callers.create("Shop", NOW)
    second = callers.rotate_secret(made.id, NOW, overlap=60)
    third = callers.rotate_secret(made.id, NOW + 30, overlap=600)
    assert callers.get(made.id).live_secrets(NOW + 59) == [third, second, first]
    assert callers.get(made.id).live_secrets(NOW + 61) == [third, second]


async def test_rotation_without_overlap_drops_the_old_secret(callers: Callers):
    """For a secret that has leaked."""
    made, _, _ = callers.create("Shop", NOW)
    new = callers.rotate_secret(made.id, NOW, overlap=0)
    assert callers.get(made.id).live_secrets(NOW) == [new]


async def test_revoked_caller_is_locked_out_and_still_known(callers: Callers):
    """Its orders run to their end, and their webhooks are signed."""
    made, api_key, secret = callers.create("Shop", NOW)
    callers.revoke(made.id, NOW + 5)
    assert callers.by_key(api_key) is None
    assert callers.get(made.id).revoked_at == NOW + 5
    assert callers.get(made.id).live_secrets(NOW + 6) == [secret]
    callers.revoke(made.id, NOW + 9)
    assert callers.get(made.id).revoked_at == NOW + 5


async def test_caps_can_be_set_and_lifted(callers: Callers):
    """Unset is no cap."""
    made, _, _ = callers.create("Shop", NOW, caps=Caps(max_in_flight=1))
    assert callers.limit(made.id, Caps(orders_per_day=5)).caps == callers.get(made.id).caps
    assert callers.limit(made.id, Caps()).caps == Caps(None, None, None)


async def test_callers_are_listed_oldest_first(callers: Callers):
    """By creation, not by their random ids."""
    names = [f"caller {n}" for n in range(5)]
    for n, name in enumerate(names):
        callers.create(name, NOW + n)
    assert [one.name for one in callers.all()] == names


async def test_unknown_id_is_not_found(callers: Callers):
    """Said as such."""
    with pytest.raises(NotFound, match="cal_nobody"):
        callers.get("cal_nobody")


async def test_verification_that_comes_amid_a_change_is_kept(world: World, callers: Callers, monkeypatch):
    """The change is applied to what is there now, in either order of the two writes."""
    made, _, _ = callers.create("Shop", NOW, verify_callback=True)
    read = world.blocking.caller
    overtaken: list[str] = []

    def overtaken_once(caller_id: str):
        found = read(caller_id)
        if found is not None and not overtaken:
            overtaken.append(caller_id)
            assert world.blocking.save_caller(found, found.with_verified("0a")) is Written.SAVED
        return found

    monkeypatch.setattr(world.blocking, "caller", overtaken_once)
    callers.limit(made.id, Caps(max_in_flight=1))
    assert overtaken == [made.id]
    kept = read(made.id)
    assert kept is not None
    assert (kept.verified, kept.caps.max_in_flight, kept.version) == (("0a",), 1, 3)


async def test_change_that_comes_amid_a_verification_is_kept(world: World, callers: Callers, monkeypatch):
    """A worker that marks a callback as verified takes nothing back."""
    made, _, _ = callers.create("Shop", NOW, verify_callback=True)
    read = world.store.caller
    overtaken: list[str] = []

    async def overtaken_once(caller_id: str):
        found = await read(caller_id)
        if not overtaken:
            overtaken.append(caller_id)
            callers.revoke(caller_id, NOW + 1)
        return found

    monkeypatch.setattr(world.store, "caller", overtaken_once)
    await world.store.mark_verified(made.id, "0a")
    kept = callers.get(made.id)
    assert (kept.revoked_at, kept.verified, kept.version) == (NOW + 1, ("0a",), 3)


def test_proven_endpoints_are_bounded():
    """The one that was proven first goes first, and proving one again makes it the latest."""
    kept = caller(verify_callback=True)
    for endpoint in ["first", *map(str, range(MOST_VERIFIED - 1)), "first", "last"]:
        kept = kept.with_verified(endpoint)
    assert (len(kept.verified), kept.may_call("first"), kept.may_call("0")) == (MOST_VERIFIED, True, False)
