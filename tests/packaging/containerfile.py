"""Reads a Containerfile and carries out its steps in a Debian in a folder; as much of the format as ours uses."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.packaging.debian import Root


@dataclass
class Image:
    """What the file says: the steps in their order, and how a container of the image runs."""

    base: str = ""
    steps: list[tuple[str, str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    user: str = ""
    folder: str = "/"
    volumes: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    stop_signal: str = ""
    health: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def read(file: Path) -> Image:
    """The image that a Containerfile describes; an instruction that is not known here is an error."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    image = Image()
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        word, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        match word:
            case "":
                continue
            case "FROM":
                image.base = rest
            case "RUN" | "COPY":
                image.steps.append((word, rest))
            case "ENV":
                image.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            case "USER":
                image.user = rest
            case "WORKDIR":
                image.folder = rest
            case "VOLUME":
                image.volumes.append(rest)
            case "EXPOSE":
                image.ports.append(rest)
            case "STOPSIGNAL":
                image.stop_signal = rest
            case "HEALTHCHECK":
                image.health = json.loads(rest.partition(" CMD ")[2])
            case "ENTRYPOINT":
                image.entrypoint = json.loads(rest)
            case "CMD":
                image.command = json.loads(rest)
            case _:
                raise AssertionError(f"{file}: {word} is not understood")
    return image


def carry_out(image: Image, context: Path, root: Root, *, environment: dict[str, str]) -> None:
    """Do the steps in `root`, with files from `context`.

    Args:
        environment: what a build host adds, e.g. where packages come from.
    """
    for word, rest in image.steps:
        if word == "RUN":
            root.run("/bin/sh", "-c", rest, environment=environment, deadline_s=600)
            continue
        *sources, target = rest.split()
        place = root.folder / target.lstrip("/")
        for source in sources:
            found = context / source
            if found.is_dir():
                shutil.copytree(found, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(found, place)
