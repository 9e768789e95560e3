"""The container image: its steps really done on a minimal Debian, its process really run as process 1 of its own."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.e2e.access import Access, access_to, set_up
from tests.packaging import containerfile
from tests.packaging.debian import Root, copy_of
from tests.support.documents import ROOT
from tests.support.processes import PlatformProcess
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow_packaging, pytest.mark.timeout(900)]

FILE = ROOT / "installers/container/Containerfile"
SECRETS = ("DEPLOYMENT_SECRET", "AUTH_TOKEN", "EC_API_TOKEN")


@pytest.fixture(scope="module")
def image() -> containerfile.Image:
    return containerfile.read(FILE)


def test_the_image_is_made_for_containers(image: containerfile.Image) -> None:
    assert re.match(r"\S+/debian:bookworm", image.base)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.user)
    assert image.stop_signal == "SIGTERM"
    assert image.ports == [image.environment["HEALTH_PORT"]] == ["8080"]
    expected = {"HEALTH_HOST": "0.0.0.0", "EC_DISABLE_TRAY": "1", "EC_DISABLE_AUTOSTART": "1"}
    assert expected.items() <= image.environment.items()
    assert image.volumes == [image.environment["EC_HOME"]] == [image.folder]
    assert "/livez" in " ".join(image.health)
    assert not set(SECRETS) & image.environment.keys()


def test_compose_hands_the_credentials_in(image: containerfile.Image) -> None:
    service = yaml.safe_load((FILE.parent / "compose.yaml").read_text())["services"]["edge-connector"]
    build = (FILE.parent / service["build"]["context"]).resolve()
    assert build / service["build"]["dockerfile"] == FILE
    for name in ("DEPLOYMENT_ID", "DEPLOYMENT_SECRET", "TOOL_RPC_URL", "PLATFORM_API_URL"):
        assert service["environment"][name].startswith(f"${{{name}:?")
    assert service["volumes"][0].partition(":")[2] in image.volumes
    assert service["ports"][0].startswith("127.0.0.1:")


def test_kubernetes_probes_the_documented_paths(image: containerfile.Image) -> None:
    deployment = yaml.safe_load((ROOT / "installers/kubernetes/edge-connector.yaml").read_text())
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "readiness", "startup")}
    assert paths == {"liveness": "/livez", "readiness": "/healthz", "startup": "/livez"}
    assert str(container["ports"][0]["containerPort"]) in image.ports
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == image.user
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"]["type"] == "Recreate"
    assert container["volumeMounts"][0]["mountPath"] in image.volumes


@pytest.fixture(scope="module")
def built(image: containerfile.Image, debian_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    """The image as a folder."""
    with copy_of(debian_root, tmp_path_factory.mktemp("image") / "root") as root, ExitStack() as mounts:
        environment = same_package_sources(root, mounts)
        containerfile.carry_out(image, ROOT, root, environment=environment)
        yield root


def same_package_sources(root: Root, mounts: ExitStack) -> dict[str, str]:
    """Where pip of this machine finds packages, made available inside; the variables that say so."""
    listed = subprocess.run(["pip3", "config", "list"], capture_output=True, text=True, timeout=60, check=True).stdout
    for folder in sorted(set(re.findall(r"(?:file://)?(/[^\s']+)", listed))):
        source = Path(folder).resolve()
        top = Path(*source.parts[:3])  # links between neighbouring folders stay whole
        inside = root.folder / str(top).lstrip("/")
        if source.is_dir() and not os.path.ismount(inside):
            inside.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "--bind", "-o", "ro", str(top), str(inside)], check=True, timeout=30)
            mounts.callback(subprocess.run, ["umount", str(inside)], check=True, timeout=30)
    variables = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2].upper().replace("-", "_")
        if option in ("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "TIMEOUT", "DEFAULT_TIMEOUT"):
            variables[f"PIP_{option}"] = value.strip("'\"")
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.is_file():  # a proxy's own authority, where there is one
        shutil.copy(certificates, root.folder / "root/ca.crt")
        variables["PIP_CERT"] = "/root/ca.crt"
    return variables


@asynccontextmanager
async def platform(folder: Path) -> AsyncIterator[Access]:
    process = PlatformProcess(folder)
    try:
        await process.until_serving()
        async with access_to(await set_up(process)) as access:
            yield access
    finally:
        await process.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_the_container_connects_is_healthy_and_ends_in_order(
    image: containerfile.Image, built: Root, tmp_path: Path
) -> None:
    assert not (built.folder / "src").exists()
    user, _, group = image.user.partition(":")
    credentials = [
        "setpriv",
        f"--reuid={user}",
        f"--regid={group}",
        "--clear-groups",
        "--no-new-privs",
        "--bounding-set=-all",
    ]

    async with platform(tmp_path / "platform") as access:
        deployment = await access.deploy("container")
        environment = {
            **image.environment,
            "HEALTH_PORT": str(free_port()),  # the host's ports are the container's here
            "TOOL_RPC_URL": access.served.rpc_url, "PLATFORM_API_URL": access.served.api_url,
            "DEPLOYMENT_ID": deployment.id, "DEPLOYMENT_SECRET": deployment.secret,
        }  # fmt: skip
        chroot, unshare = shutil.which("chroot"), shutil.which("unshare")  # PATH is the container's from here on
        assert chroot
        assert unshare
        inside = [chroot, str(built.folder), *credentials, "env", f"--chdir={image.folder}"]
        health = [*inside, *image.health]
        assert subprocess.run(health, env=environment, capture_output=True, timeout=30).returncode != 0

        log = tmp_path / "log"
        with log.open("wb") as file:
            outer = subprocess.Popen(
                [unshare, "--pid", "--fork", "--kill-child", *inside, *image.entrypoint, *image.command],
                env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip
        try:
            await eventually(
                lambda: "connecting -> working" in log.read_text() or outer.poll() is not None,
                what=f"the connector works, see {log}",
            )
            assert outer.poll() is None, log.read_text()
            (first,) = psutil.Process(outer.pid).children()
            assert first.name() == "tini"
            assert first.uids().effective == int(user)
            assert "not running as PID 1" not in log.read_text()
            checked = await asyncio.to_thread(subprocess.run, health, env=environment, capture_output=True, timeout=30)
            assert checked.returncode == 0, checked.stderr
            assert environment["DEPLOYMENT_SECRET"] not in log.read_text()

            first.send_signal(signal.SIGTERM)
            code = await asyncio.to_thread(outer.wait, 30)
            assert code == 0, log.read_text()
            assert "Traceback" not in log.read_text()
        finally:
            outer.kill()
            outer.wait(30)
    refused = subprocess.run(
        [*inside, "edge-connector", "autostart", "enable", "--runtime", "--json"],
        env=environment, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert "autostart_disabled" in refused.stdout
