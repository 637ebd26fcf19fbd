"""Sealing what must not lie readable in the store: codes, callback addresses, webhook secrets."""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from worker.errors import RingbackError

_CLEAR, _SEALED = b"\x00", b"\x01"
_COMMON = (
    b'","received_at":1790000000.000000,"ended_at":1790000000.000000,"otp":"finishes":1,"cancels":1,"cancel_sent_at":'
    b'"refunded_at":"flags":["odd_http_status"],"error":"purchase_unknown","error_message":"ending":"timeout","caller",'
    b'"tries":0,"due_at":null,"attempts":[{"at":1790000000.000000,"status":204,"error":null,"duration":0.003,"excerpt":""}'
    b'{"url":"https://www.example.com/webhooks","body":"{\\"type\\":\\"order.otp_received\\",\\"timestamp\\":\\"2026-11-2'
    b'\\"order.number_assigned\\"\\"data\\":{\\"id\\":\\"ord_\\",\\"status\\":\\"waiting\\",\\"server\\":\\"1\\",\\"type\\":\\"1\\",'
    b'\\"number\\":\\"+923001234567\\",\\"otp\\":null,\\"callback_url\\":\\"https://\\",\\"metadata\\":{},\\"purpose\\":null,'
    b'\\"settlement\\":\\"pending\\",\\"error\\":null,\\"flags\\":[],\\"created_at\\":\\"2026-11-22T10:00:00.000Z\\",'
    b'\\"bought_at\\":\\"2026-,\\"expires_at\\":\\"2026-,\\"received_at\\":null,\\"ended_at\\":null}}","created_at":1790000000.000000,'
    b'"server":"1","type":"1","callback_url":"https://www.","timeout":540.0,"created_at":1790000000.000000,"metadata":{"'
    b'"settlement":"pending","number":"+923001234567","activation":"ORDER_ID_12345","asks":1,"asked_at":1790000000.000000,'
    b'"bought_at":1790000000.000000,"expires_at":1790000000.000000,"cancel_at":1790000000.000000}'
)
"""What records commonly hold, as zlib's preset dictionary: an order takes half the memory. Stored records rest on it,
so it never changes; another one would come with another first byte."""


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
        deflate = zlib.compressobj(level=6, zdict=_COMMON)
        packed = deflate.compress(plain) + deflate.flush()
        if self._fernet is None:
            return _CLEAR + packed
        return _SEALED + urlsafe_b64decode(self._fernet.encrypt(packed))

    def open(self, stored: bytes) -> bytes:
        """The bytes as they were sealed. Raises VaultLocked when no key fits."""
        packed = stored[1:] if stored[:1] == _CLEAR else self._decrypted(stored[1:])
        return zlib.decompressobj(zdict=_COMMON).decompress(packed)

    def _decrypted(self, stored: bytes) -> bytes:
        try:
            return self._fernet.decrypt(urlsafe_b64encode(stored)) if self._fernet else self._locked()
        except InvalidToken:
            raise VaultLocked("a stored record opens with none of RINGBACK_ENCRYPTION_KEYS") from None

    def _locked(self) -> bytes:
        raise VaultLocked("the store holds sealed records, and RINGBACK_ENCRYPTION_KEYS is unset")
