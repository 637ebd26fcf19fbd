"""A primary, its replica and a Sentinel that promotes it, on loopback, for as long as a block lasts."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path
from typing import Any

import redis

from tests.e2e.stack import wait_for
from worker.local.embedded import find_server
from worker.local.processes import ends_with_parent, free_port

NAME = "main"
DOWN_AFTER = 1000
"""Milliseconds without an answer after which the Sentinel takes a primary for dead."""


class Pair:
    """Two servers under one Sentinel. `url` is what ringback connects to."""

    def __init__(self, folder: Path) -> None:
        server = find_server()
        assert server is not None
        self._program = server.program
        self._folder = folder
        self._password = secrets.token_urlsafe(16)
        self._ports = free_port(), free_port(), free_port()
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """The Sentinel's address, password included."""
        return f"sentinel://:{self._password}@127.0.0.1:{self._ports[2]}/{NAME}"

    def __enter__(self) -> Pair:
        primary, replica, sentinel = self._ports
        login = [f"requirepass {self._password}", f"masterauth {self._password}"]
        kept = ["appendonly yes", "appendfsync always", 'save ""', "repl-diskless-sync-delay 0"]
        self._start(primary, [*login, *kept])
        self._start(replica, [*login, *kept, f"replicaof 127.0.0.1 {primary}"])
        wait_for(lambda: self._info(primary, "replication")["connected_slaves"] == 1, what="the replica")
        watch = [f"monitor {NAME} 127.0.0.1 {primary} 1", f"auth-pass {NAME} {self._password}"]
        watch += [f"down-after-milliseconds {NAME} {DOWN_AFTER}", f"failover-timeout {NAME} 5000"]
        self._start(sentinel, [f"sentinel {line}" for line in watch], "--sentinel")
        wait_for(lambda: self._watched()["num-slaves"] == 1, what="the Sentinel to know the replica")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()

    def lose_primary(self) -> None:
        """Kill the primary once the replica has what was written so far; returns when the replica is promoted."""
        primary, replica, _ = self._ports
        with self._client(primary) as client:
            client.set("waited", 1)  # WAIT waits for what its own connection wrote
            assert client.wait(1, 5000) == 1
        self._running[primary].kill()
        wait_for(lambda: self._info(replica, "replication")["role"] == "master", what="the promotion")

    def _start(self, port: int, lines: list[str], *flags: str) -> None:
        folder = self._folder / str(port)
        folder.mkdir(parents=True)
        config = folder / "server.conf"
        config.write_text("\n".join(["bind 127.0.0.1", f"port {port}", f'dir "{folder}"', *lines]) + "\n")
        self._running[port] = subprocess.Popen(
            [self._program, config, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=ends_with_parent(),  # noqa: PLW1509 - one system call
        )  # fmt: skip
        wait_for(lambda: self._answers(port), what=f"the server on port {port}")

    def _answers(self, port: int) -> bool:
        try:
            with self._client(port) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def _info(self, port: int, section: str) -> dict[str, Any]:
        with self._client(port) as client:
            return dict(client.info(section))

    def _watched(self) -> dict[str, Any]:
        with self._client(self._ports[2]) as client:
            return dict(client.sentinel_master(NAME))

    def _client(self, port: int) -> redis.Redis:
        password = None if port == self._ports[2] else self._password
        return redis.Redis(port=port, password=password, socket_timeout=2)
