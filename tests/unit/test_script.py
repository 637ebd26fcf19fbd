"""Scripts run over a connection of the pool: what is not known there or was closed is put right on the way."""

from __future__ import annotations

from typing import Any

import fakeredis
import pytest
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from worker.store.connection import Script

INCR = "return {redis.call('INCR', KEYS[1]), ARGV[1]}"


@pytest.fixture
def client() -> fakeredis.FakeRedis:
    return fakeredis.FakeRedis()


class Flaky:
    """A pool whose first connection fails in place of a reply."""

    def __init__(self, pool: Any, error: Exception) -> None:
        self._pool, self._error = pool, error
        self.released = 0

    def get_connection(self) -> Any:
        connection = self._pool.get_connection()
        connection.read_response = self._fail
        return connection

    def release(self, connection: Any) -> None:
        del connection.read_response
        self.released += 1
        connection.disconnect()
        self._pool.release(connection)

    def _fail(self) -> None:
        raise self._error


def flaky(client: fakeredis.FakeRedis, error: Exception) -> tuple[Script, Flaky]:
    """A script whose first reply is an error."""
    script, pool = Script(client, INCR), Flaky(client.connection_pool, error)
    script._pool = pool
    return script, pool


def test_script_is_loaded_where_it_is_unknown(client):
    """The first call on a server loads the script, and so does one after a restart."""
    script = Script(client, INCR)
    assert script(["a"], ["x"]) == [1, b"x"]
    client.script_flush()
    assert script(["a"], [2]) == [2, b"2"]


def test_closed_connection_is_replaced(client):
    """A connection that the server closed costs nothing but a second try."""
    script, pool = flaky(client, ConnectionError("closed"))
    assert script(["a"], ["x"])[1] == b"x"
    assert pool.released == 1


@pytest.mark.parametrize("error", [TimeoutError("too slow"), ResponseError("OOM")])
def test_other_errors_are_not_tried_again(client, error):
    """A server that does not answer in time, or refuses, is not asked twice; the connection goes back all the same."""
    script, pool = flaky(client, error)
    with pytest.raises(type(error)):
        script(["a"], ["x"])
    assert pool.released == 1
