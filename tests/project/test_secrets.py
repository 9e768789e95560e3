"""The suite's search for secrets finds them: each way out is tried with a leak on purpose, with a watch of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_connector.platform_api import models as api
from edge_connector.tools.environment import scrubbed_environment
from tests.support.secrets import STORES, ProcessStarts, SecretWatch

SECRET = "sec_" + "0123456789abcdef" * 2


@pytest.fixture
def watch() -> SecretWatch:
    watch = SecretWatch()
    watch.learn_answer(api.NewDeployment(id="dep_1", name="edge", secret=SECRET))
    return watch


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not `tmp_path`: that one is searched by the suite's own watch."""
    return tmp_path_factory.mktemp("leaks")


def only(watch: SecretWatch) -> str:
    found = watch.take_found()
    assert len(found) == 1
    assert SECRET not in found[0], "a finding must not tell the secret"
    return found[0]


def test_a_leak_is_named_with_its_place_and_without_the_secret(watch: SecretWatch, folder: Path) -> None:
    watch.search(f"dialling with {SECRET}", "the log")
    assert only(watch) == "a secret (NewDeployment.secret) is in the log at byte 14"
    (folder / "deep").mkdir()
    (folder / "deep" / "connector.log").write_bytes(b"\xff\n" + SECRET.encode())
    watch.search_folder(folder)
    assert "connector.log" in only(watch)
    watch.search("nothing of that kind", "the log")
    assert watch.take_found() == []


def test_after_the_test_a_secret_is_only_looked_for_in_what_tests_share(watch: SecretWatch, folder: Path) -> None:
    watch.forget()
    (folder / "shared.log").write_text(SECRET)
    watch.search_file(folder / "shared.log")
    assert watch.take_found() == []
    watch.search_file(folder / "shared.log", ever=True)
    only(watch)


@pytest.mark.parametrize("name", sorted(STORES))
def test_only_the_field_of_a_store_is_its_place(watch: SecretWatch, folder: Path, name: str) -> None:
    file = folder / name
    file.write_text(f'{{\n  "{STORES[name][0]}" : "{SECRET}"}}')
    watch.search_folder(folder)
    assert watch.take_found() == []
    file.write_text(f'{{"{STORES[name][0]}": "{SECRET}", "note": "{SECRET}"}}')
    watch.search_folder(folder)
    only(watch)


def test_secrets_are_learned_from_stores_and_variables(folder: Path) -> None:
    watch = SecretWatch()
    (folder / "access.json").write_text(f'{{"serverToken": "{SECRET}"}}')
    (folder / "config.json").write_text("[" * 100_000)
    watch.learn_folder(folder)
    watch.learn_variables({"EC_API_TOKEN": "ect_of_a_variable", "DEPLOYMENT_ID": "dep_0123456789ab"})
    watch.search(f"{SECRET} ect_of_a_variable dep_0123456789ab", "a place")
    assert [line.partition(")")[0] for line in watch.take_found()] == [
        "a secret (serverToken of access.json",
        "a secret (the variable EC_API_TOKEN",
    ]


def test_only_the_field_that_shows_a_secret_once_may(watch: SecretWatch) -> None:
    create = ("deployment", "create", "edge", "--json")
    shown = f'{{"id": "dep_1", "secret": "{SECRET}", "run": "DEPLOYMENT_SECRET={SECRET} edge-connector run"}}'
    watch.search(shown, "output", words=create)
    assert watch.take_found() == []
    watch.search(shown, "output", words=("status",))
    only(watch)
    watch.search(shown.replace("dep_1", SECRET), "output", words=create)
    only(watch)


def test_argument_lists_and_worker_environments_are_seen(watch: SecretWatch) -> None:
    starts = ProcessStarts(watch)
    worker = [sys.executable, "-c", "pass", "edge_connector.tools.worker"]
    try:
        subprocess.run([sys.executable, "-c", "pass", SECRET], check=True)
        assert "argument list" in only(watch)
        subprocess.run(worker, check=True, env={**os.environ, "X": SECRET})
        assert "environment" in only(watch)
        subprocess.run(worker, check=True, env=scrubbed_environment({**os.environ, "X": SECRET}))
        assert watch.take_found() == []
    finally:
        starts.is_on = False
    subprocess.run([sys.executable, "-c", "pass", SECRET], check=True)
    assert watch.take_found() == []


async def test_living_processes_are_seen(watch: SecretWatch) -> None:
    wait = "import sys; print(flush=True); sys.stdin.read()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", wait, "edge_connector.tools.worker", SECRET,
        env={**os.environ, "TOKEN": SECRET}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and await process.stdout.readline()
    watch.search_processes(os.getpid())
    found = watch.take_found()
    await process.communicate(b"")
    assert sorted("environment" in line for line in found) == [False, True], found
    assert not any(SECRET in line for line in found)
