"""A connector process on a machine that suspends: what logind, the platform and a person see of it."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from edge_connector.core.errors import NotConnected
from tests.e2e.access import Access
from tests.support.system_bus import VARIABLE, played_logind, private_system_bus

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("dbus-daemon") is None, reason="needs dbus-daemon"
)

TRUTHS = {
    "process": r"pid \d+, up ",
    "link": r"open to ws://",
    "authorised": r"accepted: ",
    "proven": r"\d+\.\d s ago, \d+\.\d+ ms, platform",
}


async def test_a_suspend_from_lid_to_lid(access: Access, home: Path, tmp_path: Path) -> None:
    with private_system_bus(tmp_path) as bus:
        async with played_logind(bus) as logind, access.connector(home, **{VARIABLE: bus.address}) as fixed:
            await logind.until_held()
            shown = await fixed.process.command("status")
            assert shown.code == 0
            for truth, value in TRUTHS.items():
                assert re.search(rf"^  {truth} +{value}", shown.out, re.MULTILINE), (truth, shown.out)
            session = (await fixed.process.status())["link"]["sessionId"]
            await logind.prepare_for_sleep(True)
            await logind.until_released()
            shown = await fixed.process.command("status")
            assert (shown.code, shown.out.splitlines()[0]) == (1, "Asleep")
            assert (await fixed.process.health("/healthz"))[0] == 503
            assert (await fixed.process.health("/livez"))[0] == 200
            with pytest.raises(NotConnected, match="is asleep since 2"):
                await fixed.call("echo", {"message": 1})
            await logind.prepare_for_sleep(False)
            status = await fixed.process.until_state("working")
            assert status["link"]["sessionId"] not in ("", session)
            assert (await fixed.call("echo", {"message": 1})).outcome == "succeeded"
            await logind.until_held()
