"""Autostart of an installation on this Linux: proof, moved programs and directories, refusals."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_connector.autostart import facade, program
from edge_connector.autostart.entry import Kind, entry_name
from edge_connector.core.errors import EdgeError, UserError

Environment = dict[str, str]


@pytest.fixture
def environ(tmp_path: Path) -> Environment:
    return {"HOME": str(tmp_path / "user"), "PATH": os.environ["PATH"]}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "installation"
    folder.mkdir()
    return folder


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Path]:
    """Makes this process look like a frozen program in a folder, as the packages install it."""

    def installed(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("edge-connector", "edge-connector-desktop"):
            (folder / name).write_text("#!/bin/sh\n")
            (folder / name).chmod(0o755)
        monkeypatch.setattr(sys, "frozen", True, raising=False)
        monkeypatch.setattr(sys, "executable", str(folder / "edge-connector"))
        return folder

    return installed


@pytest.fixture
def opt(tmp_path: Path, install: Callable[[Path], Path]) -> Path:
    return install(tmp_path / "opt one")


def files(environ: Environment) -> list[Path]:
    return [path for path in Path(environ["HOME"]).rglob("*") if not path.is_dir() or path.is_symlink()]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (Kind.DESKTOP, ("edge-connector-desktop", "--dir", "HOME", "--auto-resume", "--hidden")),
        (Kind.RUNTIME, ("edge-connector", "run", "--dir", "HOME", "--auto-resume")),
    ],
)
def test_enable_status_disable(
    environ: Environment, home: Path, opt: Path, kind: Kind, arguments: tuple[str, ...]
) -> None:
    assert not facade.status(home, kind, environ=environ).enabled
    now = facade.enable(home, kind, environ=environ)
    expected = (str(opt / arguments[0]), *(str(home) if word == "HOME" else word for word in arguments[1:]))
    assert now.command == expected
    assert (now.enabled, now.program_exists, now.would_start, now.problem) == (True, True, True, "")
    assert now == facade.status(home, kind, environ=environ)
    assert facade.enable(home, kind, environ=environ) == now
    removed = facade.disable(home, kind, environ=environ)
    assert removed[0] == now.entry
    assert files(environ) == []
    assert facade.disable(home, kind, environ=environ) == []
    off = facade.status(home, kind, environ=environ)
    assert (off.enabled, off.would_start, off.entry, off.problem) == (False, False, now.entry, "")


@pytest.mark.parametrize("kind", Kind)
def test_a_moved_program_is_told_and_mended(
    environ: Environment, home: Path, opt: Path, tmp_path: Path, install: Callable[[Path], Path], kind: Kind
) -> None:
    before = facade.enable(home, kind, environ=environ)
    moved = tmp_path / "opt two"
    opt.rename(moved)
    install(moved)
    now = facade.status(home, kind, environ=environ)
    assert (now.enabled, now.program_exists, now.would_start) == (True, False, False)
    assert before.command[0] in now.problem
    assert str(moved) in now.problem
    assert "autostart enable" in now.fix
    assert str(home) in now.fix
    mended = facade.enable(home, kind, environ=environ)
    assert mended.would_start
    assert mended.command[0].startswith(str(moved))
    assert mended.entry == before.entry


def test_another_program_that_still_exists_is_told(
    environ: Environment, home: Path, opt: Path, tmp_path: Path, install: Callable[[Path], Path]
) -> None:
    facade.enable(home, environ=environ)
    install(tmp_path / "newer")
    now = facade.status(home, environ=environ)
    assert now.would_start  # the old program would serve this directory
    assert "but this installation is" in now.problem


def test_a_program_that_may_not_be_executed_would_not_start(environ: Environment, home: Path, opt: Path) -> None:
    facade.enable(home, environ=environ)
    (opt / "edge-connector-desktop").chmod(0o644)
    now = facade.status(home, environ=environ)
    assert (now.program_exists, now.would_start) == (False, False)


def test_arguments_of_another_version_are_told_and_mended(environ: Environment, home: Path, opt: Path) -> None:
    entry = Path(facade.enable(home, environ=environ).entry)
    entry.write_text(entry.read_text().replace(" --hidden", ""))
    assert "other arguments" in facade.status(home, environ=environ).problem
    assert facade.enable(home, environ=environ).problem == ""


def test_an_entry_switched_off_by_the_session_would_not_start(environ: Environment, home: Path, opt: Path) -> None:
    entry = Path(facade.enable(home, environ=environ).entry)
    entry.write_text(entry.read_text() + "Hidden=true\n")
    now = facade.status(home, environ=environ)
    assert (now.enabled, now.program_exists, now.would_start) == (True, True, False)
    assert "Hidden" in now.problem
    assert facade.enable(home, environ=environ).would_start


def test_a_damaged_entry_is_told_and_mended(environ: Environment, home: Path, opt: Path) -> None:
    entry = Path(facade.enable(home, environ=environ).entry)
    entry.write_bytes(b"\0\xff")
    now = facade.status(home, environ=environ)
    assert (now.enabled, now.would_start) == (True, False)
    assert "cannot be read" in now.problem
    assert facade.enable(home, environ=environ).would_start


def test_installations_have_entries_of_their_own(environ: Environment, home: Path, opt: Path, tmp_path: Path) -> None:
    other = tmp_path / "second"
    other.mkdir()
    one, two = (facade.enable(place, environ=environ) for place in (home, other))
    assert one.entry != two.entry
    facade.disable(other, environ=environ)
    assert facade.status(home, environ=environ).would_start
    assert not facade.status(other, environ=environ).enabled


def test_the_entry_of_a_moved_directory_is_told_and_cleared_away(
    environ: Environment, home: Path, opt: Path, tmp_path: Path
) -> None:
    old = facade.enable(home, environ=environ)
    new = home.rename(tmp_path / "moved")
    now = facade.status(new, environ=environ)
    assert not now.enabled
    assert now.abandoned == (old.entry,)
    assert old.entry in now.problem
    assert facade.enable(new, environ=environ).abandoned == ()
    assert not Path(old.entry).exists()


def test_the_entry_of_an_unmounted_disk_is_left_alone(
    environ: Environment, home: Path, opt: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "media" / "installation"
    disk.mkdir(parents=True)
    elsewhere = facade.enable(disk, environ=environ)
    shutil.rmtree(disk.parent)
    assert facade.status(home, environ=environ).abandoned == ()
    facade.enable(home, environ=environ)
    assert Path(elsewhere.entry).exists()


@pytest.mark.parametrize("kind", Kind)
def test_the_variable_refuses_and_nothing_is_written(environ: Environment, home: Path, opt: Path, kind: Kind) -> None:
    environ["EC_DISABLE_AUTOSTART"] = "1"
    with pytest.raises(UserError) as caught:
        facade.enable(home, kind, environ=environ)
    assert caught.value.code == "autostart_disabled"
    assert "environment EC_DISABLE_AUTOSTART" in caught.value.message
    assert files(environ) == []
    assert not Path(environ["HOME"]).exists()


def test_the_setting_refuses_too(environ: Environment, home: Path, opt: Path) -> None:
    (home / "config.json").write_text('{"disableAutostart": true}')
    with pytest.raises(UserError, match=r"config\.json"):
        facade.enable(home, environ=environ)
    assert files(environ) == []


def test_status_and_disable_work_where_enabling_is_refused(environ: Environment, home: Path, opt: Path) -> None:
    facade.enable(home, environ=environ)
    environ["EC_DISABLE_AUTOSTART"] = "1"
    assert facade.status(home, environ=environ).would_start
    assert facade.disable(home, environ=environ)


@pytest.mark.parametrize("name", ["new\nline", "tab\there", "bell\x07"])
def test_a_directory_that_no_entry_can_carry_is_refused(
    environ: Environment, opt: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(UserError) as caught:
        facade.enable(tmp_path / name, environ=environ)
    assert caught.value.code == "autostart_path"
    assert files(environ) == []


@pytest.mark.parametrize("char", ["=", "%"])
def test_a_program_that_no_entry_can_start_is_refused(
    environ: Environment, home: Path, tmp_path: Path, install: Callable[[Path], Path], char: str
) -> None:
    install(tmp_path / f"a{char}b")
    with pytest.raises(UserError, match=char):
        facade.enable(home, environ=environ)


def test_a_frozen_build_without_its_desktop_program_is_refused(environ: Environment, home: Path, opt: Path) -> None:
    (opt / "edge-connector-desktop").unlink()
    with pytest.raises(UserError) as caught:
        facade.enable(home, environ=environ)
    assert caught.value.code == "autostart_no_program"


def test_this_environment_s_own_command_is_found(home: Path) -> None:
    launch = program.launch_of(home, Kind.RUNTIME)
    assert program.program_exists(launch.command)
    assert Path(launch.command[0]).parent == Path(sys.executable).parent


def test_a_user_without_home_is_refused(home: Path, opt: Path) -> None:
    with pytest.raises(EdgeError, match="no home directory"):
        facade.enable(home, environ={})


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_each_system_has_its_own(environ: Environment, platform: str) -> None:
    if platform == "win32":
        with pytest.raises(UserError, match="Only Windows"):
            facade.system_of(environ, platform)
        return
    place = facade.system_of(environ, platform).place(entry_name(Path("/a")), Kind.DESKTOP)
    assert place.startswith(environ["HOME"])


def test_the_facade_drives_a_launch_agent_alike(environ: Environment, home: Path, opt: Path) -> None:
    system = facade.system_of(environ, "darwin")
    for kind in Kind:
        now = facade.enable(home, kind, environ=environ, system=system)
        assert now.would_start
        assert facade.disable(home, kind, environ=environ, system=system) == [now.entry]
