"""Finds the tools of a directory: imports each module by file; what fails becomes a problem and the rest serves.

It runs inside the workers; nothing of an author's code is ever imported by the process that keeps the link.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from edge_connector.tools.api import DECLARATION
from edge_connector.tools.schemas import BoundTool, DeclarationError, bind_function, bind_handler

PACKAGE = "edge_connector_local_tools"
"""Private package of the loaded modules, so that they cannot clash with installed ones."""
_FOREIGN_SUFFIXES = (".ts", ".js", ".mjs", ".cjs")


@dataclass(frozen=True, slots=True)
class LoadProblem:
    """Why something is not served; see `calls.ToolProblem`."""

    code: str
    name: str
    message: str
    hint: str = ""
    traceback: str = ""


@dataclass(slots=True)
class LoadedTools:
    """What can be served, and what cannot."""

    tools: dict[str, BoundTool] = field(default_factory=dict)
    problems: list[LoadProblem] = field(default_factory=list)

    def add(self, bound: BoundTool) -> None:
        """Take a tool in, unless its name is taken."""
        other = self.tools.get(bound.name)
        if other is None:
            self.tools[bound.name] = bound
            return
        self.problems.append(
            LoadProblem(
                "tool_name_duplicate",
                bound.name,
                f"The tool {bound.name} stands in {other.origin} and in {bound.origin}; the first one is served.",
                "Rename one of them.",
            )
        )


def add_declared(loaded: LoadedTools, functions: Iterable[Callable[..., Any]], *, source: str, origin: str) -> None:
    """Bind the functions that `@tool` marked."""
    for function in functions:
        try:
            loaded.add(bind_function(function, getattr(function, DECLARATION), source=source, origin=origin))
        except DeclarationError as error:
            loaded.problems.append(LoadProblem(error.code, origin, f"{origin}: {error.message}", error.hint))


def load_directory(
    loaded: LoadedTools, root: Path, *, skip: Iterable[str] = (), announce: Callable[[str], None] | None = None
) -> None:
    """Add the tools of `root/tools`, or of `root` itself when it has no such folder.

    Args:
        root: may also be one Python file.
        skip: file names that are not imported again because they took a worker down.
        announce: told each file name before it is imported.
    """
    if not root.exists():
        loaded.problems.append(
            LoadProblem(
                "implementations_missing",
                str(root),
                f"The directory of tools {root} does not exist.",
                "Create it, or set implementationsPath (CUSTOM_IMPLEMENTATIONS_PATH) to the right one.",
            )
        )
        return
    if root.is_file():
        folder, files = root.parent, [root]
    else:
        folder = root / "tools" if (root / "tools").is_dir() else root
        files = sorted(path for path in folder.iterdir() if path.is_file())
    _refuse_other_languages(loaded, root if root.is_dir() else folder, files)
    for directory in dict.fromkeys((str(folder), str(root if root.is_dir() else folder))):
        if directory not in sys.path:
            sys.path.insert(0, directory)
    # A helper edited twice within a second would be served from its stale cache; and a bundle's files stay as signed.
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    _package(folder)
    for path in files:
        if path.suffix != ".py" or path.name.startswith("_") or path.name in skip:
            continue
        if announce is not None:
            announce(path.name)
        _load_file(loaded, path)


def _refuse_other_languages(loaded: LoadedTools, root: Path, files: list[Path]) -> None:
    foreign = [path.name for path in files if path.suffix in _FOREIGN_SUFFIXES and not path.name.startswith("_")]
    if not foreign:
        if (root / "package.json").is_file():
            foreign = ["package.json"]
        elif _manifest_language(root / "manifest.json") in ("javascript", "typescript"):
            foreign = ["manifest.json"]
    if foreign:
        shown = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else "")
        loaded.problems.append(
            LoadProblem(
                "language_unsupported",
                foreign[0],
                f"{shown} in {root}: JavaScript and TypeScript tools are recognised but cannot be run yet.",
                "Write the tools in Python.",
            )
        )


def _manifest_language(path: Path) -> str:
    try:
        document = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):  # absent, or somebody else's to report
        return ""
    return str(document.get("language", "")).lower() if isinstance(document, dict) else ""


def _package(folder: Path) -> None:
    package = ModuleType(PACKAGE)
    package.__path__ = [str(folder)]
    sys.modules[PACKAGE] = package


def _load_file(loaded: LoadedTools, path: Path) -> None:
    name = f"{PACKAGE}.{path.stem}"
    schema_path = path.with_name(f"{path.stem}.schema.json")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        loaded.problems.append(LoadProblem("module_unreadable", path.name, f"{path} cannot be imported."))
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # also SystemExit and KeyboardInterrupt: the other modules still serve
        sys.modules.pop(name, None)
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        loaded.problems.append(
            LoadProblem(
                "module_import_failed",
                path.name,
                f"{path} cannot be imported: {reason}.",
                "Mend the module; its tools are not served.",
                "".join(traceback.format_exception(error)),
            )
        )
        return
    functions = [value for value in vars(module).values() if _is_declared_in(value, name)]
    add_declared(loaded, functions, source="local", origin=str(path))
    if schema_path.is_file():
        _load_handler(loaded, module, path, schema_path)
    elif not functions and callable(getattr(module, "handler", None)):
        loaded.problems.append(
            LoadProblem(
                "schema_missing",
                path.name,
                f"{path} has a handler but no {schema_path.name} beside it.",
                "Add the schema file, or mark the function with @tool.",
            )
        )


def _is_declared_in(value: Any, module_name: str) -> bool:
    """Functions that a module merely imported belong to the module that defines them."""
    return hasattr(value, DECLARATION) and getattr(value, "__module__", None) == module_name and callable(value)


def _load_handler(loaded: LoadedTools, module: ModuleType, path: Path, schema_path: Path) -> None:
    handler = getattr(module, "handler", None)
    try:
        if not callable(handler):
            raise DeclarationError("handler_missing", "there is no function `handler(parameters, context)`.")
        try:
            document = msgspec.json.decode(schema_path.read_bytes(), type=dict[str, Any])
        except (OSError, msgspec.DecodeError) as error:
            raise DeclarationError("schema_invalid", f"{schema_path.name} cannot be read: {error}.") from error
        loaded.add(bind_handler(handler, path.stem, document, origin=str(path)))
    except DeclarationError as error:
        loaded.problems.append(LoadProblem(error.code, path.name, f"{path}: {error.message}", error.hint))
