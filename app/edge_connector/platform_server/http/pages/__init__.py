"""The pages of the platform: sign-in, approval of connectors, and what people manage. HTML forms, no script."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
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
from edge_connector.platform_server.refusals import Refused


class Pages:
    """All pages; what they do is done by `operations`."""

    def __init__(self, parts: Parts, operations: Operations) -> None:
        self._site = site = Site(parts, operations)
        groups = (
            PublicPages(site), SignInPages(site), DevicePages(site), AccountPages(site), MemberPages(site),
            InvitePages(site), ServerTokenPages(site), DeploymentPages(site), AuditPages(site),
        )  # fmt: skip
        self.routes: list[Route] = [route for group in groups for route in group.routes()]

    def unknown(self, request: Request) -> Response:
        """404 for a person who follows a link that leads nowhere."""
        error = Refused(404, "unknown_path", "There is no such page here.", hint="Check the address.")
        return self._site.refusal(self._site.visit(request), error)
