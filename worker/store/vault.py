"""Sealing what must not lie readable in the store, and binding it to its place there (docs/adr/0014)."""

from __future__ import annotations

import hashlib
import os
import zlib
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from worker.errors import RingbackError

_CLEAR, _UNBOUND, _BOUND = b"\x00", b"\x01", b"\x02"
"""A record's first byte: packed only, sealed as before bindings (read while migrating), sealed and bound."""
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


_NONCE, _KEY_ID = 12, 4
_HEAD = len(_BOUND) + _KEY_ID
_WINDOW, _MEMORY = 12, 4
"""zlib's window (4 KiB) and memory level: a record is short, and zlib clears its memory for every one of them."""
MOST_BYTES = 1 << 20
"""Bytes that a record may unpack to: an event with fifty answers of 1 KiB, however they are spelled, is half of it."""


class Unreadable(RingbackError):
    """A stored record cannot be read here: it is left as it is, lists name it, and the rest goes on."""


class VaultLocked(Unreadable):
    """A record was sealed with a key that is not among RINGBACK_ENCRYPTION_KEYS (any more), or for another place."""


class Unsealed(Unreadable):
    """A record is not sealed, or not bound to its place, though keys are set."""


class Damaged(Unreadable):
    """A record is none: its bytes do not unpack, or to more than any record holds."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record belongs: its kind, its id and its caller. What is sealed for one place opens at no other."""

    kind: str
    id: str
    caller: str

    @property
    def bytes(self) -> bytes:
        """The place as it is authenticated; none of the three holds a NUL."""
        return "\0".join((self.kind, self.id, self.caller)).encode()


@dataclass(frozen=True, slots=True)
class _Key:
    id: bytes
    cipher: AESGCM


class Vault:
    """Seals with the first of its keys and opens with any; without keys records lie in clear.

    AES-256-GCM under a random 96-bit nonce (NIST SP 800-38D, section 8.2.2: at most 2^32 records under one key). First
    byte, key id and place are authenticated with it. Keys are 32 bytes in URL-safe base64. Records are packed before
    they are sealed. `migrating`: what is in clear or bound to no place is read all the same.
    """

    def __init__(self, keys: Sequence[str] = (), *, migrating: bool = False) -> None:
        self._keys = [_key(urlsafe_b64decode(key)) for key in keys]
        self._by_id = {key.id: key.cipher for key in self._keys}
        self._migrating = migrating

    @property
    def key_ids(self) -> list[str]:
        """The ids of the keys, the sealing one first."""
        return [key.id.hex() for key in self._keys]

    def seal(self, plain: bytes, place: Place) -> bytes:
        """The bytes as they may be stored at a place."""
        deflate = zlib.compressobj(level=6, wbits=_WINDOW, memLevel=_MEMORY, zdict=_COMMON)
        packed = deflate.compress(plain) + deflate.flush()
        if not self._keys:
            return _CLEAR + packed
        nonce, key = os.urandom(_NONCE), self._keys[0]
        head = _BOUND + key.id
        return head + nonce + key.cipher.encrypt(nonce, packed, head + place.bytes)

    def open(self, stored: bytes, place: Place) -> bytes:
        """The bytes as they were sealed for a place. Raises Unreadable."""
        kind = stored[:1]
        if kind == _BOUND:
            packed = self._bound(stored, place)
        elif kind == _UNBOUND:
            self._refuse_unless_migrating("not bound to its id and caller")
            packed = self._unbound(stored[1:])
        elif kind == _CLEAR:
            self._refuse_unless_migrating("not sealed")
            packed = stored[1:]
        else:
            raise Damaged("a stored record is of an unknown kind")
        return _unpacked(packed)

    def key_of(self, stored: bytes) -> str:
        """The id of the key that a record needs; "clear" or "unbound" for one that was written before bindings."""
        match stored[:1]:
            case b"\x02":
                return stored[1:_HEAD].hex()
            case b"\x01":
                return "unbound"
            case _:
                return "clear"

    def current(self, stored: bytes) -> bool:
        """Whether a record is as this vault would write it: under its first key, or in clear without keys."""
        return self.key_of(stored) == (self.key_ids[0] if self._keys else "clear")

    def _refuse_unless_migrating(self, what: str) -> None:
        if self._keys and not self._migrating:
            raise Unsealed(
                f"a stored record is {what}, although RINGBACK_ENCRYPTION_KEYS is set: see RINGBACK_SEALING_MIGRATION"
            )

    def _bound(self, stored: bytes, place: Place) -> bytes:
        head, nonce = stored[:_HEAD], stored[_HEAD : _HEAD + _NONCE]
        cipher = self._by_id.get(head[1:])
        if cipher is None:
            raise self._locked(head[1:].hex())
        try:
            return cipher.decrypt(nonce, stored[_HEAD + _NONCE :], head + place.bytes)
        except (InvalidTag, ValueError):
            raise VaultLocked(
                "a stored record was changed or moved: no key in RINGBACK_ENCRYPTION_KEYS here can open it"
            ) from None

    def _unbound(self, stored: bytes) -> bytes:
        for key in self._keys:
            try:
                return key.cipher.decrypt(stored[:_NONCE], stored[_NONCE:], _UNBOUND)
            except (InvalidTag, ValueError):
                continue
        raise self._locked("unknown")

    def _locked(self, key_id: str) -> VaultLocked:
        if self._keys:
            return VaultLocked(f"no key in RINGBACK_ENCRYPTION_KEYS can open a stored record (it needs key {key_id})")
        return VaultLocked("the store has sealed records, but RINGBACK_ENCRYPTION_KEYS is unset")


def _key(secret: bytes) -> _Key:
    return _Key(hashlib.sha256(b"ringback key id\0" + secret).digest()[:_KEY_ID], AESGCM(secret))


def _unpacked(packed: bytes) -> bytes:
    inflate = zlib.decompressobj(wbits=_WINDOW, zdict=_COMMON)
    try:
        plain = inflate.decompress(packed, MOST_BYTES)
    except zlib.error:
        raise Damaged("a stored record cannot be decompressed") from None
    if inflate.unconsumed_tail or not inflate.eof:
        raise Damaged("a stored record is cut short, or too large when decompressed")
    return plain
