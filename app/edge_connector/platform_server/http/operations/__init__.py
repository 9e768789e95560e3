"""What each operation of the API does, except the fast call endpoint; one method an operation, found by its name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from edge_connector.platform_server.http.api_request import ApiRequest
from edge_connector.platform_server.http.operations.calls import CallOperations
from edge_connector.platform_server.http.operations.credentials import CredentialOperations
from edge_connector.platform_server.http.operations.deployments import DeploymentOperations
from edge_connector.platform_server.http.operations.oauth import OAuthOperations
from edge_connector.platform_server.http.operations.operator import OperatorOperations
from edge_connector.platform_server.http.operations.people import PeopleOperations
from edge_connector.platform_server.http.operations.public import PublicOperations
from edge_connector.platform_server.parts import Parts

Perform = Callable[[ApiRequest], Awaitable[Any]]


class Operations:
    """All operations, in groups."""

    def __init__(self, parts: Parts) -> None:
        self.public = PublicOperations(parts)
        self.oauth = OAuthOperations(parts)
        self.credentials = CredentialOperations(parts)
        self.people = PeopleOperations(parts)
        self.deployments = DeploymentOperations(parts)
        self.calls = CallOperations(parts)
        self.operator = OperatorOperations(parts)

    def named(self, name: str) -> Perform:
        """The coroutine function of an operation of the table."""
        groups = (
            self.public, self.oauth, self.credentials, self.people, self.deployments, self.calls, self.operator
        )  # fmt: skip
        found: list[Perform] = [getattr(group, name) for group in groups if hasattr(group, name)]
        assert len(found) == 1, f"the operation {name} is in one group"
        return found[0]
