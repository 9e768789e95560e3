"""The audit log: who did what to whom. Entries are kept before the answer to the deed; nobody changes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from edge_connector.core.clock import Clock
from edge_connector.platform_server.identity import OPERATOR, Identity, Principal
from edge_connector.platform_server.store.people import AuditFilter, AuditRow, PeopleStore, UserRow

KEEP_S = 400 * 24 * 3600.0
"""More than a year, for a yearly look."""
MAX_TEXT = 200


class Audit:
    """Writes and lists the entries of organizations."""

    def __init__(self, store: PeopleStore, identity: Identity, clock: Clock) -> None:
        self._store = store
        self._identity = identity
        self._clock = clock

    async def note(
        self,
        actor: Principal,
        action: str,
        subject: tuple[str, str, str] = ("", "", ""),
        *,
        address: str = "",
        **detail: Any,
    ) -> None:
        """An act in the actor's organization.

        Args:
            action: a noun and what happened to it, such as `deployment.created`.
            subject: kind, id and name of what it was done to.
            detail: further facts, never secrets.
        """
        kind = actor.kind
        await self._store.add_audit(
            [self._row(actor.organization_id, (kind, actor.id, actor.name), action, subject, address, detail)]
        )

    async def note_person(
        self,
        user: UserRow,
        action: str,
        subject: tuple[str, str, str] | None = None,
        *,
        address: str = "",
        **detail: Any,
    ) -> None:
        """Something that concerns a person everywhere: it is in the log of each of the person's organizations."""
        await self._store.add_audit(
            [
                self._row(
                    membership.organization_id,
                    ("user", user.id, user.name),
                    action,
                    subject or ("user", user.id, user.email),
                    address,
                    detail,
                )
                for membership in self._identity.memberships_of(user.id)
            ]
        )

    async def note_operator(
        self, organization_ids: Iterable[str], action: str, subject: tuple[str, str, str], *, address: str
    ) -> None:
        """An act of the platform's operator that concerns these organizations."""
        actor = (OPERATOR, "", OPERATOR)
        await self._store.add_audit(
            [self._row(organization_id, actor, action, subject, address, {}) for organization_id in organization_ids]
        )

    async def entries(self, which: AuditFilter) -> list[AuditRow]:
        """Of one organization, the newest first."""
        return await self._store.audit(which)

    def _row(
        self,
        organization_id: str,
        actor: tuple[str, str, str],
        action: str,
        subject: tuple[str, str, str],
        address: str,
        detail: dict[str, Any],
    ) -> AuditRow:
        return AuditRow(
            at=self._clock.wall(),
            organization_id=organization_id,
            actor_kind=actor[0],
            actor_id=actor[1],
            actor_name=actor[2][:MAX_TEXT],
            action=action,
            subject_kind=subject[0],
            subject_id=subject[1],
            subject_name=subject[2][:MAX_TEXT],
            detail=msgspec.json.encode(detail).decode(),
            address=address,
        )
