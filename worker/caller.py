"""The caller: a system that posts orders. Pure; times are epoch seconds.

An API key is kept as its hash only. Every change is a copy with the next version, which the store writes only over the
version that was read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Any

KEY_PREFIX = "rbk_"
DEFAULT_OVERLAP = 86_400.0
"""Seconds for which a rotated webhook secret still signs beside the new one."""
MOST_VERIFIED = 100
"""The most proven endpoints remembered for a caller; beyond it, the earliest proven is forgotten."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A webhook secret; `until` is when it stops signing (epoch seconds), None while it is the current one."""

    secret: str = field(repr=False)
    until: float | None = None
    beyond: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Fields of a newer version, kept and written back; so below."""


@dataclass(frozen=True, slots=True)
class Caps:
    """A caller's caps; None is no cap."""

    max_in_flight: int | None = None
    orders_per_minute: int | None = None
    orders_per_day: int | None = None
    max_spend_per_day: Decimal | None = None
    """PKR that its purchases of a day (UTC) may cost; refunds give back."""
    beyond: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def public(self) -> dict[str, int | None]:
        """The caps by name, as commands show them."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "beyond"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One caller as the store keeps it."""

    id: str
    name: str
    key_hash: str = field(repr=False)
    secrets: tuple[Secret, ...] = field(repr=False)
    created_at: float
    version: int = 1
    callback_url: str | None = field(default=None, repr=False)
    caps: Caps = field(default_factory=Caps)
    weight: int = 1
    """Orders of its that are bought in a turn, while others wait for theirs."""
    revoked_at: float | None = None
    verify_callback: bool = False
    """Webhooks go only to callbacks that have proven to hold its secret (`--verify-callback`)."""
    verified: tuple[str, ...] = ()
    """Endpoints that have (`worker.event.endpoint_of`), the latest last."""
    beyond: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def live_secrets(self, now: float) -> list[str]:
        """The secrets that sign at a moment, the current one first."""
        live = [one for one in self.secrets if one.until is None or one.until > now]
        return [one.secret for one in sorted(live, key=lambda one: one.until is not None)]

    def with_secret(self, secret: str, now: float, overlap: float = DEFAULT_OVERLAP) -> Caller:
        """The caller with a new webhook secret; the old ones sign beside it for `overlap` seconds."""
        still = tuple(
            replace(one, until=min(one.until or now + overlap, now + overlap))
            for one in self.secrets
            if one.until is None or one.until > now
        )
        return self._changed(secrets=(Secret(secret), *(still if overlap > 0 else ())))

    def with_key(self, key_hash: str) -> Caller:
        """The caller with a new API key; the old one stops working at once."""
        return self._changed(key_hash=key_hash)

    def with_caps(self, caps: Caps, weight: int | None = None) -> Caller:
        """The caller with other caps, and another weight if one is given."""
        return self._changed(caps=caps, weight=self.weight if weight is None else weight)

    def revoked(self, now: float) -> Caller:
        """The caller locked out; the moment at which that first happened stays."""
        return self._changed(revoked_at=now if self.revoked_at is None else self.revoked_at)

    def may_call(self, endpoint: str) -> bool:
        """Whether webhooks may go to an endpoint, as far as it has to be proven."""
        return not self.verify_callback or endpoint in self.verified

    def with_verified(self, endpoint: str) -> Caller:
        """The caller with one more endpoint that has proven to hold its secret."""
        others = tuple(one for one in self.verified if one != endpoint)
        return self._changed(verified=(*others, endpoint)[-MOST_VERIFIED:])

    def _changed(self, **changes: Any) -> Caller:
        return replace(self, version=self.version + 1, **changes)


def key_hash(api_key: str) -> str:
    """The SHA-256 of an API key, in hex. A key holds 32 random bytes, so a plain hash is enough to hide it."""
    return hashlib.sha256(api_key.encode()).hexdigest()
