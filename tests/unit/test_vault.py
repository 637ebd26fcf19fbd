"""Sealing what must not lie readable in the store."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from worker.store import Vault, VaultLocked

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


@given(st.binary())
def test_what_is_sealed_opens_again(plain: bytes):
    """With keys and without."""
    for vault in (Vault(), Vault([NEW]), Vault([NEW, OLD])):
        assert vault.open(vault.seal(plain)) == plain


def test_sealed_bytes_hide_what_they_hold():
    """Neither the code nor the same bytes twice."""
    vault = Vault([NEW])
    assert b"847293" not in vault.seal(b"847293")
    assert vault.seal(b"847293") != vault.seal(b"847293")


def test_first_key_seals_and_every_key_opens():
    """Keys are rotated by putting the new one first."""
    sealed = Vault([OLD]).seal(b"code")
    assert Vault([NEW, OLD]).open(sealed) == b"code"
    assert Vault([NEW]).open(Vault([NEW, OLD]).seal(b"code")) == b"code"


def test_clear_records_stay_readable_once_keys_are_set():
    """Encryption can be switched on later."""
    assert Vault([NEW]).open(Vault().seal(b"code")) == b"code"


@pytest.mark.parametrize("vault", [Vault(), Vault([NEW])])
def test_missing_key_is_said_without_showing_anything(vault: Vault):
    """The message names the setting, and no cause hangs on it."""
    sealed = Vault([OLD]).seal(b"847293")
    with pytest.raises(VaultLocked, match="RINGBACK_ENCRYPTION_KEYS") as caught:
        vault.open(sealed)
    assert caught.value.__cause__ is None


def test_tampering_is_noticed():
    """A changed byte opens with no key."""
    sealed = bytearray(Vault([NEW]).seal(b"847293"))
    sealed[-1] ^= 1
    with pytest.raises(VaultLocked):
        Vault([NEW]).open(bytes(sealed))
