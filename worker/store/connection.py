"""Connecting to the store: plain, TLS, socket and Sentinel addresses, with time limits that notice a dead server.

And running a script there, by the short way that a web under load needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from worker.errors import StoreUnavailable
from worker.store.answers import meaning

WORKER_LIMITS = {
    "socket_timeout": 5.0,
    "socket_connect_timeout": 3.0,
    "health_check_interval": 5,
    "socket_keepalive": True,
}
"""Seconds; defaults never notice a half-open connection."""
WEB_LIMITS = {
    "socket_timeout": 2.0,
    "socket_connect_timeout": 1.0,
    "health_check_interval": 10,
    "socket_keepalive": True,
}
"""Shorter: somebody is waiting for the answer."""

RECONNECT = (RedisConnectionError,)
"""A connection that the server closed is opened anew, once; one that does not answer is given up at its time limit."""


def connect(url: str) -> redis.Redis:
    """A blocking client for the web and the command line. Nothing is sent yet."""
    limits: dict[str, Any] = {**WEB_LIMITS, "retry": Retry(NoBackoff(), 1, supported_errors=RECONNECT)}
    if _is_sentinel(url):
        hosts, name, options = _sentinel(url)
        made: Any = Sentinel
        return cast(redis.Redis, made(hosts, sentinel_kwargs=WEB_LIMITS, **options, **limits).master_for(name))
    return redis.Redis.from_url(url, **_fitting(url, limits))


def connect_async(url: str, *, connections: int = 64) -> redis.asyncio.Redis:
    """A client for the worker's event loop; calls beyond `connections` wait for a free one."""
    limits: dict[str, Any] = {**WORKER_LIMITS, "retry": AsyncRetry(NoBackoff(), 1, supported_errors=RECONNECT)}
    if _is_sentinel(url):
        hosts, name, options = _sentinel(url)
        made: Any = AsyncSentinel
        return cast(
            redis.asyncio.Redis, made(hosts, sentinel_kwargs=WORKER_LIMITS, **options, **limits).master_for(name)
        )
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url, max_connections=connections, timeout=5, **_fitting(url, limits)
    )
    return redis.asyncio.Redis.from_pool(pool)


def broker_options(url: str) -> tuple[str, dict[str, Any]]:
    """The address and transport options by which Celery reaches the same store."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        # What redis-py calls the db, kombu calls the virtual host.
        query = [("virtual_host" if name == "db" else name, value) for name, value in parse_qsl(parts.query)]
        return f"redis+socket://{parts.path}" + (f"?{urlencode(query)}" if query else ""), {}
    if _is_sentinel(url):
        hosts, name, options = _sentinel(url)
        login = f":{parts.password}@" if parts.password else ""
        return ";".join(f"sentinel://{login}{host}:{port}/{options['db']}" for host, port in hosts), {
            "master_name": name
        }
    return url, {}


class Script:
    """A Lua script that a blocking client runs by its digest.

    Straight over one of the pool's connections: redis-py's own way, with its hooks around every command, costs as much
    again as the call. That way is taken when the server does not know the script (any more) or a connection was
    closed: it loads the script and connects anew. So a script may run twice, as with any call that is repeated.
    """

    def __init__(self, client: redis.Redis, text: str) -> None:
        self._pool: Any = client.connection_pool
        self._script = client.register_script(text)

    def __call__(self, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The script's reply. Raises RedisError."""
        connection = self._pool.get_connection()
        try:
            connection.send_command("EVALSHA", self._script.sha, len(keys), *keys, *args)
            return connection.read_response()
        except (NoScriptError, RedisConnectionError):
            pass
        finally:
            self._pool.release(connection)
        return self._script(keys=keys, args=args)


@contextmanager
def reaching() -> Iterator[None]:
    """What a blocking client raises, as StoreUnavailable."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise meaning(error) or StoreUnavailable(f"the store failed ({type(error).__name__})") from None


def _is_sentinel(url: str) -> bool:
    return "sentinel" in urlsplit(url).scheme


def _fitting(url: str, limits: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in limits.items() if k != "socket_keepalive"} if url.startswith("unix") else limits


def _sentinel(url: str) -> tuple[list[tuple[str, int]], str, dict[str, Any]]:
    """`sentinel://[:password@]host:port[,host:port…]/master[/db]` taken apart."""
    parts = urlsplit(url)
    hosts = [host.rpartition(":") for host in parts.netloc.rpartition("@")[2].split(",")]
    name, _, db = parts.path.lstrip("/").partition("/")
    options: dict[str, Any] = {"db": int(db or 0), "ssl": parts.scheme.startswith("rediss")}
    if not options["ssl"]:
        del options["ssl"]
    if parts.password:
        options["password"] = unquote(parts.password)
    return (
        [(host or port, int(port) if host else 26379) for host, _, port in hosts],
        name or "mymaster",
        options,
    )
