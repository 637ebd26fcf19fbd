"""Operators, their login links and sessions, and the audit, as the store keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

from worker.operator import Operator
from worker.store import codec, keys
from worker.store.codec import Written
from worker.store.connection import Script, reaching
from worker.store.scripts import source, source_of_work
from worker.store.vault import Vault


class OperatorRecords:
    """Records under versions; links and sessions by the hashes of their tokens. Spans are seconds."""

    def __init__(self, client: redis.Redis, vault: Vault) -> None:
        self._redis: Any = client
        self._vault = vault
        self._save = Script(client, source("save_operator"))

    def ids(self) -> list[str]:
        """The ids of all operators."""
        with reaching():
            return sorted(one.decode() for one in self._redis.smembers(keys.OPERATORS))

    def load(self, operator_id: str) -> Operator | None:
        """The operator, or None when there is none."""
        name = keys.operator(operator_id)
        with reaching():
            version, sealed = self._redis.pipeline().hget(name, "v").get(keys.record(name)).execute()
        return codec.unpack_operator(operator_id, int(version), sealed, self._vault) if version else None

    def save(self, before: Operator | None, after: Operator) -> Written:
        """Write a new operator (`before` is None), or a change of one, under the version that was read."""
        arguments = [
            after.id, before.version if before else 0, after.version, codec.pack_operator(after, self._vault),
        ]  # fmt: skip
        with reaching():
            reply = self._save(keys=[keys.operator(after.id), keys.OPERATORS], args=arguments)
        return Written(reply.decode())

    def put_link(self, digest: str, operator_id: str, seconds: float) -> None:
        """Keep a login link until its time is over."""
        with reaching():
            self._redis.set(keys.login(digest), operator_id, ex=int(seconds))

    def take_link(self, digest: str) -> str | None:
        """Whose login link it is; it is used up."""
        with reaching():
            owner = self._redis.getdel(keys.login(digest))
        return owner.decode() if owner else None

    def put_session(self, digest: str, operator_id: str, seconds: float) -> None:
        """Keep a session until its time is over."""
        sessions = keys.operator(operator_id, "sessions")
        with reaching():
            pipe = self._redis.pipeline()
            pipe.set(keys.session(digest), operator_id, ex=int(seconds))
            pipe.sadd(sessions, digest).expire(sessions, int(seconds))
            pipe.execute()

    def session(self, digest: str) -> str | None:
        """Whose session it is."""
        with reaching():
            owner = self._redis.get(keys.session(digest))
        return owner.decode() if owner else None

    def end_session(self, digest: str) -> None:
        """End a session."""
        with reaching():
            self._redis.delete(keys.session(digest))

    def end_sessions(self, operator_id: str) -> None:
        """End all sessions of an operator."""
        sessions = keys.operator(operator_id, "sessions")
        with reaching():
            digests = [one.decode() for one in self._redis.smembers(sessions)]
            self._redis.delete(sessions, *map(keys.session, digests))

    def count(self, what: str, seconds: int) -> int:
        """Count one, and say how many there were in this window of so many seconds."""
        with reaching():
            window = int(self._redis.time()[0]) // seconds
            name = keys.console_count(what, window)
            counted: int = self._redis.pipeline().incr(name).expire(name, 2 * seconds).execute()[0]
        return counted


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line of the audit: when (epoch seconds), who, what, on what and why; `id` is its place."""

    id: str
    at: float
    who: str
    act: str
    on: str
    why: str


class Audit:
    """Who did what, when, on what and why. Lines are added and read, never changed."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client
        self._add = Script(client, source_of_work("audit"))

    def add(self, who: str, act: str, on: str = "", why: str = "") -> None:
        """Add a line; a full store takes that too. No code, number or secret belongs in it."""
        with reaching():
            self._add(keys=[keys.AUDIT], args=codec.flat({"who": who, "act": act, "on": on, "why": why}))

    def lines(self, limit: int, before: str | None = None) -> list[AuditLine]:
        """The newest lines, or those before a line's id, newest first."""
        with reaching():
            found = self._redis.xrevrange(keys.AUDIT, max=f"({before}" if before else "+", count=limit)
        return [_line(entry.decode(), fields) for entry, fields in found]


def _line(entry: str, fields: Mapping[bytes, bytes]) -> AuditLine:
    said = {name.decode(): value.decode("utf-8", "replace") for name, value in fields.items()}
    at = int(entry.partition("-")[0]) / 1000
    return AuditLine(entry, at, said.get("who", ""), said.get("act", ""), said.get("on", ""), said.get("why", ""))
