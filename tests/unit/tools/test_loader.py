"""Finding tools in a directory: what serves, and what becomes which problem."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_connector.tools.loader import PACKAGE, LoadedTools, load_directory

HEAD = "from edge_connector.tools import tool, ToolContext\n"


@pytest.fixture(autouse=True)
def _clean_interpreter() -> Iterator[None]:
    path, flag = list(sys.path), sys.dont_write_bytecode
    yield
    sys.path[:], sys.dont_write_bytecode = path, flag
    for name in [name for name in sys.modules if name.startswith((PACKAGE, "helper_of_tests"))]:
        del sys.modules[name]


def load(root: Path) -> LoadedTools:
    loaded = LoadedTools()
    load_directory(loaded, root)
    return loaded


def codes(loaded: LoadedTools) -> list[str]:
    return [problem.code for problem in loaded.problems]


def test_tools_folder_or_the_directory_itself(tmp_path: Path) -> None:
    (tmp_path / "top.py").write_text(HEAD + "@tool\ndef top() -> int: return 1\n")
    assert set(load(tmp_path).tools) == {"top"}
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "inner.py").write_text(HEAD + "@tool\ndef inner() -> int: return 1\n")
    assert set(load(tmp_path).tools) == {"inner"}


def test_helpers_beside_the_tools_and_underscores(tmp_path: Path) -> None:
    (tmp_path / "helper_of_tests.py").write_text(HEAD + "@tool\ndef shared() -> int: return 1\n")
    (tmp_path / "_private.py").write_text("raise RuntimeError('not imported')\n")
    (tmp_path / "user.py").write_text(HEAD + "from helper_of_tests import shared\n@tool\ndef own() -> int: return 1\n")
    loaded = load(tmp_path)
    assert set(loaded.tools) == {"own", "shared"} and loaded.problems == []


def test_a_broken_module_is_a_problem_and_the_rest_serves(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def broken(:\n")
    (tmp_path / "b.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "c.py").write_text(HEAD + "@tool\ndef works() -> int: return 1\n")
    loaded = load(tmp_path)
    assert set(loaded.tools) == {"works"}
    assert codes(loaded) == ["module_import_failed"] * 2
    assert "SyntaxError" in loaded.problems[0].message and "a.py" in loaded.problems[0].traceback
    assert "SystemExit: 3" in loaded.problems[1].message


def test_duplicate_and_invalid_names(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(HEAD + "@tool\ndef same() -> int: return 1\n")
    (tmp_path / "b.py").write_text(
        HEAD + "@tool\ndef same() -> int: return 2\n@tool(name='no blanks')\ndef x() -> int: return 1\n"
        "@tool(risk='nuclear')\ndef y() -> int: return 1\n@tool(timeout_s=0)\ndef z() -> int: return 1\n"
        "@tool\ndef star(*args: int) -> int: return 1\n@tool\ndef odd(a: complex) -> int: return 1\n"
    )
    loaded = load(tmp_path)
    assert set(loaded.tools) == {"same"}
    assert sorted(codes(loaded)) == sorted(
        [
            "tool_name_duplicate",
            "tool_name_invalid",
            "risk_unknown",
            "timeout_invalid",
            "parameter_kind",
            "type_hint_invalid",
        ]
    )
    duplicate = next(problem for problem in loaded.problems if problem.code == "tool_name_duplicate")
    assert "a.py" in duplicate.message and "b.py" in duplicate.message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tool.ts", "export {}"),
        ("tool.mjs", "export {}"),
        ("package.json", "{}"),
        ("manifest.json", '{"language": "TypeScript"}'),
    ],
)
def test_other_languages_are_recognised(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / "a.py").write_text(HEAD + "@tool\ndef works() -> int: return 1\n")
    loaded = load(tmp_path)
    assert codes(loaded) == ["language_unsupported"] and name in loaded.problems[0].message
    assert set(loaded.tools) == {"works"}


def test_a_missing_directory(tmp_path: Path) -> None:
    assert codes(load(tmp_path / "nowhere")) == ["implementations_missing"]


def test_handlers(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("def handler(parameters, context):\n    'Doc.'\n    return parameters\n")
    assert codes(load(tmp_path)) == ["schema_missing"]
    schema = tmp_path / "plain.schema.json"
    schema.write_text(
        '{"title": "Plain", "risk": "read", "repeat": "read", "timeoutS": 5, "parameters": {"type": "object"}}'
    )
    tool = load(tmp_path).tools["plain"]
    assert (tool.title, tool.description, tool.risk, tool.timeout_s) == ("Plain", "Doc.", "read", 5)
    schema.write_text("{nonsense")
    assert codes(load(tmp_path)) == ["schema_invalid"]
    schema.write_text('{"parameters": {"type": 7}}')
    assert codes(load(tmp_path)) == ["schema_invalid"]
    (tmp_path / "plain.py").write_text("x = 1\n")
    assert codes(load(tmp_path)) == ["handler_missing"]
