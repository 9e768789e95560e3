"""LaunchAgents: real property lists in a home of their own, read by plistlib and by libplist's own tool."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_connector.autostart.entry import Kind, Launch
from edge_connector.autostart.macos import MacAutostart
from edge_connector.core.errors import UserError
from tests.unit.autostart.launches import HARD_WORDS


@pytest.fixture
def system(tmp_path: Path) -> MacAutostart:
    return MacAutostart({"HOME": str(tmp_path)})


LAUNCH = {kind: Launch(kind, Path("/srv/a <&> b"), ("/opt/x", *HARD_WORDS)) for kind in Kind}


@pytest.mark.parametrize("kind", Kind)
def test_the_agent_is_a_property_list_and_read_back(system: MacAutostart, tmp_path: Path, kind: Kind) -> None:
    launch = LAUNCH[kind]
    system.install(launch)
    found = system.find(launch.name, kind)
    assert found is not None
    assert (found.command, found.directory, found.refusal) == (launch.command, "/srv/a <&> b", "")
    path = Path(found.place)
    assert path.parent == tmp_path / "Library" / "LaunchAgents"
    agent = plistlib.loads(path.read_bytes())
    assert agent["Label"] == path.stem
    assert agent["RunAtLoad"] is True
    assert ("KeepAlive" in agent) is (kind is Kind.RUNTIME)
    assert ("LimitLoadToSessionType" in agent) is (kind is Kind.DESKTOP)
    tool = shutil.which("plistutil")
    assert tool, "libplist-utils is not installed"
    ended = subprocess.run([tool, "-i", str(path), "-o", "-", "-f", "xml"], capture_output=True, timeout=20)
    assert plistlib.loads(ended.stdout) == agent


def test_both_kinds_of_one_installation_stand_side_by_side(system: MacAutostart) -> None:
    for launch in LAUNCH.values():
        system.install(launch)
    assert [len(system.entries(kind)) for kind in Kind] == [1, 1]
    place = system.place(LAUNCH[Kind.DESKTOP].name, Kind.DESKTOP)
    assert system.remove(place, Kind.DESKTOP) == [place]
    assert system.remove(place, Kind.DESKTOP) == []
    assert [len(system.entries(kind)) for kind in Kind] == [0, 1]


@pytest.mark.parametrize(
    "data",
    [b"", b"garbage", b"<plist><dict><key>", b"bplist00", plistlib.dumps({}), plistlib.dumps({"ProgramArguments": 5}),
     plistlib.dumps({"ProgramArguments": [1]}), plistlib.dumps([])],
)  # fmt: skip
def test_a_damaged_agent_is_found_without_a_command(system: MacAutostart, data: bytes) -> None:
    path = Path(system.place("edge-connector-0", Kind.DESKTOP))
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    found = system.find("edge-connector-0", Kind.DESKTOP)
    assert found is not None
    assert found.command == ()


@pytest.mark.parametrize(("change", "word"), [({"Disabled": True}, "Disabled"), ({"RunAtLoad": False}, "RunAtLoad")])
def test_an_agent_that_launchd_passes_over_is_told(system: MacAutostart, change: dict[str, bool], word: str) -> None:
    launch = LAUNCH[Kind.DESKTOP]
    system.install(launch)
    path = Path(system.place(launch.name, Kind.DESKTOP))
    path.write_bytes(plistlib.dumps(plistlib.loads(path.read_bytes()) | change))
    found = system.find(launch.name, Kind.DESKTOP)
    assert found is not None
    assert word in found.refusal


def test_a_user_without_home_is_refused() -> None:
    with pytest.raises(UserError, match="no home directory"):
        MacAutostart({})
