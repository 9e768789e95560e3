from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_connector.auth.claims import check_token
from edge_connector.config.document import BEGIN, END, settings_table, with_table
from edge_connector.config.loading import load
from edge_connector.config.settings import SETTINGS

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_page_holds_the_current_table() -> None:
    text = PAGE.read_text()
    assert text == with_table(text), "docs/configuration.md is out of date: put the printed table between its markers"


def test_the_table_has_one_row_a_setting_with_equal_columns() -> None:
    lines = settings_table().splitlines()
    assert len(lines) == len(SETTINGS) + 2
    assert {line.count("|") for line in lines} == {6}
    for setting, line in zip(SETTINGS, lines[2:], strict=True):
        for word in (setting.key, *setting.older_keys, *setting.variables):
            assert f"`{word}`" in line


@pytest.mark.parametrize("text", ["", BEGIN, END, END + BEGIN])
def test_a_page_without_both_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="both markers"):
        with_table(text)


def test_a_changed_table_is_replaced_and_the_rest_stays() -> None:
    assert with_table(f"before {BEGIN} old {END} after") == f"before {BEGIN}\n\n{settings_table()}\n{END} after"


def test_the_module_prints_the_table() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge_connector.config.document"], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == settings_table()


def samples() -> dict[str, str]:
    return dict(re.findall(r"`([a-z-]+\.json)`:\n\n```json\n(.*?)```", PAGE.read_text(), re.DOTALL))


def test_the_samples_work(tmp_path: Path) -> None:
    found = samples()
    assert found.keys() == {"config.json", "auth-token.json", "deployment-credentials.json"}
    for name, text in found.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    config = load(tmp_path, {}, strict=True)
    assert config.settings.health_port == 9000
    assert config.warnings == ()
    pair = json.loads(found["deployment-credentials.json"])
    (tmp_path / "config.json").write_text(json.dumps(pair))
    assert load(tmp_path, {}, strict=True).settings.deployment_id == "dep_abc123"
    assert json.loads(found["auth-token.json"]).keys() == {"token"}


def test_the_documented_messages_are_those_of_the_code() -> None:
    with pytest.raises(Exception, match=r"^Token validation failed: the token is empty\.$"):
        check_token("", now=0)
    assert "`Token validation failed: no organization in token`" in PAGE.read_text()
