"""The embedded store: what it keeps, who may use its folder, what happens when somebody dies."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from worker.local import embedded
from worker.local.embedded import EmbeddedStore, StoreFailed, find_server
from worker.local.processes import FolderBusy, free_port

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(find_server() is None and "RINGBACK_CI" not in os.environ, reason="no real server to embed"),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "data", fsync="always") as running:
        yield running


def client(store: EmbeddedStore) -> redis.Redis:
    return redis.Redis.from_url(store.url, decode_responses=True, retry=None)


def eventually(holds: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return False


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return (
        Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] == "Z"
    )


def test_a_real_server_answers(store):
    """A real server runs, append-only, and says what it is and what it keeps."""
    assert store.kind in {"valkey", "redis"}
    assert client(store).config_get("append*")["appendonly"] == "yes"
    assert client(store).config_get("appendfsync") == {"appendfsync": "always"}
    assert "fsync always" in store.durability
    assert str(store.folder) in store.durability


def test_only_this_machine_and_only_with_the_password(store):
    """It listens on the loopback address, refuses who has no password, and shows it to nobody else."""
    assert client(store).config_get("bind") == {"bind": "127.0.0.1"}
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=store.port).ping()
    for name in ("store.json", "store.conf"):
        assert stat.S_IMODE((store.folder / name).stat().st_mode) == 0o600
    command = Path(f"/proc/{store.pid}/cmdline")
    shown = repr(vars(store)) + (command.read_text() if command.exists() else "")
    assert json.loads((store.folder / "store.json").read_text())["password"] not in shown


def test_data_and_address_outlive_a_stop(tmp_path):
    """After stop and start the data is there, at the same address."""
    with EmbeddedStore(tmp_path) as first:
        client(first).set("kept", "yes")
        url = first.url
    with EmbeddedStore(tmp_path) as second:
        assert (second.url, client(second).get("kept")) == (url, "yes")


def test_a_taken_port_is_given_up(tmp_path, monkeypatch):
    """If another program has taken the remembered port meanwhile, a new one is chosen and remembered."""
    with EmbeddedStore(tmp_path) as first:
        port = first.port
    monkeypatch.setattr(embedded, "port_is_free", lambda one: one != port)
    with EmbeddedStore(tmp_path) as second:
        assert second.port != port
        assert json.loads((tmp_path / "store.json").read_text())["port"] == second.port


def test_a_killed_server_comes_back_with_its_data(store):
    """SIGKILL of the server: revive brings it back, same address, nothing acknowledged lost."""
    client(store).set("kept", "yes")
    os.kill(store.pid, signal.SIGKILL)
    assert eventually(store.revive)
    assert client(store).get("kept") == "yes"
    assert store.revive() is False


def test_a_second_start_is_told_who_is_there(store):
    """A second start on the folder fails and names the process and its addresses."""
    store.describe(web="http://127.0.0.1:8000")
    with pytest.raises(FolderBusy) as refused:
        EmbeddedStore(store.folder).start()
    assert refused.value.details == {
        "pid": os.getpid(),
        "store": f"127.0.0.1:{store.port}",
        "web": "http://127.0.0.1:8000",
    }
    assert client(store).ping()


PARENT = """
import sys, time
from pathlib import Path
from worker.local.embedded import EmbeddedStore
store = EmbeddedStore(Path(sys.argv[1]), ends_with_us=sys.argv[2] == "ends")
store.start()
print(store.pid, flush=True)
time.sleep(3600)
"""


def killed_parent(folder: Path, how: str) -> int:
    """Start a store from another process, SIGKILL that process, return the server's pid."""
    with subprocess.Popen([sys.executable, "-c", PARENT, folder, how], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        server = int(parent.stdout.readline())
        parent.kill()
    return server


def test_a_server_left_by_a_killed_parent_is_adopted(tmp_path):
    """The next start takes over the running server instead of starting a second one on the same data."""
    server = killed_parent(tmp_path, "stays")
    with EmbeddedStore(tmp_path) as store:
        assert (store.pid, store.adopted) == (server, True)
        os.kill(server, signal.SIGKILL)
        assert eventually(store.revive)
        assert store.pid != server


def test_an_adopted_server_is_stopped(tmp_path):
    """Stopping ends the server that was adopted, too."""
    server = killed_parent(tmp_path, "stays")
    EmbeddedStore(tmp_path).__enter__().stop()
    assert gone(server)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux only")
def test_the_server_ends_with_a_killed_parent(tmp_path):
    """Where the kernel can tell, a server does not outlive the process that started it."""
    server = killed_parent(tmp_path, "ends")
    assert eventually(lambda: gone(server))


def test_a_server_that_cannot_start_says_why(tmp_path):
    """Ruined data: the error shows the end of the server's log, and the folder is free again."""
    (tmp_path / "store" / "appendonlydir").mkdir(parents=True)
    (tmp_path / "store" / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    for _ in range(2):
        with pytest.raises(StoreFailed, match=r"end of its log:[\s\S]*manifest"):
            EmbeddedStore(tmp_path).start()


def test_without_a_server_the_last_resort_says_so(tmp_path, monkeypatch):
    """No wheel and nothing on the PATH: fakeredis serves, and says that it keeps nothing."""
    pytest.importorskip("fakeredis")
    monkeypatch.setattr(embedded, "find_server", lambda: None)
    with EmbeddedStore(tmp_path) as store:
        assert client(store).set("a", "b")
        assert store.kind == "fake"
        assert "lost" in store.durability


def test_free_ports_are_free():
    """A free port can be had twice in a row without clashing."""
    assert free_port() > 1024
