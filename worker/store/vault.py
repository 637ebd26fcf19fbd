"""Sealing what must not lie readable in the store: codes, callback addresses, webhook secrets."""

from __future__ import annotations

import os
import zlib
from base64 import urlsafe_b64decode
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

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


_NONCE = 12
_WINDOW, _MEMORY = 12, 4
"""zlib's window (4 KiB) and memory level: a record is short, and zlib clears its memory for every one of them."""


class VaultLocked(RingbackError):
    """A record was sealed with a key that is not among RINGBACK_ENCRYPTION_KEYS (any more)."""


class Vault:
    """Seals with the first of its keys and opens with any; without keys records lie in clear.

    AES-256-GCM under a random 96-bit nonce (NIST SP 800-38D, section 8.2.2: at most 2^32 records under one key), with
    the first byte authenticated. Keys are 32 bytes in URL-safe base64. Records are packed before they are sealed.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._ciphers = [AESGCM(urlsafe_b64decode(key)) for key in keys]

    def seal(self, plain: bytes) -> bytes:
        """The bytes as they may be stored."""
        deflate = zlib.compressobj(level=6, wbits=_WINDOW, memLevel=_MEMORY, zdict=_COMMON)
        packed = deflate.compress(plain) + deflate.flush()
        if not self._ciphers:
            return _CLEAR + packed
        nonce = os.urandom(_NONCE)
        return _SEALED + nonce + self._ciphers[0].encrypt(nonce, packed, _SEALED)

    def open(self, stored: bytes) -> bytes:
        """The bytes as they were sealed. Raises VaultLocked when no key fits."""
        packed = stored[1:] if stored[:1] == _CLEAR else self._decrypted(stored[1:])
        return zlib.decompressobj(wbits=_WINDOW, zdict=_COMMON).decompress(packed)

    def _decrypted(self, stored: bytes) -> bytes:
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(stored[:_NONCE], stored[_NONCE:], _SEALED)
            except InvalidTag:
                continue
        if self._ciphers:
            raise VaultLocked("a stored record opens with none of RINGBACK_ENCRYPTION_KEYS")
        raise VaultLocked("the store holds sealed records, and RINGBACK_ENCRYPTION_KEYS is unset")
