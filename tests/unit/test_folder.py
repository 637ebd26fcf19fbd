"""A data folder that is not this user's own is not believed: not its address, not its keys, not its links."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.cli.api import Api
from worker.local import up
from worker.local.processes import FolderLock, NotOurs, check_ours, read_json, read_private, write_private


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of ours as `ringback up` leaves it, in the folder that we are in."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / ".ringback"
    made.mkdir(mode=0o700)
    write_private(made / "up.json", json.dumps({"pid": os.getpid(), "web": "http://127.0.0.1:8123"}))
    write_private(made / "encryption.key", "key")
    return made


def test_a_folder_of_ours_is_believed(folder: Path):
    """Address and key of the service that runs there."""
    assert up.web_address() == "http://127.0.0.1:8123"
    assert up.environment()["RINGBACK_ENCRYPTION_KEYS"] == "key"


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_can_write_is_refused(folder: Path, mode: int):
    """By what finds a running service, by the client that sends an API key, and by `up` itself."""
    folder.chmod(mode)
    for look in (up.web_address, up.environment, lambda: Api(None, "rbk_x"), FolderLock(folder).acquire):
        with pytest.raises(NotOurs, match="writable by others"):
            look()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(folder: Path):
    """However its modes are."""
    os.chown(folder, 65534, 65534)
    with pytest.raises(NotOurs, match="another user"):
        up.environment()


def test_a_folder_that_is_a_link_is_refused(folder: Path, tmp_path: Path):
    """Where it leads is somebody else's say."""
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    with pytest.raises(NotOurs, match="link"):
        check_ours(folder)


@pytest.mark.parametrize("name", ["up.json", "encryption.key"])
@pytest.mark.parametrize("spoil", [lambda p: p.chmod(0o666), lambda p: _linked(p)], ids=["writable", "a link"])
def test_a_file_that_others_can_write_is_refused(folder: Path, name: str, spoil: Callable[[Path], None]):
    """And one that leads elsewhere."""
    spoil(folder / name)
    with pytest.raises(NotOurs):
        read_private(folder / name)
    with pytest.raises(NotOurs):
        up.environment()


def _linked(path: Path) -> None:
    target = path.with_name("target")
    path.rename(target)
    path.symlink_to(target)


def test_an_address_that_is_not_on_this_machine_gets_no_api_key(folder: Path):
    """Even from a file of ours."""
    for web in ("http://evil.example:8000", "http://127.0.0.1.evil.example", "https://10.0.0.1", "http://[::1"):
        write_private(folder / "up.json", json.dumps({"pid": os.getpid(), "web": web}))
        assert up.web_address() is None


def test_writing_follows_no_link(folder: Path, tmp_path: Path):
    """A link that waits at the name is replaced, and what it leads to stays."""
    target = tmp_path / "target"
    target.write_text("mine")
    (folder / "store.json").symlink_to(target)
    write_private(folder / "store.json", "{}")
    assert (target.read_text(), (folder / "store.json").is_symlink()) == ("mine", False)
    (folder / "lock").symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        FolderLock(folder).acquire()


def test_a_file_that_is_none_holds_nobody_up(folder: Path):
    """A pipe that nobody writes to is not waited for."""
    os.mkfifo(folder / "pipe")
    with pytest.raises(NotOurs):
        read_json(folder / "pipe")
