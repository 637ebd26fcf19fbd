"""Operators for the console and the command line: creating and changing them, login links and sessions."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from worker.errors import NotFound, RingbackError
from worker.operator import LINK, SESSION, Operator, Role, token_hash
from worker.store import Store, Unreadable, Written

LONGEST_NAME = 64


class NameUnfit(RingbackError):
    """The name cannot be an operator's; the message says why."""


class Operators:
    """The operators in a store. Methods raise StoreUnavailable, and NotFound for an operator that is not there."""

    def __init__(self, store: Store) -> None:
        self._records = store.operators

    def create(self, name: str, role: Role, now: float) -> Operator:
        """A new operator. Raises NameUnfit for a name that is empty, unprintable or taken.

        Names are unique because an authenticating proxy says who is there by name.
        """
        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise NameUnfit(f"a name must have 1 to {LONGEST_NAME} printable characters")
        operator = Operator(id="op_" + secrets.token_hex(10), name=name.strip(), role=role, created_at=now)
        if self.named(operator.name) is not None:
            raise NameUnfit(f"there is already an operator called {operator.name!r}")
        self._records.save(None, operator)
        return operator

    def all(self, skipped: list[str] | None = None) -> list[Operator]:
        """Every operator, oldest first, the revoked ones among them.

        Those that cannot be opened are left out; their ids are added to `skipped`.
        """
        found = []
        for one in self._records.ids():
            try:
                found.append(self._records.load(one))
            except Unreadable:
                if skipped is not None:
                    skipped.append(one)
        return sorted((one for one in found if one is not None), key=lambda one: one.created_at)

    def get(self, operator_id: str) -> Operator:
        """The operator."""
        operator = self._records.load(operator_id)
        if operator is None:
            raise NotFound(f"there is no operator {operator_id!r}")
        return operator

    def named(self, name: str) -> Operator | None:
        """The operator of that name who is not revoked, or None."""
        return next((one for one in self.all() if one.name == name and one.revoked_at is None), None)

    def change_role(self, operator_id: str, role: Role) -> Operator:
        """Give an operator another role; it holds from the next request on."""
        return self._change(operator_id, lambda one: one.with_role(role))

    def revoke(self, operator_id: str, now: float) -> Operator:
        """Lock an operator out for good: all sessions and links end at once."""
        operator = self._change(operator_id, lambda one: one.revoked(now))
        self._records.end_sessions(operator_id)
        return operator

    # Links and sessions.

    def link(self, operator_id: str) -> str:
        """A token that logs the operator in once, within ten minutes. Raises NotFound for one who is revoked."""
        if self.get(operator_id).revoked_at is not None:
            raise NotFound(f"operator {operator_id!r} is revoked")
        token = secrets.token_urlsafe(32)
        self._records.put_link(token_hash(token), operator_id, LINK)
        return token

    def log_in(self, token: str) -> tuple[Operator, str] | None:
        """Use a link up: its operator and the token of a new session. None when it is used, too old or unknown."""
        operator_id = self._records.take_link(token_hash(token))
        operator = self._records.load(operator_id) if operator_id else None
        if operator is None or operator.revoked_at is not None:
            return None
        session = secrets.token_urlsafe(32)
        self._records.put_session(token_hash(session), operator.id, SESSION)
        return operator, session

    def of_session(self, session: str) -> Operator | None:
        """Who a session belongs to, read anew for every request; None when it is over."""
        operator_id = self._records.session(token_hash(session))
        operator = self._records.load(operator_id) if operator_id else None
        return operator if operator and operator.revoked_at is None else None

    def log_out(self, session: str) -> None:
        """End a session."""
        self._records.end_session(token_hash(session))

    def allowed(self, what: str, most: int, seconds: int) -> bool:
        """Count one `what` and say whether it is within `most` in so many seconds, over all processes."""
        return self._records.count(what, seconds) <= most

    def _change(self, operator_id: str, change: Callable[[Operator], Operator]) -> Operator:
        """Write a change; one that lost a race is applied to what is there now."""
        while True:
            before = self.get(operator_id)
            after = change(before)
            if self._records.save(before, after) is Written.SAVED:
                return after


def login_path(token: str) -> str:
    """Where a login link leads, below the web's address."""
    return f"/console/login/{token}"
