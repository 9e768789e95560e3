"""The tables of a measured document, and where they stand in the documents.

python -m benchmarks.report bench.json            # prints them
python -m benchmarks.report bench.json --write    # puts them into README.md and docs/performance.md
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from benchmarks.beside import beside_table
from benchmarks.call_path import rates_table, ratios_table
from benchmarks.harness import ROOT
from benchmarks.resting import resting_table

MARKS = "<!-- measured -->\n{}\n<!-- end of measured -->"
"""Around what `--write` replaces."""


def report(document: dict[str, Any]) -> str:
    """All tables of what the document holds, as Markdown."""
    tables = []
    if "levels" in document:
        tables += [rates_table(document["levels"]), ratios_table(document["ratios"])]
    if "beside" in document:
        tables.append(beside_table(document))
    if "resting" in document:
        tables.append(resting_table(document["resting"]))
    machine = document["machine"]
    where = f"Measured on {machine['cpus']} processors, {machine['system']}, Python {machine['python']}"
    if "load" in machine:
        where += f", where {machine['load']:.1f} other processes wanted to run before it began"
    return "\n\n".join([where + ".", *tables])


def write(document: dict[str, Any]) -> None:
    """Put the tables into the documents: all into docs/performance.md, the ratios into README.md."""
    _replace(ROOT / "docs" / "performance.md", report(document))
    _replace(ROOT / "README.md", ratios_table(document["ratios"]))


def _replace(page: Path, text: str) -> None:
    pattern = re.compile(re.escape(MARKS).replace(r"\{\}", "(.*?)"), re.DOTALL)
    old = page.read_text()
    new, count = pattern.subn(lambda _: MARKS.format(f"\n{text}\n"), old)
    if count != 1:
        raise SystemExit(f"{page} has no place for the tables")
    page.write_text(new)


def main() -> None:
    """Print or write the tables of one document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("document", type=Path)
    parser.add_argument("--write", action="store_true", help="into README.md and docs/performance.md")
    options = parser.parse_args()
    document = json.loads(options.document.read_text())
    if options.write:
        write(document)
    else:
        print(report(document))


if __name__ == "__main__":
    main()
