"""Looks for every secret made in a test run in every output of it: logs, standard output and error of processes, files,
status documents, control answers, argument lists and the environments of tool workers. A hit fails the test.

Secrets are learned where they come into the tests: from the answers of the platform, from the variables that processes
are given, and from the files whose purpose is to hold them. `WATCH` is the suite's one; what is found is told without
the secret.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_connector.control.client import ControlClient
from edge_connector.platform_api.client import PlatformClient

MIN_LENGTH = 12
"""Shorter values given by tests are ordinary words."""
MAX_FILE_BYTES = 64 * 1024 * 1024

STORES = {
    "access.json": ("serverToken",),
    "auth-token.json": ("token", "refreshToken"),
    "config.json": ("deploymentSecret", "apiToken"),
    "deployment-credentials.json": ("deploymentSecret",),
}
"""Files whose purpose is to hold a secret, with the fields that do. Everything else in them is still searched."""

SHOWN_ONCE: dict[tuple[str, ...], re.Pattern[str]] = {
    # `deployment create` shows the new secret as the field `secret` and within the line to run.
    ("deployment", "create"): re.compile(r'(?<="secret": ")[^"]+|(?<=\bDEPLOYMENT_SECRET=)[^\s"\']+'),
    # `platform serve` shows the one-time link on a line of its own.
    ("platform", "serve"): re.compile(r"(?<=/setup\?code=)\S+(?=\n)"),
}
"""First words of the commands whose purpose is to show a secret, and where exactly they do."""

_LEARNED_FIELDS = (
    "secret", "token", "server_token", "session_token", "code", "password", "device_code", "access_token",
    "refresh_token",
)  # fmt: skip
"""Of the platform's answers and of the set-up request."""
_SECRET_VARIABLE = re.compile(r"(SECRET|TOKEN|PASSWORD)$")
_WORKER_WORDS = ("edge_connector.tools.worker", "tool-worker")


class SecretWatch:
    """The secrets known so far and where they were seen."""

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}
        self._ever: dict[bytes, str] = {}
        self._found: list[str] = []
        self._writers: dict[Path, tuple[str, ...]] = {}
        self.bytes_searched = 0
        self.seconds = 0.0

    @property
    def made(self) -> int:
        """How many secrets were learned."""
        return len(self._ever)

    # ---- learning

    def learn(self, secret: object, kind: str) -> None:
        """Look for `secret` from now on; `kind` is what a finding calls it."""
        if isinstance(secret, str) and len(secret) >= MIN_LENGTH:
            self._known[secret.encode()] = self._ever[secret.encode()] = kind

    def learn_answer(self, answer: object) -> None:
        """The secrets in a struct of the platform's API."""
        if isinstance(answer, msgspec.Struct):
            for name in _LEARNED_FIELDS:
                self.learn(getattr(answer, name, None), f"{type(answer).__name__}.{name}")

    def learn_variables(self, variables: Mapping[str, str]) -> None:
        """The secrets in an environment that a process is given."""
        for name, value in variables.items():
            if _SECRET_VARIABLE.search(name):
                self.learn(value, f"the variable {name}")

    def learn_folder(self, folder: Path) -> None:
        """The secrets in the files below `folder` whose purpose is to hold them."""
        for path in _files(folder):
            for field in STORES.get(path.name, ()):
                try:
                    document = json.loads(path.read_bytes())
                except (OSError, ValueError, RecursionError):
                    continue
                if isinstance(document, dict):
                    self.learn(document.get(field), f"{field} of {path.name}")

    def forget(self) -> None:
        """A test ended: its secrets died with its platform. `search_all` still knows them."""
        self._known.clear()

    # ---- searching

    def search(self, output: bytes | str, where: str, *, words: Iterable[str] = ()) -> None:
        """Look for every known secret in `output`.

        Args:
            words: the command line that wrote it, for what it is meant to show.
        """
        self._search(output, where, self._known, tuple(words))

    def expect_log(self, path: Path, words: Iterable[str]) -> None:
        """A process with the command line `words` writes its output to `path`."""
        self._writers[path] = tuple(words)

    def search_file(self, path: Path, *, ever: bool = False) -> None:
        """Look into a file; the fields of `STORES` are what it is for. `ever` looks for the secrets of all tests."""
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                return
            data = path.read_bytes()
        except OSError:
            return
        if path.name in STORES:
            fields = "|".join(STORES[path.name])
            data = re.sub(rb'("(?:%s)"\s*:\s*")[^"]*' % fields.encode(), rb"\1", data)
        self._search(data, f"the file {path}", self._ever if ever else self._known, self._writers.get(path, ()))

    def search_folder(self, folder: Path) -> None:
        """Look into every file below `folder`."""
        for path in _files(folder):
            self.search_file(path)

    def search_processes(self, root: int) -> None:
        """Look at the argument lists of the process `root` and all below it, and at the environments of those below."""
        started = time.perf_counter()
        waiting = [root]
        while waiting:
            pid = waiting.pop()
            folder = Path("/proc") / str(pid)
            try:
                command = (folder / "cmdline").read_bytes()
                environment = (folder / "environ").read_bytes() if pid != root else b""
                for task in (folder / "task").iterdir():
                    waiting += map(int, (task / "children").read_bytes().split())
            except OSError:  # it ended meanwhile
                continue
            name = command.replace(b"\0", b" ").decode(errors="replace")[:60]
            self.search(command, f"the argument list of pid {pid} ({_without(name, self._known)})")
            if pid != root and any(word.encode() in command for word in _WORKER_WORDS):
                self.search(environment, f"the environment of the tool worker {pid}")
        self.seconds += time.perf_counter() - started

    def _search(self, output: bytes | str, where: str, secrets: Mapping[bytes, str], words: tuple[str, ...]) -> None:
        started = time.perf_counter()
        for begin, pattern in SHOWN_ONCE.items():
            if words[: len(begin)] == begin:
                text = output if isinstance(output, str) else output.decode(errors="replace")
                output = pattern.sub("", text)
        data = output.encode(errors="replace") if isinstance(output, str) else output
        self.bytes_searched += len(data)
        for secret, kind in secrets.items():
            if (at := data.find(secret)) >= 0:
                self._found.append(f"a secret ({kind}) is in {where} at byte {at}")
        self.seconds += time.perf_counter() - started

    def take_found(self) -> list[str]:
        """What was found since the last time."""
        found, self._found = self._found, []
        return list(dict.fromkeys(found))


def _without(text: str, secrets: Iterable[bytes]) -> str:
    for secret in secrets:
        text = text.replace(secret.decode(), "...")
    return text


def _files(folder: Path) -> list[Path]:
    found = (Path(root) / name for root, _, names in os.walk(folder) for name in names)
    return [path for path in found if path.is_file() and not path.is_symlink()]  # a named pipe would block


WATCH = SecretWatch()


def observe(watch: SecretWatch, patch: pytest.MonkeyPatch) -> None:
    """Learn from and search what the tests' own clients and process starts carry, wherever a test uses them."""
    call, request = PlatformClient.call, ControlClient.request

    async def observed_call(self: PlatformClient, operation: Any, body: Any = None, **options: Any) -> Any:
        watch.learn_answer(body)
        answer = await call(self, operation, body, **options)
        watch.learn_answer(answer)
        return answer

    async def observed_request(self: ControlClient, method: str, **options: Any) -> Any:
        answer = await request(self, method, **options)
        watch.search(json.dumps(answer, default=repr), f"the control answer to {method}")
        return answer

    patch.setattr(PlatformClient, "call", observed_call)
    patch.setattr(ControlClient, "request", observed_request)


class ProcessStarts:
    """Hears of every process that this one starts (an audit hook, PEP 578): no secret is in argv or goes to workers.

    A hook stays for the life of the interpreter, so it is switched off instead.
    """

    def __init__(self, watch: SecretWatch) -> None:
        self._watch = watch
        self.is_on = True
        sys.addaudithook(self._hook)

    def _hook(self, event: str, details: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen" and self.is_on:
            _, words, _, environment = details
            line = words if isinstance(words, str) else "\0".join(map(os.fsdecode, words))
            self._watch.search(line, "the argument list of a process that was started")
            if environment is not None and any(word in line for word in _WORKER_WORDS):
                pairs = "\0".join(f"{os.fsdecode(k)}={os.fsdecode(v)}" for k, v in environment.items())
                self._watch.search(pairs, "the environment that a tool worker was started with")
