"""Bytes as files and variables that people and other programs write."""

from __future__ import annotations

import os

from edge_connector.auth.claims import check_token
from edge_connector.auth.credentials import find_deployment, find_token
from edge_connector.config.loading import load, validate
from edge_connector.config.settings import SETTINGS
from edge_connector.control.lock import LOCK_FILE, RuntimeLock, read_lock
from edge_connector.core.errors import EdgeError
from tests.fuzz.target import JSON, NOW, Target, expect_sentence, text, work_folder


def config_document(data: bytes) -> None:
    """Any config.json: settings, or an error that names the field."""
    folder = work_folder()
    (folder / "config.json").write_bytes(data)
    try:
        load(folder, {})
    except EdgeError as error:
        expect_sentence(error)
    for problem in validate(folder, {}):
        expect_sentence(problem)
    (folder / "config.json").unlink()


def config_variables(data: bytes) -> None:
    """Any text in any variable: settings, or an error that names the variable or its setting."""
    setting = SETTINGS[data[0] % len(SETTINGS)] if data else SETTINGS[0]
    try:
        load(work_folder(), {setting.variables[0]: text(data[1:])})
    except EdgeError as error:
        expect_sentence(error)
        assert any(word in error.message for word in (setting.key, *setting.variables)), error.message


def saved_files(data: bytes) -> None:
    """Any content of the token and the credentials file: credentials, or an error that quotes nothing of them."""
    folder = work_folder()
    for name, find in (
        ("auth-token.json", lambda config: find_token(config, now=NOW)),
        ("deployment-credentials.json", find_deployment),
    ):
        (folder / name).write_bytes(data)
        try:
            found = find(load(folder, {}))
        except EdgeError as error:
            expect_sentence(error)
        else:
            # It travels in a header.
            assert found is not None, "the file is there"
            assert found.authorization_header.isascii() and found.authorization_header.isprintable(), found
        (folder / name).unlink()


def token_claims(data: bytes) -> None:
    """Any text as a token: what it says, or why it is refused."""
    try:
        check_token(text(data), now=NOW)
    except EdgeError as error:
        expect_sentence(error)


def lock_content(data: bytes) -> None:
    """A lock file left with any content does not keep a connector from starting, nor clients from looking."""
    path = work_folder() / LOCK_FILE
    path.write_bytes(data)
    found = read_lock(path)
    assert found is None or isinstance(found, dict)
    first, second = RuntimeLock(path), RuntimeLock(path)
    first.acquire(lambda: {"pid": os.getpid()})
    try:
        path.write_bytes(data)
        try:
            second.acquire(lambda: {"pid": os.getpid()})
        except EdgeError as error:
            assert error.code == "runtime_already_running"
        else:
            raise AssertionError("locked twice")
    finally:
        first.release()


_PAIR = b'{"deploymentId": "dep_1", "deploymentSecret": "do-not-quote-me"}'
_JWT = b"eyJhbGciOiJFZERTQSJ9.eyJvcmdJZCI6Im8iLCJleHAiOjE5MDAwMDAwMDB9.c2ln"

TARGETS: dict[str, Target] = {
    "config_document": Target(
        config_document,
        (
            b'{"toolRpcUrl": "ws://127.0.0.1:3001", "healthPort": 0, "healthAllowedHosts": ["a.example"]}',
            b'{"deploymentId": "d", "deploymentSecret": "do-not-quote-me", "connectorType": "SERVER"}',
            b'{"toolConcurrency": 1e999, "logLevel": "loud", "unknown": 1, "unknown": 2}',
            b"\xef\xbb\xbf{}",
            b"\xff\xfe{\0}\0",
            *JSON,
        ),
    ),
    "config_variables": Target(
        config_variables,
        tuple(bytes([n]) + word for n in range(0, len(SETTINGS), 3) for word in (b"1", b"ws://h:1/p", b"\xff", b"a,b")),
    ),
    "saved_files": Target(
        saved_files,
        (_PAIR, b'{"token": "' + _JWT + b'"}', b'{"token": 5}', b'{"token": "do-not-quote-me.x.y"}', *JSON),
    ),
    "token_claims": Target(token_claims, (_JWT, b"..", b"a.b.c", b"eyJ9.eyJ9.eyJ9", b"e30.e30.e30", b"\xff")),
    "lock_content": Target(lock_content, (b'{"pid": 1, "control": "/x"}', b'{"pid": true}', b'{"pid": 1e99}', *JSON)),
}  # fmt: skip
