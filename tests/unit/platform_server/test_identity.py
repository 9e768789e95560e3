"""Headers to principals, from memory: what passes, what is forgotten, what expires."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_connector.platform_api.operations import Scope
from edge_connector.platform_server.fleet import Fleet
from edge_connector.platform_server.identity import FAILED_ATTEMPTS_PER_MINUTE, Identity, digest_of
from edge_connector.platform_server.signing import SigningKey
from edge_connector.platform_server.store.people import MembershipRow, UserRow
from edge_connector.platform_server.store.records import (
    ConnectorRow,
    DeploymentRow,
    OrganizationRow,
    ServerTokenRow,
    StoredIdentity,
)


class HandClock:
    """A clock that is set by hand, starting now so that real JWT checks agree."""

    def __init__(self) -> None:
        import time

        self.now = time.time()

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    def asleep(self) -> float:
        return 0.0


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def identity(tmp_path: Path, clock: HandClock) -> Identity:
    deployment = DeploymentRow(id="dep_1", organization_id="org", name="edge", secret_digest=digest_of("sec_1"))
    desktop = DeploymentRow(id="dep_2", organization_id="org", name="laptop", user_id="usr_1")
    connectors = [ConnectorRow(id="con_1", deployment_id="dep_1"), ConnectorRow(id="con_2", deployment_id="dep_2")]
    stored = StoredIdentity(
        organizations=[OrganizationRow(id="org", name="Acme")],
        users=[UserRow(id="usr_1", email="a@b", name="Ada")],
        memberships=[MembershipRow(user_id="usr_1", organization_id="org", role="member")],
        server_tokens=[
            ServerTokenRow(id="tok_1", organization_id="org", user_id="usr_1", name="t", digest=digest_of("ect_1"))
        ],
        deployments=[deployment, desktop],
        connectors=connectors,
    )
    fleet = Fleet(stored.deployments, stored.connectors, clock)
    return Identity(stored, fleet, SigningKey.load_or_create(tmp_path / "key.pem"), clock)


def test_each_kind_of_credentials_has_its_scopes(identity: Identity) -> None:
    token = identity.authenticate(b"Bearer ect_1")
    machine = identity.authenticate(b"Deployment dep_1:sec_1")
    session, _ = identity.make_session_token(identity.users["usr_1"], "org", issuer="x")
    person = identity.authenticate(f"bearer {session}".encode())
    assert token is not None
    assert machine is not None
    assert person is not None
    assert (token.kind, Scope.MANAGE in token.scopes) == ("server_token", True)
    assert machine.kind == "deployment"
    assert machine.scopes == frozenset({Scope.PUBLIC, Scope.IDENTITY})
    assert (person.kind, Scope.CALLS in person.scopes, Scope.MANAGE in person.scopes) == ("user", True, False)


@pytest.mark.parametrize(
    "header",
    [
        b"", b"Bearer", b"Bearer ", b"Bearer ect_2", b"Basic ect_1", b"ect_1", b"Bearer \xff", b"Bearer a.b.c",
        b"Deployment dep_1", b"Deployment dep_1:", b"Deployment dep_1:sec_2", b"Deployment dep_2:",
        b"Deployment x:sec_1",
    ],
)  # fmt: skip
def test_everything_else_is_nobody(identity: Identity, header: bytes) -> None:
    assert identity.authenticate(header) is None


def test_a_revoked_token_and_a_deactivated_organization_are_refused_at_once(identity: Identity) -> None:
    assert identity.authenticate(b"Bearer ect_1") is not None
    identity.remove_server_token("tok_1")
    assert identity.authenticate(b"Bearer ect_1") is None
    assert identity.authenticate(b"Deployment dep_1:sec_1") is not None
    identity.organizations["org"].active = False
    identity.forget()
    assert identity.authenticate(b"Deployment dep_1:sec_1") is None


def test_a_cached_session_token_expires(identity: Identity, clock: HandClock) -> None:
    session, _ = identity.make_session_token(identity.users["usr_1"], "org", issuer="x", lifetime_s=60)
    header = f"Bearer {session}".encode()
    assert identity.authenticate(header) is not None
    clock.now += 61
    assert identity.authenticate(header) is None


def test_uses_are_collected_once_and_survive_a_change(identity: Identity, clock: HandClock) -> None:
    identity.authenticate(b"Bearer ect_1")
    identity.authenticate(b"Bearer ect_1")
    identity.forget()
    assert identity.take_uses() == [("tok_1", clock.now)]
    assert identity.take_uses() == []
    assert identity.server_tokens["tok_1"].last_used_at == clock.now


def test_failures_are_counted_by_address(identity: Identity) -> None:
    assert all(identity.count_failure("10.0.0.1") for _ in range(FAILED_ATTEMPTS_PER_MINUTE))
    assert not identity.count_failure("10.0.0.1")
    assert identity.count_failure("10.0.0.2")


def test_what_is_left_of_credentials(identity: Identity, clock: HandClock) -> None:
    session, _ = identity.make_session_token(identity.users["usr_1"], "org", issuer="x", lifetime_s=60)
    person = identity.authenticate(f"Bearer {session}".encode())
    machine = identity.authenticate(b"Deployment dep_1:sec_1")
    assert person is not None
    assert machine is not None
    assert 58 < identity.seconds_left(person) <= 60
    clock.now += 61
    assert identity.seconds_left(person) < 0
    assert identity.seconds_left(machine) == float("inf")
