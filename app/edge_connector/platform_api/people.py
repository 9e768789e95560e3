"""Bodies of the operations on people: organizations, members, invites, sign-ins, the audit log."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from edge_connector.platform_api.models import Email, Name, NewDeployment, Reply, Request

Role = Literal["admin", "member"]


class OrganizationRequest(Request):
    """Names a new organization."""

    name: Name


class Organization(Reply):
    """An organization of the person, with the person's role in it."""

    id: str
    name: str
    role: Role
    created_at: str
    members: int
    is_current: bool
    """Whether the credentials of this request are for it."""


class OrganizationList(Reply):
    """The organizations of a person; of a server token the one that it belongs to."""

    organizations: list[Organization]


class Member(Reply):
    """A person in the organization."""

    id: str
    name: str
    email: str
    role: Role
    since: str
    has_password: bool


class MemberList(Reply):
    """The members, by name."""

    members: list[Member]


class RoleRequest(Request):
    """The role that a member gets."""

    role: Role


class InviteRequest(Request):
    """Whom a new invite link is for."""

    role: Role = "member"
    email: Annotated[str, Meta(max_length=254, pattern=r"^([^@\s]+@[^@\s]+)?$")] = ""
    """Only a person with this address can use it; empty for whoever has the link."""


class Invite(Reply):
    """An open invite as it is listed."""

    id: str
    role: Role
    email: str
    created_at: str
    expires_at: str
    created_by: str
    """The name of the person who made it; empty for a program."""


class InviteList(Reply):
    """The open invites, the oldest first."""

    invites: list[Invite]


class NewInvite(Reply):
    """A new invite; `url` is shown this once."""

    id: str
    url: str
    role: Role
    email: str
    expires_at: str


class SignIn(Reply):
    """One place where the person is signed in."""

    id: str
    kind: Literal["browser", "connector"]
    place: str
    address: str
    organization_id: str
    created_at: str
    seen_at: str
    expires_at: str
    is_current: bool


class SignInList(Reply):
    """Browsers and connectors, the oldest first."""

    sessions: list[SignIn]


class AuditQuery(Request):
    """Which entries, the newest first."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    before: Annotated[int, Meta(ge=0)] = 0
    """Number of an entry: only older ones."""
    action: Annotated[str, Meta(max_length=100)] = ""
    """An action, or with a dot at its end all that begin so."""
    actor: Annotated[str, Meta(max_length=100)] = ""
    """Id of the person or token that acted."""


class AuditEntry(Reply):
    """Who did what."""

    seq: int
    at: str
    actor_kind: str
    actor_id: str
    actor_name: str
    action: str
    subject_kind: str
    subject_id: str
    subject_name: str
    detail: dict[str, Any]
    address: str


class AuditList(Reply):
    """Entries of the organization, the newest first; `next` is the `before` of the next page, 0 at the end."""

    entries: list[AuditEntry]
    next: int = 0


class DesktopRequest(Request):
    """The installation of a person's own desktop connector."""

    instance_id: Annotated[str, Meta(min_length=1, max_length=200)]
    """Kept in its directory; the same one always gets the same deployment."""
    host: Annotated[str, Meta(max_length=200)] = ""
    """Names a new deployment."""


class RotateRequest(Request):
    """How the secret before this one ends."""

    keep_old_for_s: Annotated[int, Meta(ge=0, le=30 * 24 * 3600)] = 24 * 3600
    """So long both are good; 0 ends the old one and the session that uses it at once."""


class RotatedDeployment(NewDeployment):
    """A deployment with a new secret, shown this once."""

    old_secret_until: str | None = None


class DesktopDeployment(Reply):
    """The deployment of a desktop connector with a new secret, shown this once."""

    id: str
    name: str
    secret: str
    organization_id: str
    organization: str
    is_new: bool


# ---- the operator of the platform


class PlatformOrganization(Reply):
    """An organization as the platform's operator sees it."""

    id: str
    name: str
    active: bool
    created_at: str
    members: int
    deployments: int


class PlatformOrganizationList(Reply):
    """All organizations, by name."""

    organizations: list[PlatformOrganization]


class ActiveRequest(Request):
    """Whether the organization's credentials are good."""

    active: bool


class PasswordResetRequest(Request):
    """Whose password is lost."""

    email: Email


class PasswordReset(Reply):
    """A new password, shown this once; the person changes it after signing in."""

    email: str
    password: str
