"""Feeds the fuzz targets by coverage, with atheris: `python -m tests.fuzz.run [--seconds N] [TARGET ...]`.

Each target runs in a process of its own, because libFuzzer ends the process. A finding is printed and its input kept in
the current directory as `crash-<hash>`; put it into the seeds of the target once it is mended.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MAX_INPUT_BYTES = 4096
MEMORY_MB = 1024
ONE_INPUT_S = 10


def main() -> int:
    """Run the named targets, or all; exit code 1 when one of them found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--here", action="store_true", help="run the one target in this process")
    parser.add_argument("targets", nargs="*")
    given = parser.parse_args()
    if given.here:
        return _fuzz(given.targets[0], given.seconds)
    from tests.fuzz.targets import TARGETS

    failed = []
    for name in given.targets or TARGETS:
        print(f"== {name}", flush=True)
        if not _run_apart(name, given.seconds):
            failed.append(name)
    print(f"found something: {', '.join(failed)}" if failed else "found nothing")
    return 1 if failed else 0


def _run_apart(name: str, seconds: int) -> bool:
    """Whether the target found nothing in a process of its own, whose temporary files go with it."""
    words = [sys.executable, "-m", "tests.fuzz.run", "--here", "--seconds", str(seconds), name]
    with tempfile.TemporaryDirectory(prefix="ec-fuzz-") as folder:
        environment = {**os.environ, "TMPDIR": folder, "XDG_RUNTIME_DIR": folder}
        with subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if not line.startswith(("INFO: ", "WARNING: Failed to find function")):
                    print(line, end="", flush=True)
    return process.returncode == 0


def _fuzz(name: str, seconds: int) -> int:
    import atheris

    with atheris.instrument_imports(include=["edge_connector"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    corpus = Path(tempfile.mkdtemp(prefix="corpus-"))
    for number, seed in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-timeout={ONE_INPUT_S}",
        "-print_final_stats=1",
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *options], target.run)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
