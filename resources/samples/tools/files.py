"""Files: list them, read them. Both stay inside the data folder."""

from __future__ import annotations

from typing import Annotated

from _places import DATA, inside_data
from msgspec import Meta, Struct

from edge_connector.tools import ToolError, tool

MAX_ENTRIES = 500


class FileEntry(Struct):
    """One file or folder; `size` in bytes, `modified` in Unix seconds."""

    path: str
    folder: bool
    size: int
    modified: float


class TextFile(Struct):
    """The beginning of a text; `truncated` when there is more."""

    path: str
    text: str
    size: int
    truncated: bool


@tool(risk="read", repeat="read")
def listFiles(
    path: Annotated[str, Meta(description="Folder inside the data folder")] = ".",
    pattern: Annotated[str, Meta(description="Names to show, e.g. *.csv")] = "*",
) -> list[FileEntry]:
    """List a folder of the data folder, by name."""
    folder = inside_data(path)
    if not folder.is_dir():
        raise ToolError("not_a_folder", f"{path!r} is a file.", hint="Read it with readTextFile.")
    entries = []
    for entry in sorted(folder.iterdir()):
        if not entry.match(pattern):
            continue
        status = entry.lstat()  # of a link itself, wherever it leads
        entries.append(FileEntry(str(entry.relative_to(DATA)), entry.is_dir(), status.st_size, status.st_mtime))
        if len(entries) == MAX_ENTRIES:
            break
    return entries


@tool(risk="read", repeat="read")
def readTextFile(
    path: Annotated[str, Meta(description="File inside the data folder, e.g. welcome.txt")],
    max_bytes: Annotated[int, Meta(ge=1, le=1_000_000, description="Read no more than this")] = 100_000,
) -> TextFile:
    """Read a UTF-8 text file."""
    file = inside_data(path)
    if not file.is_file():
        raise ToolError("not_a_file", f"{path!r} is a folder.", hint="List it with listFiles.")
    with file.open("rb") as stream:
        data = stream.read(max_bytes)
    if b"\0" in data:
        raise ToolError("not_text", f"{path!r} holds binary data.")
    size = file.stat().st_size
    # A cut may hit the middle of a character: what is incomplete at the end is left out.
    text = data.decode("utf-8", "ignore" if size > len(data) else "replace")
    return TextFile(path, text, size, size > len(data))
