"""The command line on a store in memory: `Stage.run` types a command, the rest puts things into the store."""

from __future__ import annotations

import json
from typing import Any

import fakeredis
import pytest
from typer.testing import CliRunner, Result

from tests import builders
from worker.announce import announce
from worker.caller import Caller, Caps
from worker.callers import Callers
from worker.cli import app, context
from worker.order import EventType, Order
from worker.schedule import Lane, Wake
from worker.store import Store, Vault

CODE, NUMBER = "847293", "+923001234567"


class Stage:
    """A terminal, a store and its vault."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.redis = fakeredis.FakeRedis()
        self.vault = Vault()
        self.store = Store(self.redis, self.vault, retention=3600, otp_ttl=3600)
        self.callers = Callers(self.store)
        monkeypatch.setattr(context, "connect", lambda _: self.redis)
        self.environ = {"RINGBACK_REDIS_URL": "redis://memory:6379", "RINGBACK_OTPGET_API_KEY": ""}

    def run(self, *arguments: str, **environ: str) -> Result:
        """Type a command."""
        return CliRunner().invoke(app, arguments, env={**self.environ, **environ})

    def json(self, *arguments: str) -> Any:
        """What a command prints with --json; it has to succeed."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def caller(self, name: str = "shop", **kwargs: Any) -> Caller:
        """A caller."""
        return self.callers.create(name, 1000.0, **kwargs)[0]

    def order(self, caller: Caller, order_id: str = "ord_1", created_at: float = 1000.0) -> Order:
        """An order that was just accepted."""
        order = Order(
            id=order_id, caller=caller.id, item={"server": "1", "type": "1"}, callback_url="https://shop.example/hook?token=hush",
            timeout=540.0, created_at=created_at,
        )  # fmt: skip
        self.store.create(order, Caps())
        return order

    def received(self, order: Order) -> Order:
        """The order after its number was bought and its code came, with the webhook owed for it."""
        bought = order.intend(1001.0).assign(builders.bought(at=1002.0, number=NUMBER))
        after = bought.receive(CODE, 1010.0)
        self.store.save(order, bought, wake=Wake(Lane.POLL), journal={"kind": "bought", "activation": "act_1"})
        self.store.save(bought, after, wake=None, events=[announce(EventType.OTP_RECEIVED, after, 1010.0)])
        return after

    def write_journal(self, *lines: dict[str, str]) -> None:
        """Lines of the journal, a second apart, the last one now."""
        now = int(self.store.now() * 1000)
        for place, line in enumerate(lines):
            self.redis.xadd("rb:journal", line, id=f"{now - 1000 * (len(lines) - place)}-0")  # type: ignore[arg-type]
