"""Checks of what the platform makes of this connector: credentials, authentication, organization, duplicate.

A connector that runs is asked, so that its session is left alone. Otherwise one hello is said in its place.
"""

from __future__ import annotations

import time
from typing import Any

from edge_connector.auth.credentials import DeploymentCredentials, TokenCredentials
from edge_connector.core.checks import Check, Finding, fail, ok, skip, warn
from edge_connector.core.clock import to_iso
from edge_connector.core.errors import EdgeError
from edge_connector.core.problems import describe
from edge_connector.link.transport import LinkDown
from edge_connector.runtime.doctor.subject import Running, Subject

EXPIRES_SOON_S = 24 * 3600.0
AFTER_AUTHENTICATION = frozenset(
    {"deployment_already_connected", "taken_over", "replaced", "forbidden", "deployment_gone"}
)
"""Refusals by a platform that knows who is there."""
CREDENTIAL_PROBLEMS = (
    "credentials_refused",
    "credentials_revoked",
    "needs_login",
    "token_expired",
    "token_invalid",
    "token_without_organization",
    "sign_in_ended",
    "clock_skew",
    "keyring_locked",
    "keyring_unavailable",
)


async def _credentials(subject: Subject) -> Finding:
    found = subject.credentials()
    if isinstance(found, DeploymentCredentials):
        seen = f"deployment {found.deployment_id} ({found.source})"
    else:
        seen = _token_words(found)
        expires_at = found.info.expires_at
        if expires_at is not None and expires_at - time.time() < EXPIRES_SOON_S and not found.refresh_token:
            return warn(seen, "Sign in again with `edge-connector auth --browser` before it expires.")
    if found.warnings:
        return warn(f"{seen}; {found.warnings[0].message}", found.warnings[0].hint)
    return ok(seen)


def _token_words(found: TokenCredentials) -> str:
    expires_at = found.info.expires_at
    if expires_at is None:
        return f"token in {found.source}, it never expires"
    words = f"token in {found.source}, expires {to_iso(expires_at)} (in {(expires_at - time.time()) / 3600:.1f} h)"
    return f"{words}, renewed by itself" if found.refresh_token else words


async def _authentication(subject: Subject) -> Finding:
    running = await subject.connector()
    if running is not None:
        who = running.status["authorised"]
        if who["accepted"]:
            return ok(f"the platform accepted the {who['method']} of the running connector ({who['source']})")
        refused = _of_problems(running, CREDENTIAL_PROBLEMS)
        if refused is None and (known := _of_problems(running, tuple(AFTER_AUTHENTICATION))) is not None:
            return ok(f"the platform knows them, and refused the connector for another reason: {known.proof}")
        return refused or skip(f"the running connector has no session: {running.status['sentence']}")
    try:
        met = await subject.introduction()
    except EdgeError as error:
        return skip(error.message)
    if met.down is not None and met.down.problem not in AFTER_AUTHENTICATION:
        return _of_down(subject, met.down)
    return ok(f"the platform accepted the credentials ({met.round_trip_s * 1000:.0f} ms)")


async def _organization(subject: Subject) -> Finding:
    running = await subject.connector()
    if running is not None:
        who = running.status["authorised"]
        if who["organizationId"]:
            return ok(f"{who['organization'] or who['organizationId']}, deployment {who['deployment']}")
        return _of_problems(running, ("forbidden", "deployment_gone")) or skip(
            "the running connector has no session yet"
        )
    try:
        met = await subject.introduction()
    except EdgeError as error:
        return skip(error.message)
    if met.welcome is not None:
        name = met.welcome.organization or met.welcome.organization_id
        return ok(f"{name} ({met.welcome.organization_id}), deployment {met.welcome.deployment}")
    assert met.down is not None, "a hello is answered by a welcome or by the end"
    if met.down.problem in ("forbidden", "deployment_gone"):
        return _of_down(subject, met.down)
    return skip("the platform did not say it, because it did not let this connector in")


async def _duplicate(subject: Subject) -> Finding:
    running = await subject.connector()
    problems = ("deployment_already_connected", "taken_over", "replaced")
    if running is not None:
        found = _of_problems(running, problems)
        if found is not None:
            return found
        if running.status["link"]["phase"] == "open":
            return ok("the session of this deployment is the running connector's own")
        return skip(f"the running connector has no session: {running.status['sentence']}")
    try:
        met = await subject.introduction()
    except EdgeError as error:
        return skip(error.message)
    if met.down is not None and met.down.problem in problems:
        return _of_down(subject, met.down)
    if met.down is not None:
        return skip("the platform ended the session before it looked")
    return ok("no other connector of this deployment is connected")


def _of_down(subject: Subject, down: LinkDown) -> Finding:
    _, sentence, fix = describe(down.problem, detail=down.detail, url=subject.loaded.settings.tool_rpc_url)
    return fail(sentence, fix)


def _of_problems(running: Running, codes: tuple[str, ...]) -> Finding | None:
    """The first of the running connector's problems with one of `codes`."""
    problem: dict[str, Any]
    for problem in running.status["problems"]:
        if problem["code"] in codes:
            return fail(f"{problem['sentence']} (since {problem['since']})", problem["fix"])
    return None


PEER_CHECKS: tuple[Check[Subject], ...] = (
    Check(
        id="credentials",
        what="credentials",
        looks_at="Deployment pair or saved token: there, readable, well formed, not expired, with an organization.",
        run=_credentials,
        needs=("configuration",),
    ),
    Check(
        id="authentication",
        what="authentication",
        looks_at="Whether the platform accepts them. A running connector is asked; without one a hello is said in its "
        "place and the session ended before tools are registered.",
        run=_authentication,
        needs=("credentials", "upgrade"),
        timeout_s=20.0,
    ),
    Check(
        id="organization",
        what="organization",
        looks_at="The organization and deployment that the credentials stand for, as the platform says.",
        run=_organization,
        needs=("authentication",),
        timeout_s=20.0,
    ),
    Check(
        id="duplicate",
        what="one connector a deployment",
        looks_at="Whether another connector of this deployment is connected (`Deployment already connected`).",
        run=_duplicate,
        needs=("authentication",),
        timeout_s=20.0,
    ),
)
