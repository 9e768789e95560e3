"""Making and ending deployments: store, fleet and credentials change together. Nothing here routes calls."""

from __future__ import annotations

import asyncio
import logging

from edge_connector.core.clock import Clock
from edge_connector.platform_server.fleet import DeploymentState, Fleet
from edge_connector.platform_server.identity import Identity, Principal, digest_of, new_id, new_secret
from edge_connector.platform_server.refusals import Refused
from edge_connector.platform_server.store.records import ConnectorRow, DeploymentRow, Store
from edge_connector.wire.close_codes import CloseCode

log = logging.getLogger(__name__)

OVERLAP_S = 24 * 3600
"""How long the secret before a rotation is good too, unless told otherwise."""


class Deployments:
    """Changes to the deployments of all organizations."""

    def __init__(self, store: Store, fleet: Fleet, identity: Identity, clock: Clock) -> None:
        self._store = store
        self._fleet = fleet
        self._identity = identity
        self._clock = clock
        self._changing = asyncio.Lock()

    async def create(
        self, organization_id: str, *, name: str, description: str, client_type: str
    ) -> tuple[DeploymentState, str]:
        """A new deployment and its secret, which is not kept.

        Raises:
            Refused: the name is taken.
        """
        async with self._changing:
            if any(state.row.name == name for state in self._fleet.of_organization(organization_id)):
                raise Refused(409, "name_taken", f"A deployment named {name!r} exists.", hint="Choose another name.")
            secret = new_secret("sec")
            row = DeploymentRow(
                id=new_id("dep"),
                organization_id=organization_id,
                name=name,
                description=description,
                client_type=client_type,
                secret_digest=digest_of(secret),
                created_at=self._clock.wall(),
            )
            return await self._add(row), secret

    async def of_installation(self, principal: Principal, instance_id: str, host: str) -> DeploymentState:
        """The desktop deployment of a person's installation, made at its first connection and named after the host."""
        return (await self._found_or_made(principal, instance_id, host))[0]

    async def _found_or_made(self, principal: Principal, instance_id: str, host: str) -> tuple[DeploymentState, bool]:
        async with self._changing:
            found = self._fleet.of_user(principal.organization_id, principal.user_id, instance_id)
            if found is not None:
                return found, False
            taken = {state.row.name for state in self._fleet.of_organization(principal.organization_id)}
            base = (host or "desktop")[:80]
            name = next(n for n in (base, *(f"{base} {i}" for i in range(2, len(taken) + 3))) if n not in taken)
            row = DeploymentRow(
                id=new_id("dep"),
                organization_id=principal.organization_id,
                name=name,
                description=f"Desktop of {principal.name}",
                client_type="DESKTOP",
                user_id=principal.user_id,
                instance_id=instance_id,
                created_at=self._clock.wall(),
            )
            return await self._add(row), True

    async def _add(self, row: DeploymentRow) -> DeploymentState:
        connector = ConnectorRow(id=new_id("con"), deployment_id=row.id)
        await self._store.add_deployment(row, connector)
        log.info("deployment made deployment=%s type=%s", row.id, row.client_type)
        return self._fleet.add(row, connector)

    async def register_desktop(
        self, principal: Principal, instance_id: str, host: str
    ) -> tuple[DeploymentState, str, bool]:
        """The desktop deployment of a person's installation, its new secret, and whether it was made now.

        The same installation always has the same deployment; the secret it had before goes on for `OVERLAP_S`.
        """
        state, is_new = await self._found_or_made(principal, instance_id, host)
        return state, await self.rotate_secret(state, keep_old_s=OVERLAP_S), is_new

    async def rotate_secret(self, state: DeploymentState, *, keep_old_s: float) -> str:
        """A new secret; the old one is good for some seconds more, and no secret before that one.

        Sessions that live on a secret which is no longer good are closed then.
        """
        secret = new_secret("sec")
        row, digest = state.row, digest_of(secret)
        async with self._changing:
            previous = row.secret_digest if keep_old_s > 0 else None
            until = self._clock.wall() + keep_old_s if previous is not None else 0.0
            await self._store.set_deployment_secret(row.id, digest, previous=previous, previous_until=until)
            row.secret_digest, row.previous_secret_digest, row.previous_secret_until = digest, previous, until
        self._identity.credentials_changed(row.organization_id, "the deployment's secret was changed")
        log.info("deployment secret changed deployment=%s keep_old_s=%d", row.id, keep_old_s)
        return secret

    async def end_previous_secret(self, state: DeploymentState) -> bool:
        """End the overlap of a rotation now; False when there was none."""
        row = state.row
        async with self._changing:
            if row.previous_secret_digest is None or row.previous_secret_until <= self._clock.wall():
                return False
            await self._store.set_deployment_secret(row.id, row.secret_digest)
            row.previous_secret_digest, row.previous_secret_until = None, 0.0
        self._identity.credentials_changed(row.organization_id, "the deployment's secret was changed")
        log.info("previous deployment secret ended deployment=%s", row.id)
        return True

    async def delete(self, state: DeploymentState) -> None:
        """The deployment is gone, with its session."""
        await self._store.remove_deployment(state.row.id)
        self._fleet.remove(state)
        self._identity.forget()
        if state.link is not None:
            state.link.request_close(CloseCode.DEPLOYMENT_GONE, "the deployment was deleted")
        log.info("deployment deleted deployment=%s", state.row.id)
