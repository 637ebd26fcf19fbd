"""Sealing what must not lie readable in the store, and binding it to its place there."""

from __future__ import annotations

import os
import zlib
from base64 import urlsafe_b64decode
from contextlib import suppress

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from worker.store import Damaged, Place, Unreadable, Unsealed, Vault, VaultLocked, vault

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
HERE = Place("order", "ord_1", "cal_1")
ELSEWHERE = [Place("order", "ord_2", "cal_1"), Place("order", "ord_1", "cal_2"), Place("event", "ord_1", "cal_1")]


def sealed_before_bindings(plain: bytes, key: str) -> bytes:
    """A record as version 0.1.0 before bindings sealed it: first byte 1, no key id, no place."""
    deflate = zlib.compressobj(level=6, wbits=12, memLevel=4, zdict=vault._COMMON)
    packed, nonce = deflate.compress(plain) + deflate.flush(), os.urandom(12)
    return b"\x01" + nonce + AESGCM(urlsafe_b64decode(key)).encrypt(nonce, packed, b"\x01")


@given(st.binary(max_size=4096))
def test_what_is_sealed_opens_again(plain: bytes):
    """With keys and without."""
    for one in (Vault(), Vault([NEW]), Vault([NEW, OLD])):
        assert one.open(one.seal(plain, HERE), HERE) == plain


def test_sealed_bytes_hide_what_they_hold():
    """Neither the code nor the same bytes twice."""
    one = Vault([NEW])
    assert b"847293" not in one.seal(b"847293", HERE)
    assert one.seal(b"847293", HERE) != one.seal(b"847293", HERE)


def test_first_key_seals_and_every_key_opens():
    """Keys are rotated by putting the new one first."""
    sealed = Vault([OLD]).seal(b"code", HERE)
    assert Vault([NEW, OLD]).open(sealed, HERE) == b"code"
    assert Vault([NEW]).open(Vault([NEW, OLD]).seal(b"code", HERE), HERE) == b"code"


@pytest.mark.parametrize("place", ELSEWHERE, ids=["another id", "another caller", "another kind"])
def test_a_record_opens_at_no_other_place(place: Place):
    """Whoever can write to the store cannot move one order's code to another order or caller."""
    sealed = Vault([NEW]).seal(b"847293", HERE)
    with pytest.raises(VaultLocked, match="changed or moved"):
        Vault([NEW]).open(sealed, place)


def test_an_unsealed_record_is_refused_once_keys_are_set():
    """Else whoever can write to the store could plant orders, callers and secrets."""
    planted = Vault().seal(b"code", HERE)
    with pytest.raises(Unsealed, match="RINGBACK_SEALING_MIGRATION"):
        Vault([NEW]).open(planted, HERE)
    assert Vault().open(planted, HERE) == b"code"


def test_a_record_from_before_bindings_is_refused_too():
    """It could be moved."""
    with pytest.raises(Unsealed, match="not bound"):
        Vault([NEW]).open(sealed_before_bindings(b"code", NEW), HERE)


def test_old_records_are_read_while_migrating():
    """In clear, and sealed without a place, under any key that is set."""
    migrating = Vault([NEW, OLD], migrating=True)
    for old in (Vault().seal(b"code", HERE), sealed_before_bindings(b"code", OLD)):
        assert migrating.open(old, HERE) == b"code"
        assert not migrating.current(old)
    with pytest.raises(VaultLocked, match="RINGBACK_ENCRYPTION_KEYS"):
        Vault([NEW], migrating=True).open(sealed_before_bindings(b"code", OLD), HERE)


def test_a_record_says_which_key_it_needs():
    """By an id that shows nothing of the key."""
    one = Vault([NEW, OLD])
    assert one.key_of(Vault([OLD]).seal(b"", HERE)) == one.key_ids[1]
    assert one.key_of(one.seal(b"", HERE)) == one.key_ids[0]
    assert (one.key_of(Vault().seal(b"", HERE)), one.key_of(sealed_before_bindings(b"", NEW))) == ("clear", "unbound")
    assert urlsafe_b64decode(NEW).hex()[:8] != one.key_ids[0]


@pytest.mark.parametrize("one", [Vault(), Vault([NEW])])
def test_missing_key_is_said_without_showing_anything(one: Vault):
    """The message names the setting, and no cause hangs on it."""
    sealed = Vault([OLD]).seal(b"847293", HERE)
    with pytest.raises(VaultLocked, match="RINGBACK_ENCRYPTION_KEYS") as caught:
        one.open(sealed, HERE)
    assert caught.value.__cause__ is None


def test_tampering_is_noticed():
    """A changed byte opens with no key, wherever it lies."""
    sealed = Vault([NEW]).seal(b"847293", HERE)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(Unreadable):
            Vault([NEW]).open(bytes(changed), HERE)


def test_a_record_that_inflates_without_end_is_refused():
    """Two hundred kilobytes may not become two hundred megabytes."""
    bomb = Vault([NEW]).seal(bytes(vault.MOST_BYTES + 1), HERE)
    assert len(bomb) < vault.MOST_BYTES / 100
    with pytest.raises(Damaged):
        Vault([NEW]).open(bomb, HERE)
    most = bytes(vault.MOST_BYTES)
    assert Vault([NEW]).open(Vault([NEW]).seal(most, HERE), HERE) == most


@given(st.binary(max_size=200))
def test_garbage_is_unreadable_and_nothing_else(garbage: bytes):
    """Whatever lies in the store, the error is one that readers skip."""
    for one in (Vault(), Vault([NEW]), Vault([NEW], migrating=True)):
        with suppress(Unreadable):
            one.open(garbage, HERE)
