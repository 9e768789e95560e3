"""Entries on Linux: real files in a home of their own, real checkers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_connector.autostart.entry import Kind, Launch
from edge_connector.autostart.linux import LinuxAutostart, configuration_home, lingers
from edge_connector.core.errors import UserError


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "opt" / "my program"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def system(tmp_path: Path) -> LinuxAutostart:
    return LinuxAutostart({"XDG_CONFIG_HOME": str(tmp_path / "config"), "PATH": os.environ["PATH"]})


def launch(program: Path, kind: Kind, directory: str = "/srv/ec one") -> Launch:
    return Launch(kind, Path(directory), (str(program), "--dir", directory))


def test_the_desktop_entry_is_valid_and_read_back(system: LinuxAutostart, program: Path, tmp_path: Path) -> None:
    wanted = launch(program, Kind.DESKTOP)
    system.install(wanted)
    path = tmp_path / "config" / "autostart" / f"{wanted.name}.desktop"
    found = system.find(wanted.name, Kind.DESKTOP)
    assert found is not None
    assert (found.place, found.command, found.directory, found.refusal) == (
        str(path),
        wanted.command,
        "/srv/ec one",
        "",
    )
    ended = subprocess.run(["desktop-file-validate", str(path)], capture_output=True, text=True, timeout=20)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_session_s_own_generator_takes_the_entry(system: LinuxAutostart, program: Path, tmp_path: Path) -> None:
    """systemd turns autostart entries into units when it runs the session: a second reader of the same file."""
    generator = "/usr/lib/systemd/user-generators/systemd-xdg-autostart-generator"
    wanted = launch(program, Kind.DESKTOP)
    system.install(wanted)
    out = tmp_path / "units"
    out.mkdir()
    environment = {
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_CONFIG_DIRS": "/nonexistent",
        "HOME": str(tmp_path),
    }
    subprocess.run([generator, str(out), str(out), str(out)], env=environment, check=True, timeout=20)
    (unit,) = out.glob("app-*.service")
    assert f'"{program}" --dir "/srv/ec one"' in unit.read_text().replace('"--dir"', "--dir")


@pytest.mark.parametrize(
    ("line", "word"),
    [("Hidden=true", "Hidden"), ("X-GNOME-Autostart-enabled=false", "settings"), ("OnlyShowIn=KDE;", "OnlyShowIn")],
)
def test_an_entry_that_the_session_passes_over_is_told(
    system: LinuxAutostart, program: Path, line: str, word: str
) -> None:
    wanted = launch(program, Kind.DESKTOP)
    system.install(wanted)
    path = Path(system.place(wanted.name, Kind.DESKTOP))
    kept = [old for old in path.read_text().splitlines() if old.partition("=")[0] != line.partition("=")[0]]
    path.write_text("\n".join([*kept, line, ""]))
    found = system.find(wanted.name, Kind.DESKTOP)
    assert found is not None
    assert word in found.refusal


def test_the_unit_is_valid_enabled_and_read_back(system: LinuxAutostart, program: Path, tmp_path: Path) -> None:
    wanted = launch(program, Kind.RUNTIME)
    system.install(wanted)
    found = system.find(wanted.name, Kind.RUNTIME)
    assert found is not None
    assert (found.command, found.directory, found.refusal) == (wanted.command, "/srv/ec one", "")
    link = tmp_path / "config/systemd/user/default.target.wants" / f"{wanted.name}.service"
    assert link.resolve() == Path(found.place)
    # `systemctl` itself, asked about the same folder, says enabled.
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config")}
    command = ["systemctl", "--user", "--root=/", "is-enabled", f"{wanted.name}.service"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    assert ended.stdout.strip() == "enabled", ended.stderr


def test_a_unit_that_nothing_asks_for_is_told(system: LinuxAutostart, program: Path, tmp_path: Path) -> None:
    wanted = launch(program, Kind.RUNTIME)
    system.install(wanted)
    shutil.rmtree(tmp_path / "config/systemd/user/default.target.wants")
    found = system.find(wanted.name, Kind.RUNTIME)
    assert found is not None
    assert "not enabled" in found.refusal


def test_a_masked_unit_is_told_and_mended(system: LinuxAutostart, program: Path) -> None:
    wanted = launch(program, Kind.RUNTIME)
    path = Path(system.place(wanted.name, Kind.RUNTIME))
    path.parent.mkdir(parents=True)
    path.symlink_to(os.devnull)
    found = system.find(wanted.name, Kind.RUNTIME)
    assert found is not None
    assert "masked" in found.refusal
    system.install(wanted)
    assert not path.is_symlink()


@pytest.mark.parametrize("kind", Kind)
def test_what_the_checker_refuses_is_not_written(system: LinuxAutostart, tmp_path: Path, kind: Kind) -> None:
    wanted = Launch(kind, Path("/srv/a"), ("relative\x01/\x02", "--dir", "/srv/a"))
    with pytest.raises(UserError) as caught:
        system.install(wanted)
    assert caught.value.code == "autostart_refused"
    assert not list(tmp_path.rglob("edge-connector-*"))


@pytest.mark.parametrize("kind", Kind)
def test_removing_takes_everything_and_lists_it(
    system: LinuxAutostart, program: Path, tmp_path: Path, kind: Kind
) -> None:
    wanted = launch(program, kind)
    system.install(wanted)
    other = launch(program, kind, "/srv/two")
    system.install(other)
    removed = system.remove(system.place(wanted.name, kind), kind)
    assert all(wanted.name in place for place in removed)
    assert not list(tmp_path.rglob(f"{wanted.name}.*"))
    assert [entry.directory for entry in system.entries(kind)] == ["/srv/two"]
    assert system.remove(system.place(wanted.name, kind), kind) == []


@pytest.mark.parametrize("kind", Kind)
def test_a_damaged_entry_is_found_without_a_command(system: LinuxAutostart, kind: Kind) -> None:
    path = Path(system.place("edge-connector-0", kind))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff\xfe\0garbage")
    found = system.find("edge-connector-0", kind)
    assert found is not None
    assert found.command == ()


def test_a_folder_that_cannot_be_written_is_an_error_with_a_cure(tmp_path: Path, program: Path) -> None:
    (tmp_path / "config").write_text("")
    system = LinuxAutostart({"XDG_CONFIG_HOME": str(tmp_path / "config"), "PATH": os.environ["PATH"]})
    with pytest.raises(UserError) as caught:
        system.install(launch(program, Kind.DESKTOP))
    assert caught.value.hint


def test_without_checkers_the_entry_is_written_all_the_same(tmp_path: Path, program: Path) -> None:
    system = LinuxAutostart({"XDG_CONFIG_HOME": str(tmp_path / "config"), "PATH": "/nonexistent"})
    system.install(launch(program, Kind.DESKTOP))
    system.install(launch(program, Kind.RUNTIME))
    assert len(system.entries(Kind.DESKTOP)) == len(system.entries(Kind.RUNTIME)) == 1


def test_configuration_home() -> None:
    assert configuration_home({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}) == Path("/c")
    assert configuration_home({"HOME": "/h", "XDG_CONFIG_HOME": "relative"}) == Path("/h/.config")
    with pytest.raises(UserError, match="no home directory"):
        configuration_home({})


def test_lingering(tmp_path: Path) -> None:
    assert not lingers("someone", tmp_path)
    (tmp_path / "someone").touch()
    assert lingers("someone", tmp_path)
