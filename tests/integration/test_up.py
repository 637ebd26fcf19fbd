"""Processes run together: they come back, they stop in order, and they end with whoever started them."""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from worker.local import up as whole
from worker.local.children import ROOT, Child, Supervisor
from worker.local.processes import free_port, is_alive
from worker.local.up import Ports, PortTaken, service, up

pytestmark = pytest.mark.integration

HANG = 60.0
"""Seconds after which what does not happen counts as never happening."""
SLEEP = "import time; print('up', flush=True); time.sleep(3600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
PARENT_OF_ONE = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"]).pid, flush=True)
time.sleep(3600)
"""


def python(name: str, code: str, **kwargs: object) -> Child:
    return Child(name, [sys.executable, "-u", "-c", code], **kwargs)  # type: ignore[arg-type]


@contextmanager
def running(*children: Child, **kwargs: object) -> Iterator[tuple[Supervisor, io.StringIO]]:
    out = io.StringIO()
    running = Supervisor(children, out=out, **kwargs)  # type: ignore[arg-type]
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        yield running, out
    finally:
        running.stop()
        thread.join(HANG)
    assert not thread.is_alive(), "it does not stop"


def eventually(holds: Callable[[], object], seconds: float = HANG) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return False


def test_a_child_that_dies_comes_back():
    """A child that exits is started again, after waits that grow, and its exit is told."""
    with running(python("short", "print('hello'); raise SystemExit(3)")) as (_, out):
        assert eventually(lambda: out.getvalue().count("hello") >= 3)
    waits = re.findall(r"short \| ended with exit code 3; again in ([\d.]+) s", out.getvalue())
    assert waits[:2] == ["0.2", "0.4"]


def test_a_program_that_is_not_there_is_told_and_tried_again():
    """A child that cannot be started does not take the others down."""
    with running(Child("none", ["/nowhere/program"]), python("b", SLEEP)) as (_, out):
        assert eventually(lambda: out.getvalue().count("cannot be started") >= 2 and "b    | up" in out.getvalue())


def test_all_stop_together():
    """Stopping ends every child and what it started itself."""
    with running(python("a", PARENT_OF_ONE), python("b", SLEEP)) as (_, out):
        assert eventually(lambda: "b | up" in out.getvalue() and re.search(r"a \| \d+", out.getvalue()))
    found = re.search(r"a \| (\d+)", out.getvalue())
    assert found
    assert eventually(lambda: not is_running(int(found[1])))


def is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    zombie = stat.exists() and stat.read_text().rsplit(")")[-1].split()[0] == "Z"
    return is_alive(pid) and not zombie


def test_a_child_that_will_not_stop_is_killed():
    """After its grace a child is killed."""
    with running(python("stubborn", STUBBORN, stop_grace=0.3)) as (_, out):
        assert eventually(lambda: "up" in out.getvalue())


def test_a_second_stop_does_not_wait():
    """Asked twice, it waits for nobody's grace."""
    with running(python("stubborn", STUBBORN, stop_grace=10 * HANG)) as (one, out):
        assert eventually(lambda: "up" in out.getvalue())
        one.stop()


def test_readiness_is_told_once():
    """`on_ready` is called once, when every address has answered."""
    port, told = free_port(), []
    child = Child(
        "http",
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)],
        ready_url=f"http://127.0.0.1:{port}/",
    )
    with running(child, on_ready=lambda: told.append(1)):
        assert eventually(lambda: told)
        time.sleep(0.3)
    assert told == [1]


def test_env_is_added_and_taken_away(monkeypatch):
    """A child gets our environment, plus what it is given, less what is None."""
    monkeypatch.setenv("TAKEN", "1")
    code = "import os, time; print(os.environ.get('GIVEN'), os.environ.get('TAKEN'), flush=True); time.sleep(3600)"
    with running(python("a", code, env={"GIVEN": "yes", "TAKEN": None})) as (_, out):
        assert eventually(lambda: "a | yes None" in out.getvalue())


PARENT = """
import sys
from worker.local.children import Child, run
code = "import os, time; print('pid', os.getpid(), flush=True); time.sleep(3600)"
run([Child("a", [sys.executable, "-u", "-c", code])])
"""


def test_ctrl_c_stops_everything():
    """SIGINT to the supervisor ends its children and leaves with 0."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline().split()[-1])
        parent.send_signal(signal.SIGINT)
        assert parent.wait(HANG) == 0
    assert not is_running(child)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux only")
def test_children_end_with_a_killed_supervisor():
    """SIGKILL of the supervisor leaves nothing running."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline().split()[-1])
        parent.kill()
    assert eventually(lambda: not is_running(child))


def procfile() -> dict[str, list[str]]:
    lines = (ROOT / "Procfile").read_text().splitlines()
    return {name: shlex.split(command) for name, command in (line.split(":", 1) for line in lines)}


def test_up_runs_what_the_procfile_says():
    """`ringback up` starts web and worker with the Procfile's own arguments."""
    web, worker = service(Ports(8000, None), {})
    assert list(web.argv[2:]) == procfile()["web"]
    assert list(worker.argv[2:-2]) == procfile()["worker"]


def test_only_workers_get_the_providers_key():
    """The web process and the sandbox run without the provider's key, whatever our environment holds."""
    sandbox, web, worker = service(Ports(8000, 9000), {})
    assert [child.env.get("RINGBACK_OTPGET_API_KEY", "") for child in (sandbox, web, worker)] == [
        None,
        None,
        "sandbox",
    ]


def test_children_show_no_settings():
    """A child's repr holds neither keys nor addresses with passwords."""
    assert "s3cret" not in repr(service(Ports(8000, None), {"RINGBACK_REDIS_URL": "redis://:s3cret@h/0"}))


def test_up_refuses_a_taken_port(tmp_path, monkeypatch):
    """A port in use is one clear error, and the store is stopped again."""
    monkeypatch.delenv("RINGBACK_REDIS_URL", raising=False)
    monkeypatch.setattr(whole, "port_is_free", lambda port: False)
    with pytest.raises(PortTaken, match="port 8123"):
        up(port=8123, folder=tmp_path)
    assert whole.environment(tmp_path) == {}


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        ({}, "play money"),
        ({"RINGBACK_OTPGET_API_KEY": "pk"}, "provider: OTPGet: real money"),
        ({"RINGBACK_OTPGET_API_KEY": "pk", "RINGBACK_OTPGET_BASE_URL": "http://127.0.0.1:9/stubs"}, "unless it is a"),
    ],
)
def test_up_says_whose_money_it_spends(tmp_path, monkeypatch, capsys, provider, told):
    """Play money, real money, or what only the owner of the address can know."""
    for name in ("RINGBACK_REDIS_URL", "RINGBACK_OTPGET_API_KEY", "RINGBACK_OTPGET_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in provider.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Supervisor, "run", lambda _self: 0)
    assert up(port=free_port(), folder=tmp_path) == 0
    assert told in capsys.readouterr().out


def test_other_terminals_find_the_store(tmp_path, monkeypatch):
    """While `up` runs on a folder, its store and key can be found there; the key is the owner's alone."""
    monkeypatch.delenv("RINGBACK_REDIS_URL", raising=False)
    monkeypatch.delenv("RINGBACK_ENCRYPTION_KEYS", raising=False)
    seen: list[dict[str, str]] = []

    def run(_self: Supervisor) -> int:
        seen.append(whole.environment(tmp_path))
        return 0

    monkeypatch.setattr(Supervisor, "run", run)
    for _ in range(2):
        assert up(port=free_port(), folder=tmp_path) == 0
    assert seen[0] == seen[1]
    assert set(seen[0]) == {"RINGBACK_REDIS_URL", "RINGBACK_ENCRYPTION_KEYS"}
    assert os.stat(tmp_path / "encryption.key").st_mode & 0o077 == 0
