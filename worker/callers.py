"""Callers: the systems that post orders. Their API keys are kept as hashes, their webhook secrets sealed."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from worker.errors import NotFound
from worker.store import Caps, Store, Vault
from worker.webhooks.signing import new_secret

KEY_PREFIX = "rbk_"
DEFAULT_OVERLAP = 86_400.0
"""Seconds for which a rotated webhook secret still signs beside the new one."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A webhook secret; `until` is when it stops signing (epoch seconds), None while it is the current one."""

    secret: str = field(repr=False)
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One caller as the store keeps it."""

    id: str
    name: str
    key_hash: str = field(repr=False)
    secrets: tuple[Secret, ...] = field(repr=False)
    created_at: float
    callback_url: str | None = None
    caps: Caps = field(default_factory=Caps)
    revoked_at: float | None = None
    verify_callback: bool = False
    """Orders are refused until a ping was acknowledged (`--verify-callback`)."""
    verified_at: float | None = None

    def live_secrets(self, now: float) -> list[str]:
        """The secrets that sign at a moment, the current one first."""
        live = [one for one in self.secrets if one.until is None or one.until > now]
        return [one.secret for one in sorted(live, key=lambda one: one.until is not None)]


def key_hash(api_key: str) -> str:
    """The SHA-256 of an API key, in hex. A key holds 32 random bytes, so a plain hash is enough to hide it."""
    return hashlib.sha256(api_key.encode()).hexdigest()


def pack(caller: Caller, vault: Vault) -> dict[str, str | bytes]:
    """A caller as its Redis hash."""
    hidden = {"secrets": [asdict(one) for one in caller.secrets], "callback_url": caller.callback_url}
    record: dict[str, str | bytes] = {
        "name": caller.name,
        "key": caller.key_hash,
        "hidden": vault.seal(json.dumps(hidden).encode()),
        "created_at": repr(caller.created_at),
        "caps": json.dumps(asdict(caller.caps)),
        "verify_callback": "1" if caller.verify_callback else "",
        "revoked_at": "" if caller.revoked_at is None else repr(caller.revoked_at),
        "verified_at": "" if caller.verified_at is None else repr(caller.verified_at),
    }
    return {name: value for name, value in record.items() if value}


def unpack(caller_id: str, stored: Mapping[bytes, bytes], vault: Vault) -> Caller:
    """A caller from its Redis hash."""
    hidden = json.loads(vault.open(stored[b"hidden"]))
    record = {name.decode(): value.decode() for name, value in stored.items() if name != b"hidden"}
    return Caller(
        id=caller_id,
        name=record["name"],
        key_hash=record["key"],
        secrets=tuple(Secret(**one) for one in hidden["secrets"]),
        callback_url=hidden["callback_url"],
        created_at=float(record["created_at"]),
        caps=Caps(**json.loads(record["caps"])),
        verify_callback="verify_callback" in record,
        revoked_at=float(record["revoked_at"]) if "revoked_at" in record else None,
        verified_at=float(record["verified_at"]) if "verified_at" in record else None,
    )


class Callers:
    """Creates, finds and changes callers."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault

    def create(
        self,
        name: str,
        now: float,
        *,
        callback_url: str | None = None,
        caps: Caps | None = None,
        verify_callback: bool = False,
    ) -> tuple[Caller, str, str]:
        """A new caller, its API key and its webhook secret: the only time that they are shown."""
        api_key, secret = KEY_PREFIX + secrets.token_urlsafe(32), new_secret()
        caller = Caller(
            id="cal_" + secrets.token_hex(10), name=name, key_hash=key_hash(api_key), secrets=(Secret(secret),),
            callback_url=callback_url, created_at=now, caps=caps or Caps(), verify_callback=verify_callback,
        )  # fmt: skip
        self._put(caller, add_key=caller.key_hash)
        return caller, api_key, secret

    def all(self) -> list[Caller]:
        """Every caller, oldest first."""
        return sorted((self.get(one) for one in self._store.callers()), key=lambda caller: caller.created_at)

    def get(self, caller_id: str) -> Caller:
        """The caller. Raises NotFound."""
        record = self._store.caller(caller_id)
        if not record:
            raise NotFound(f"there is no caller {caller_id!r}")
        return unpack(caller_id, record, self._vault)

    def by_key(self, api_key: str) -> Caller | None:
        """The caller an API key belongs to, or None; revoked callers have none."""
        digest = key_hash(api_key)
        caller_id = self._store.caller_of_key(digest)
        record = self._store.caller(caller_id) if caller_id else {}
        known = hmac.compare_digest(record.get(b"key", b"-"), digest.encode())
        if caller_id is None or not known or b"revoked_at" in record:
            return None
        return unpack(caller_id, record, self._vault)

    def rotate_secret(self, caller_id: str, now: float, overlap: float = DEFAULT_OVERLAP) -> str:
        """A new webhook secret; the old ones sign beside it for `overlap` seconds."""
        caller, secret = self.get(caller_id), new_secret()
        still = tuple(
            replace(one, until=min(one.until or now + overlap, now + overlap))
            for one in caller.secrets
            if one.until is None or one.until > now
        )
        self._put(replace(caller, secrets=(Secret(secret), *(still if overlap > 0 else ()))))
        return secret

    def rotate_key(self, caller_id: str) -> str:
        """A new API key; the old one stops working at once."""
        caller, api_key = self.get(caller_id), KEY_PREFIX + secrets.token_urlsafe(32)
        self._put(replace(caller, key_hash=key_hash(api_key)), add_key=key_hash(api_key), drop_key=caller.key_hash)
        return api_key

    def revoke(self, caller_id: str, now: float) -> Caller:
        """Lock a caller out. Its orders run to their end, and their webhooks are still sent."""
        caller = replace(self.get(caller_id), revoked_at=now)
        self._put(caller, drop_key=caller.key_hash)
        return caller

    def limit(self, caller_id: str, caps: Caps) -> Caller:
        """Set a caller's caps."""
        caller = replace(self.get(caller_id), caps=caps)
        self._put(caller)
        return caller

    def _put(self, caller: Caller, *, add_key: str | None = None, drop_key: str | None = None) -> None:
        self._store.put_caller(caller.id, pack(caller, self._vault), add_key=add_key, drop_key=drop_key)
