"""What an operation is given, and the small things that several of them need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_connector.core.clock import to_iso
from edge_connector.platform_server.identity import Principal


@dataclass(slots=True)
class ApiRequest:
    """A request whose credentials, body and parameters were checked against its operation."""

    caller: Principal | None
    body: Any
    query: Any
    path: dict[str, str]
    address: str

    @property
    def principal(self) -> Principal:
        assert self.caller is not None, "only public operations have no principal"
        return self.caller


def stamp(wall_s: float | None) -> str | None:
    """RFC 3339, or null when it never was."""
    return None if wall_s is None else to_iso(wall_s)
