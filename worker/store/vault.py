"""Sealing what must not lie readable in the store: codes, callback addresses, webhook secrets."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from worker.errors import RingbackError

_CLEAR, _SEALED = b"\x00", b"\x01"


class VaultLocked(RingbackError):
    """A record was sealed with a key that is not among RINGBACK_ENCRYPTION_KEYS (any more)."""


class Vault:
    """Seals with the first of its Fernet keys and opens with any; without keys records lie in clear.

    A token is kept as its raw bytes: Fernet's base64 would cost a third more memory for each waiting order.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None

    def seal(self, plain: bytes) -> bytes:
        """The bytes as they may be stored."""
        if self._fernet is None:
            return _CLEAR + plain
        return _SEALED + urlsafe_b64decode(self._fernet.encrypt(plain))

    def open(self, stored: bytes) -> bytes:
        """The bytes as they were sealed. Raises VaultLocked when no key fits."""
        if stored[:1] == _CLEAR:
            return stored[1:]
        try:
            return self._fernet.decrypt(urlsafe_b64encode(stored[1:])) if self._fernet else self._locked()
        except InvalidToken:
            raise VaultLocked("a stored record opens with none of RINGBACK_ENCRYPTION_KEYS") from None

    def _locked(self) -> bytes:
        raise VaultLocked("the store holds sealed records, and RINGBACK_ENCRYPTION_KEYS is unset")
