"""The operator: somebody who looks after the service in its console. Pure; times are epoch seconds.

A viewer reads, an operator acts on orders and webhooks, an admin changes callers and operators. What each may do is one
table, which is asked when the act is done, not when its button is drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

SESSION = 43_200.0
"""Seconds for which a session lasts (contract.md: 12 hours)."""
LINK = 600.0
"""Seconds for which a login link can be used (contract.md: 10 minutes)."""


class Role(StrEnum):
    """What an operator may do; each role may do all that the ones before it may."""

    VIEWER = "viewer"
    """Reads, with codes and numbers masked."""
    OPERATOR = "operator"
    """Acts on orders, webhooks and buying, and reveals one value at a time."""
    ADMIN = "admin"
    """Changes callers and operators."""


class Act(StrEnum):
    """What can be done in the console, as the audit names it."""

    READ = "read"
    LOG_OUT = "log_out"
    CANCEL = "cancel"
    REVEAL = "reveal"
    REDELIVER = "redeliver"
    REDELIVER_MANY = "redeliver_many"
    STOP_WORK = "stop_work"
    SWITCH_BUYING = "switch_buying"
    REFRESH = "refresh"
    RECONCILE = "reconcile"
    TEST_ORDER = "test_order"
    CHANGE_CALLER = "change_caller"
    CHANGE_OPERATOR = "change_operator"


NEEDS: Mapping[Act, Role] = {
    Act.READ: Role.VIEWER,
    Act.LOG_OUT: Role.VIEWER,
    Act.CANCEL: Role.OPERATOR,
    Act.REVEAL: Role.OPERATOR,
    Act.REDELIVER: Role.OPERATOR,
    Act.REDELIVER_MANY: Role.OPERATOR,
    Act.STOP_WORK: Role.OPERATOR,
    Act.SWITCH_BUYING: Role.OPERATOR,
    Act.REFRESH: Role.OPERATOR,
    Act.RECONCILE: Role.OPERATOR,
    Act.TEST_ORDER: Role.OPERATOR,
    Act.CHANGE_CALLER: Role.ADMIN,
    Act.CHANGE_OPERATOR: Role.ADMIN,
}
"""The least role that may do an act."""
_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One operator as the store keeps it."""

    id: str
    name: str
    role: Role
    created_at: float
    version: int = 1
    revoked_at: float | None = None
    beyond: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Fields of a newer version, kept and written back."""

    def may(self, act: Act) -> bool:
        """Whether the operator may do it; somebody revoked may do nothing."""
        return self.revoked_at is None and _RANK.get(self.role, -1) >= _RANK[NEEDS[act]]

    def with_role(self, role: Role) -> Operator:
        """The operator with another role."""
        return self._changed(role=role)

    def revoked(self, now: float) -> Operator:
        """The operator locked out; the moment at which that first happened stays."""
        return self._changed(revoked_at=now if self.revoked_at is None else self.revoked_at)

    def public(self) -> dict[str, Any]:
        """The operator as JSON shows it."""
        return {"id": self.id, "name": self.name, "role": self.role.value}

    def _changed(self, **changes: Any) -> Operator:
        return replace(self, version=self.version + 1, **changes)


def token_hash(token: str) -> str:
    """The SHA-256 of a link's or a session's token, in hex: each holds 32 random bytes, so a plain hash hides it."""
    return hashlib.sha256(token.encode()).hexdigest()
