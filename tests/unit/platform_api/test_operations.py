"""The table of operations is consistent in itself."""

from __future__ import annotations

from edge_connector.platform_api.operations import OPERATIONS, Scope


def test_names_and_routes_are_unique() -> None:
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
    assert len({(operation.method, operation.path) for operation in OPERATIONS}) == len(OPERATIONS)


def test_what_changes_the_organization_needs_the_scope_for_it() -> None:
    allowed = {"setup", "createSessionToken", "createCall", "cancelCall", "uploadResult"}
    allowed |= {"deviceAuthorization", "oauthToken", "oauthRevoke", "endSession"}
    # Of these a member may use those that concern the own desktop, a deployment its own secret.
    allowed |= {"registerDesktop", "rotateDeploymentSecret", "endOldDeploymentSecret"}
    changing = {operation.name for operation in OPERATIONS if operation.method != "GET"} - allowed
    assert {operation.name for operation in OPERATIONS if operation.scope in (Scope.MANAGE, Scope.OPERATE)} >= changing
