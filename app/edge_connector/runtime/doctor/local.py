"""Checks of this machine and the installation directory: nothing here uses the network."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import stat
import time
from pathlib import Path

import psutil

from edge_connector.config.loading import load, validate
from edge_connector.config.paths import InstallationPaths, prepare_directory
from edge_connector.control.lock import RuntimeLock, lock_holder, read_lock
from edge_connector.core.checks import Check, Finding, fail, ok, warn
from edge_connector.core.errors import EdgeError, NotConnected
from edge_connector.net.ports import holder_of
from edge_connector.runtime.doctor.subject import Subject

MIB = 1024 * 1024
DISK_WARN, DISK_FAIL = 1024 * MIB, 64 * MIB
MEMORY_WARN, MEMORY_FAIL = 256 * MIB, 64 * MIB
LOAD_WARN = 4.0
"""Processes that want to run for each processor."""
LEFT_OVER_S = 3600.0
"""A temporary file of an interrupted write is left over when it is this old."""


async def _configuration(subject: Subject) -> Finding:
    found = validate(subject.directory, subject.environ)
    try:
        loaded = load(subject.directory, subject.environ, subject.flags)
    except EdgeError as error:
        more = f" ({len(found) - 1} more: `edge-connector config validate`)" if len(found) > 1 else ""
        return fail(error.message + more, error.hint)
    if found:
        return warn(" ".join(error.message for error in found), " ".join(error.hint for error in found))
    given = sum(1 for origin in loaded.origins.values() if str(origin) != "default")
    place = subject.paths.config_file if subject.paths.config_file.exists() else "no config.json"
    return ok(f"{len(loaded.origins)} settings, {given} of them given ({place})")


async def _directory(subject: Subject) -> Finding:
    directory = subject.directory
    if not directory.exists():
        parent = _existing(directory)
        if not os.access(parent, os.W_OK):
            return fail(
                f"{directory} does not exist, and {parent} may not be written by this user",
                "Choose another directory with --dir or EC_HOME.",
            )
        return ok(f"{directory} does not exist yet; the first `run` makes it")
    await asyncio.to_thread(prepare_directory, directory)
    open_to_others = await asyncio.to_thread(_open_to_others, subject)
    mode = stat.S_IMODE(directory.stat().st_mode)
    if open_to_others:
        shown = ", ".join(f"{path.name or path} (mode {_mode(path):04o})" for path in open_to_others[:3])
        return warn(
            f"other users may read or change {shown}",
            "Run `edge-connector doctor --fix`, or: chmod go-rwx " + " ".join(str(path) for path in open_to_others[:3]),
            lambda: _close_to_others(open_to_others),
        )
    return ok(f"{directory}: mode {mode:04o}, can be written")


def _open_to_others(subject: Subject) -> list[Path]:
    """Own files with secrets that others may read, and own folders that others may write to."""
    paths = subject.paths
    secret = [paths.instance_file, paths.lock_file, paths.ledger_file]
    try:
        settings = subject.loaded.settings
    except EdgeError:
        pass
    else:
        secret += [settings.auth_token_path, settings.deployment_credentials_path]
        if any(str(origin) == "config.json" for name, origin in subject.loaded.origins.items() if "secret" in name):
            secret.append(paths.config_file)
    private = [path for path in secret if path.is_file() and _is_mine(path) and _mode(path) & 0o077]
    folders = [paths.directory, paths.logs, paths.scratch]
    return private + [path for path in folders if path.is_dir() and _is_mine(path) and _mode(path) & 0o022]


def _close_to_others(paths: list[Path]) -> str:
    for path in paths:
        # A directory may be meant to be read by a group; nobody else may change it.
        path.chmod(_mode(path) & (0o755 if path.is_dir() else 0o700))
    return "taken from other users: " + ", ".join(str(path) for path in paths)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _is_mine(path: Path) -> bool:
    return path.stat().st_uid == os.getuid()


async def _lock(subject: Subject) -> Finding:
    path = subject.paths.lock_file
    holder = await asyncio.to_thread(lock_holder, path)
    left = None if holder is not None else await asyncio.to_thread(_left_over, subject.paths)
    if holder is not None:
        content = read_lock(path)
        if content is None:
            return warn(
                f"pid {holder} holds this directory, but {path.name} was deleted or damaged",
                "Nothing to do: the connector writes it again within seconds.",
            )
        since = content.get("startedAt", "an unknown moment")
        return ok(f"held by pid {holder} ({content.get('program', 'unknown program')}) since {since}")
    if path.exists():
        pid = (read_lock(path) or {}).get("pid", "unknown")
        return warn(
            f"{path} was left by a crash (pid {pid} holds it no more)",
            f"Nothing has to be done: the next `run` takes it over. To remove it: rm {path}",
            lambda: _remove_stale_lock(subject.paths),
        )
    if left:
        shown = ", ".join(str(path) for path in left[:3])
        return warn(
            f"{len(left)} left over from an interrupted run: {shown}",
            "Run `edge-connector doctor --fix` to remove them.",
            lambda: _remove_left_over(subject.paths),
        )
    return ok(f"free: no process holds {subject.directory}")


def _left_over(paths: InstallationPaths) -> list[Path]:
    """Scratch folders and temporary files that no process uses any more; nobody may hold the lock."""
    found = list(paths.scratch.glob("worker-*"))
    for name in (paths.config_file.name, paths.instance_file.name, "auth-token.json", "deployment-credentials.json"):
        temporary = paths.directory.glob(f".{name}.*")
        found += [path for path in temporary if time.time() - path.lstat().st_mtime > LEFT_OVER_S]
    return found


def _remove_stale_lock(paths: InstallationPaths) -> str:
    lock = RuntimeLock(paths.lock_file)
    # Taken first: whoever starts at this moment keeps it.
    lock.acquire(lambda: {"pid": os.getpid(), "program": "edge-connector doctor"})
    lock.release()
    return f"removed {paths.lock_file}"


def _remove_left_over(paths: InstallationPaths) -> str:
    lock = RuntimeLock(paths.lock_file)
    lock.acquire(lambda: {"pid": os.getpid(), "program": "edge-connector doctor"})
    try:
        found = _left_over(paths)
        for path in found:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    finally:
        lock.release()
    return f"removed {len(found)} left over in {paths.directory}"


async def _runtime(subject: Subject) -> Finding:
    try:
        running = await subject.running()
    except NotConnected as error:
        return fail(error.message, error.hint)
    if running is None:
        holder = await asyncio.to_thread(lock_holder, subject.paths.lock_file)
        if holder is not None:
            return warn(f"pid {holder} holds the directory, but answers no commands", "It is starting or stopping.")
        return warn("no connector runs for this directory", "Start it with `edge-connector run`.")
    status = running.status
    process = status["process"]
    seen = f"pid {process['pid']}, up {process['uptimeS']:.0f} s: {status['sentence']}"
    problems = status["problems"]
    if not problems:
        return ok(seen)
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    worst = warn if first["severity"] == "warning" else fail
    return worst(f"{seen}. {first['sentence']}{more}", first["fix"])


async def _port(subject: Subject) -> Finding:
    settings = subject.loaded.settings
    port, host = settings.health_port, settings.health_host
    running = await subject.connector()
    if running is not None:
        served = running.status["health"]["port"]
        pid = running.status["process"]["pid"]
        if port not in (0, served):
            return warn(
                f"healthPort is {port}, but the connector (pid {pid}) listens on {served}",
                "Restart the connector, or set HEALTH_PORT to the port that is used.",
            )
        return ok(f"port {served} is held by this connector (pid {pid})")
    if port == 0:
        return ok("healthPort 0: any free port is taken")
    try:
        await asyncio.to_thread(_bind, host, port)
    except OSError as error:
        holder = await asyncio.to_thread(holder_of, port)
        named = f"{holder[0]} (pid {holder[1]})" if holder else "another program"
        why = (
            f"is taken by {named}"
            if error.errno == errno.EADDRINUSE
            else f"cannot be listened on: {error.strerror or error}"
        )
        return fail(
            f"port {port} on {host} {why}",
            "Set HEALTH_PORT to a free port (0 lets the system choose one).",
        )
    return ok(f"port {port} on {host} is free")


def _bind(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as listener:
        # As the server does: a connection that just ended is no holder.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1)


async def _disk(subject: Subject) -> Finding:
    place = _existing(subject.directory)
    usage = await asyncio.to_thread(shutil.disk_usage, place)
    inodes = os.statvfs(place)
    seen = f"{usage.free // MIB} MiB of {usage.total // MIB} MiB free at {place}"
    if usage.free < DISK_FAIL:
        return fail(seen, "Free some space: ledger, log and tools cannot write.")
    if usage.free < DISK_WARN:
        return warn(seen, f"Free some space; below {DISK_FAIL // MIB} MiB nothing can be written reliably.")
    if inodes.f_files and inodes.f_favail < 1000:
        return warn(f"{seen}, but only {inodes.f_favail} more files can be made", "Remove files that nobody needs.")
    return ok(seen)


async def _memory(subject: Subject) -> Finding:
    memory = psutil.virtual_memory()
    load, cpus = os.getloadavg()[0], os.cpu_count() or 1
    seen = f"{memory.available // MIB} MiB of {memory.total // MIB} MiB available, load {load:.1f} on {cpus} processors"
    if memory.available < MEMORY_FAIL:
        return fail(
            seen, "End programs that nobody needs, or give the machine more memory: tools cannot work like this."
        )
    if memory.available < MEMORY_WARN:
        return warn(seen, "Tools may fail for want of memory; lower EC_TOOL_CONCURRENCY or give the machine more.")
    if load / cpus > LOAD_WARN:
        return warn(seen, "Tool calls may be slow and time out; look at `top` for what needs the processors.")
    return ok(seen)


async def _logs(subject: Subject) -> Finding:
    folder = subject.paths.logs
    if not folder.exists():
        return ok(f"{folder} does not exist yet; the first `run` makes it")
    if not folder.is_dir():
        return fail(f"{folder} is a file where a directory is needed", "Remove or rename it.")
    files = [path for path in folder.iterdir() if path.is_file()]
    refused = [path for path in (folder, *files) if not os.access(path, os.W_OK)]
    if refused:
        return fail(
            f"{refused[0]} may not be written by this user",
            f"Give this user the rights, e.g.: chown -R {os.getuid()} {folder}",
        )
    size = sum(path.stat().st_size for path in files)
    return ok(f"{len(files)} files, {size / MIB:.1f} MiB in {folder}; `edge-connector logs` shows them")


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


LOCAL_CHECKS: tuple[Check[Subject], ...] = (
    Check(
        id="configuration",
        what="configuration",
        looks_at="`config.json`, variables and options. Fails on what cannot be used, warns about unknown keys.",
        run=_configuration,
    ),
    Check(
        id="directory",
        what="installation directory",
        looks_at="Whether it can be written, and whether other users may read secrets or change files in it.",
        mends="Takes the rights of other users from own files with secrets and own folders.",
        run=_directory,
    ),
    Check(
        id="disk",
        what="disk",
        looks_at=f"Free space at the directory. Warns below {DISK_WARN // MIB} MiB, fails below "
        f"{DISK_FAIL // MIB} MiB.",
        run=_disk,
    ),
    Check(
        id="memory",
        what="memory and load",
        looks_at=f"Available memory (warns below {MEMORY_WARN // MIB} MiB, fails below {MEMORY_FAIL // MIB} MiB) and "
        f"the load (warns above {LOAD_WARN:g} for each processor).",
        run=_memory,
    ),
    Check(
        id="logs",
        what="log folder",
        looks_at="Whether the log can be written, and its size.",
        run=_logs,
        needs=("directory",),
    ),
    Check(
        id="lock",
        what="lock",
        looks_at="Who holds `edge-runtime.lock`; warns about a stale one and about what an interrupted run left.",
        mends="Removes a stale lock, scratch folders and temporary files that nobody uses.",
        run=_lock,
        needs=("directory",),
    ),
    Check(
        id="runtime",
        what="running connector",
        looks_at="Whether a connector runs and answers, its state, and its worst problem with the cure.",
        run=_runtime,
    ),
    Check(
        id="port",
        what="health port",
        looks_at="Whether the health port is free or held by this connector; names another holder.",
        run=_port,
        needs=("configuration",),
    ),
)
