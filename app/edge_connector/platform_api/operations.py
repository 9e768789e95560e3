"""The table of the platform's HTTP operations: routes, client, OpenAPI document and access table come from it.

It says what exists and who may use it, not how it is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec

from edge_connector.platform_api import models as m
from edge_connector.platform_api import oauth as o
from edge_connector.platform_api import people as p

Req = TypeVar("Req")
Res = TypeVar("Res")


class Scope(StrEnum):
    """What credentials must allow."""

    PUBLIC = "public"
    """No credentials needed."""
    IDENTITY = "identity"
    """Any valid credentials, a deployment's too."""
    CALLS = "calls"
    """See and call tools: server tokens and users."""
    MANAGE = "manage"
    """Change the organization: server tokens and admins."""
    OPERATE = "operate"
    """Look after the whole platform: whoever can read its signing key."""


@dataclass(frozen=True, slots=True)
class Operation(Generic[Req, Res]):
    """One HTTP operation.

    Attributes:
        path: with `{name}` for each path parameter.
        request: struct of the JSON body, None when there is none.
        response: struct of the answer, or `dict` for a free document.
        query: struct of the query parameters, None when there are none.
        media_type: of the answer; text when it is not JSON.
        optional_body: whether the body may be left out; then all its defaults hold.
        raw_body: whether the body is any JSON, as large as a result may be.
        oauth: whether the body is a form and refusals have the form of OAuth (RFC 6749, section 5.2).
    """

    name: str
    method: str
    path: str
    request: type[Req] | None
    response: type[Res]
    scope: Scope
    summary: str
    status: int = 200
    query: type[msgspec.Struct] | None = None
    optional_body: bool = False
    media_type: str = "application/json"
    raw_body: bool = False
    oauth: bool = False


SETUP = Operation(
    "setup", "POST", "/api/v1/setup", m.SetupRequest, m.SetupReply, Scope.PUBLIC,
    "Make the first organization with the one-time code", 201,
)  # fmt: skip
JWKS: Operation[None, m.Jwks] = Operation(
    "jwks", "GET", "/.well-known/jwks.json", None, m.Jwks, Scope.PUBLIC, "Public keys of session tokens"
)
OPENAPI: Operation[None, dict[str, Any]] = Operation(
    "openapi", "GET", "/api/v1/openapi.json", None, dict[str, Any], Scope.PUBLIC, "This document"
)
LIVEZ: Operation[None, m.Health] = Operation(
    "livez", "GET", "/livez", None, m.Health, Scope.PUBLIC, "Whether the process answers"
)
HEALTHZ: Operation[None, m.Health] = Operation(
    "healthz", "GET", "/healthz", None, m.Health, Scope.PUBLIC, "Whether the platform serves"
)
METRICS: Operation[None, str] = Operation(
    "metrics", "GET", "/metrics", None, str, Scope.MANAGE, "Counters for monitoring, as Prometheus text",
    media_type="text/plain; version=0.0.4; charset=utf-8",
)  # fmt: skip
WHOAMI: Operation[None, m.Whoami] = Operation(
    "whoami", "GET", "/api/v1/whoami", None, m.Whoami, Scope.IDENTITY, "Who the credentials stand for"
)
CREATE_SESSION_TOKEN = Operation(
    "createSessionToken", "POST", "/api/v1/session-tokens", m.SessionTokenRequest, m.SessionTokenReply, Scope.CALLS,
    "Make a JWT for the user behind the credentials", 201, optional_body=True,
)  # fmt: skip
DEVICE_AUTHORIZATION = Operation(
    "deviceAuthorization", "POST", "/oauth/device_authorization", o.DeviceAuthorizationRequest, o.DeviceAuthorization,
    Scope.PUBLIC, "Begin the sign-in of a connector: codes for a person to approve (RFC 8628)", oauth=True,
)  # fmt: skip
OAUTH_TOKEN = Operation(
    "oauthToken", "POST", "/oauth/token", o.TokenRequest, o.TokenReply, Scope.PUBLIC,
    "Tokens for an approved device code, or new ones for a refresh token (RFC 6749)", oauth=True,
)  # fmt: skip
OAUTH_REVOKE = Operation(
    "oauthRevoke", "POST", "/oauth/revoke", o.RevokeRequest, o.Revoked, Scope.PUBLIC,
    "End the sign-in that a token belongs to (RFC 7009)", oauth=True,
)  # fmt: skip
SERVER_METADATA: Operation[None, o.ServerMetadata] = Operation(
    "serverMetadata", "GET", "/.well-known/oauth-authorization-server", None, o.ServerMetadata, Scope.PUBLIC,
    "What the OAuth endpoints offer (RFC 8414)",
)  # fmt: skip
LIST_ORGANIZATIONS: Operation[None, p.OrganizationList] = Operation(
    "listOrganizations", "GET", "/api/v1/organizations", None, p.OrganizationList, Scope.CALLS,
    "List the organizations of the person",
)  # fmt: skip
CREATE_ORGANIZATION = Operation(
    "createOrganization", "POST", "/api/v1/organizations", p.OrganizationRequest, p.Organization, Scope.MANAGE,
    "Make another organization; the person becomes its admin", 201,
)  # fmt: skip
LIST_MEMBERS: Operation[None, p.MemberList] = Operation(
    "listMembers", "GET", "/api/v1/members", None, p.MemberList, Scope.MANAGE, "List the organization's members"
)
SET_ROLE = Operation(
    "setMemberRole", "PUT", "/api/v1/members/{id}/role", p.RoleRequest, p.Member, Scope.MANAGE,
    "Give a member another role",
)  # fmt: skip
REMOVE_MEMBER: Operation[None, m.Empty] = Operation(
    "removeMember", "DELETE", "/api/v1/members/{id}", None, m.Empty, Scope.MANAGE,
    "Remove a member; the person's tokens and sessions of the organization end at once",
)  # fmt: skip
LIST_INVITES: Operation[None, p.InviteList] = Operation(
    "listInvites", "GET", "/api/v1/invites", None, p.InviteList, Scope.MANAGE, "List open invites"
)
CREATE_INVITE = Operation(
    "createInvite", "POST", "/api/v1/invites", p.InviteRequest, p.NewInvite, Scope.MANAGE,
    "Make an invite link, shown once, good for one person and seven days", 201, optional_body=True,
)  # fmt: skip
REVOKE_INVITE: Operation[None, m.Empty] = Operation(
    "revokeInvite", "DELETE", "/api/v1/invites/{id}", None, m.Empty, Scope.MANAGE, "Revoke an open invite"
)
LIST_SESSIONS: Operation[None, p.SignInList] = Operation(
    "listSessions", "GET", "/api/v1/sessions", None, p.SignInList, Scope.CALLS,
    "List where the person is signed in: browsers and connectors",
)  # fmt: skip
END_SESSION: Operation[None, m.Empty] = Operation(
    "endSession", "DELETE", "/api/v1/sessions/{id}", None, m.Empty, Scope.CALLS, "Sign the person out in one place"
)
LIST_AUDIT: Operation[None, p.AuditList] = Operation(
    "listAudit", "GET", "/api/v1/audit", None, p.AuditList, Scope.MANAGE, "The audit log, newest first",
    query=p.AuditQuery,
)  # fmt: skip
LIST_ALL_ORGANIZATIONS: Operation[None, p.PlatformOrganizationList] = Operation(
    "listAllOrganizations", "GET", "/api/v1/platform/organizations", None, p.PlatformOrganizationList, Scope.OPERATE,
    "List all organizations of the platform",
)  # fmt: skip
SET_ORGANIZATION_ACTIVE = Operation(
    "setOrganizationActive", "PUT", "/api/v1/platform/organizations/{id}/active", p.ActiveRequest,
    p.PlatformOrganization, Scope.OPERATE,
    "Deactivate an organization: its credentials are refused and its sessions end; or let it go on",
)  # fmt: skip
RESET_PASSWORD = Operation(
    "resetPassword", "POST", "/api/v1/platform/password-resets", p.PasswordResetRequest, p.PasswordReset,
    Scope.OPERATE, "Give a person a new password, shown once; all sign-ins of the person end", 201,
)  # fmt: skip
LIST_SERVER_TOKENS: Operation[None, m.ServerTokenList] = Operation(
    "listServerTokens", "GET", "/api/v1/server-tokens", None, m.ServerTokenList, Scope.MANAGE, "List server tokens"
)
CREATE_SERVER_TOKEN = Operation(
    "createServerToken", "POST", "/api/v1/server-tokens", m.ServerTokenRequest, m.NewServerToken, Scope.MANAGE,
    "Make a server token, shown once", 201,
)  # fmt: skip
REVOKE_SERVER_TOKEN: Operation[None, m.Empty] = Operation(
    "revokeServerToken", "DELETE", "/api/v1/server-tokens/{id}", None, m.Empty, Scope.MANAGE, "Revoke a server token"
)
LIST_DEPLOYMENTS: Operation[None, m.DeploymentList] = Operation(
    "listDeployments", "GET", "/api/v1/deployments", None, m.DeploymentList, Scope.CALLS,
    "List deployments with the live state of their connectors",
)  # fmt: skip
CREATE_DEPLOYMENT = Operation(
    "createDeployment", "POST", "/api/v1/deployments", m.DeploymentRequest, m.NewDeployment, Scope.MANAGE,
    "Make a deployment; its secret is shown once", 201,
)  # fmt: skip
GET_DEPLOYMENT: Operation[None, m.Deployment] = Operation(
    "getDeployment", "GET", "/api/v1/deployments/{id}", None, m.Deployment, Scope.CALLS, "One deployment"
)
DELETE_DEPLOYMENT: Operation[None, m.Empty] = Operation(
    "deleteDeployment", "DELETE", "/api/v1/deployments/{id}", None, m.Empty, Scope.MANAGE,
    "Delete a deployment and close its session",
)  # fmt: skip
ROTATE_SECRET = Operation(
    "rotateDeploymentSecret", "POST", "/api/v1/deployments/{id}/secret", p.RotateRequest, p.RotatedDeployment,
    Scope.IDENTITY,
    "Make a new secret, the old one ending a day later: an admin any, a person the own desktop's, a deployment its own",
    optional_body=True,
)  # fmt: skip
END_OLD_SECRET: Operation[None, m.Empty] = Operation(
    "endOldDeploymentSecret", "DELETE", "/api/v1/deployments/{id}/old-secret", None, m.Empty, Scope.CALLS,
    "End the overlap of a rotation now; a person may do so for the own desktop",
)  # fmt: skip
REGISTER_DESKTOP = Operation(
    "registerDesktop", "POST", "/api/v1/deployments/desktop", p.DesktopRequest, p.DesktopDeployment, Scope.CALLS,
    "The deployment of the person's own installation, with a new secret; made when there is none", 200,
)  # fmt: skip
LIST_TOOLS: Operation[None, m.ToolList] = Operation(
    "listTools", "GET", "/api/v1/tools", None, m.ToolList, Scope.CALLS,
    "List the tools of connected connectors", query=m.ToolQuery,
)  # fmt: skip
CREATE_CALL = Operation(
    "createCall", "POST", "/api/v1/calls", m.CallRequest, m.Call, Scope.CALLS,
    "Call a tool: wait for its outcome, or with wait=false start it (status 202)",
)  # fmt: skip
LIST_CALLS: Operation[None, m.CallList] = Operation(
    "listCalls", "GET", "/api/v1/calls", None, m.CallList, Scope.CALLS, "List calls, newest first", query=m.CallQuery
)
GET_CALL: Operation[None, m.Call] = Operation(
    "getCall", "GET", "/api/v1/calls/{id}", None, m.Call, Scope.CALLS, "One call"
)
CANCEL_CALL: Operation[None, m.Call] = Operation(
    "cancelCall", "POST", "/api/v1/calls/{id}/cancel", None, m.Call, Scope.CALLS,
    "Ask for the end of an open call; its outcome is still reported", 202,
)  # fmt: skip
UPLOAD_RESULT: Operation[None, m.StoredResult] = Operation(
    "uploadResult", "PUT", "/api/v1/calls/{id}/result", None, m.StoredResult, Scope.IDENTITY,
    "Bring the large result of an open call, as its connector; `result.reference` of Tool RPC names it afterwards",
    query=m.UploadQuery, raw_body=True,
)  # fmt: skip

OPERATIONS: tuple[Operation[Any, Any], ...] = (
    SETUP, JWKS, OPENAPI, LIVEZ, HEALTHZ, METRICS, WHOAMI, CREATE_SESSION_TOKEN,
    DEVICE_AUTHORIZATION, OAUTH_TOKEN, OAUTH_REVOKE, SERVER_METADATA,
    LIST_ORGANIZATIONS, CREATE_ORGANIZATION, LIST_MEMBERS, SET_ROLE, REMOVE_MEMBER,
    LIST_INVITES, CREATE_INVITE, REVOKE_INVITE, LIST_SESSIONS, END_SESSION, LIST_AUDIT,
    LIST_ALL_ORGANIZATIONS, SET_ORGANIZATION_ACTIVE, RESET_PASSWORD,
    LIST_SERVER_TOKENS, CREATE_SERVER_TOKEN, REVOKE_SERVER_TOKEN,
    LIST_DEPLOYMENTS, CREATE_DEPLOYMENT, GET_DEPLOYMENT, DELETE_DEPLOYMENT, ROTATE_SECRET, END_OLD_SECRET,
    REGISTER_DESKTOP,
    LIST_TOOLS, CREATE_CALL, LIST_CALLS, GET_CALL, CANCEL_CALL, UPLOAD_RESULT,
)  # fmt: skip
"""Every operation of the platform. A route that is not listed here does not exist."""


def access_table() -> list[tuple[str, str, str]]:
    """Method, path and needed scope of each operation, for documentation and tests."""
    return [(operation.method, operation.path, operation.scope.value) for operation in OPERATIONS]
