"""The pages of the platform: sign-in, approval of connectors, and what people manage. HTML forms, no script."""

from __future__ import annotations

from starlette.routing import Route

from edge_connector.platform_server.http.operations import Operations
from edge_connector.platform_server.http.pages.account import AccountPages
from edge_connector.platform_server.http.pages.audit import AuditPages
from edge_connector.platform_server.http.pages.deployments import DeploymentPages
from edge_connector.platform_server.http.pages.device import DevicePages
from edge_connector.platform_server.http.pages.invites import InvitePages
from edge_connector.platform_server.http.pages.members import MemberPages
from edge_connector.platform_server.http.pages.public import PublicPages
from edge_connector.platform_server.http.pages.server_tokens import ServerTokenPages
from edge_connector.platform_server.http.pages.sign_in import SignInPages
from edge_connector.platform_server.http.pages.site import Site
from edge_connector.platform_server.parts import Parts


def page_routes(parts: Parts, operations: Operations) -> list[Route]:
    """All pages; what they do is done by `operations`."""
    site = Site(parts, operations)
    groups = (
        PublicPages(site), SignInPages(site), DevicePages(site), AccountPages(site), MemberPages(site),
        InvitePages(site), ServerTokenPages(site), DeploymentPages(site), AuditPages(site),
    )  # fmt: skip
    return [route for group in groups for route in group.routes()]
