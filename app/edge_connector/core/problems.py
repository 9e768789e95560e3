"""Every problem a running connector can have, declared once: its code, how bad it is, its sentence and its cure.

docs/problems.md is generated from this table. Errors of single commands are not here; they are `EdgeError`s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a problem means for the person."""

    WARNING = "warning"
    """Serving all the same."""
    ERROR = "error"
    """Not serving because of it; it may mend itself."""
    PERSON = "person"
    """Not serving, and somebody has to act."""


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A declared problem. `sentence` and `fix` are format strings; `detail` is always available to them."""

    code: str
    severity: Severity
    sentence: str
    fix: str


KINDS: dict[str, ProblemKind] = {
    kind.code: kind
    for kind in (
        ProblemKind(
            "platform_unreachable",
            Severity.ERROR,
            "The platform server at {url} cannot be reached: {detail}.",
            "Start the platform or check TOOL_RPC_URL, the network and the firewall; the connector keeps trying.",
        ),
        ProblemKind(
            "host_not_found",
            Severity.ERROR,
            "The host name in {url} cannot be resolved: {detail}.",
            "Check the host in TOOL_RPC_URL and this machine's DNS; the connector keeps trying.",
        ),
        ProblemKind(
            "no_route",
            Severity.ERROR,
            "This machine has no way to {url}: {detail}.",
            "Connect it to its network or VPN; the connector dials as soon as there is a way.",
        ),
        ProblemKind(
            "no_answer",
            Severity.ERROR,
            "Nothing answers at {url}: {detail}.",
            "Check host and port in TOOL_RPC_URL, and that no firewall drops outbound connections to them.",
        ),
        ProblemKind(
            "proxy_refused",
            Severity.ERROR,
            "The proxy between here and {url} refused the connection: {detail}.",
            "Check HTTPS_PROXY and NO_PROXY, and that the proxy allows WebSocket upgrades.",
        ),
        ProblemKind(
            "tls_failed",
            Severity.ERROR,
            "The certificate of {url} is not trusted: {detail}.",
            "Set EC_CA_FILE to the certificate authority that signed it, and check this machine's clock.",
        ),
        ProblemKind(
            "not_a_platform",
            Severity.ERROR,
            "{url} answered, but it is no Edge Connector platform: {detail}.",
            "Point TOOL_RPC_URL at the platform's Tool RPC port (3001 unless it was changed).",
        ),
        ProblemKind(
            "version_unsupported",
            Severity.PERSON,
            "The platform speaks another protocol version: {detail}.",
            "Update the connector or the platform so that both speak the same version.",
        ),
        ProblemKind(
            "credentials_refused",
            Severity.PERSON,
            "Token validation failed: the platform refused the credentials ({detail}).",
            "Verify DEPLOYMENT_ID and DEPLOYMENT_SECRET, and that the deployment exists in the admin panel.",
        ),
        ProblemKind(
            "forbidden",
            Severity.PERSON,
            "The platform does not allow these credentials here: {detail}.",
            "Ask an administrator of the organization.",
        ),
        ProblemKind(
            "deployment_gone",
            Severity.PERSON,
            "The deployment was deleted on the platform.",
            "Create a deployment and set its DEPLOYMENT_ID and DEPLOYMENT_SECRET.",
        ),
        ProblemKind(
            "credentials_revoked",
            Severity.PERSON,
            "The credentials were revoked on the platform ({detail}).",
            "Set the new DEPLOYMENT_SECRET, or sign in again.",
        ),
        ProblemKind(
            "deployment_already_connected",
            Severity.ERROR,
            "{detail}.",
            "Stop the other connector, use another deployment, or run `edge-connector run --take-over` here.",
        ),
        ProblemKind(
            "taken_over",
            Severity.ERROR,
            "Another installation took this deployment over ({detail}).",
            "Give each installation its own deployment.",
        ),
        ProblemKind(
            "replaced",
            Severity.ERROR,
            "Another process with this installation's identity connected ({detail}).",
            "Was the directory copied? Delete instance.json in the copy and give it its own deployment.",
        ),
        ProblemKind(
            "protocol_broken",
            Severity.ERROR,
            "The platform and the connector do not understand each other: {detail}.",
            "Update both to the same release; the connector keeps trying.",
        ),
        ProblemKind(
            "platform_silent",
            Severity.ERROR,
            "The platform stopped answering: {detail}.",
            "Check the network between here and the platform; the connector keeps trying.",
        ),
        ProblemKind(
            "disconnected",
            Severity.ERROR,
            "Disconnected from platform server: {detail}.",
            "Nothing to do: the connector dials again by itself.",
        ),
        ProblemKind(
            "internal_error",
            Severity.ERROR,
            "The connector failed inside: {detail}.",
            "Report it with the traceback in the log; the connector keeps trying.",
        ),
        ProblemKind(
            "not_proven",
            Severity.WARNING,
            "No call has gone through for {detail}.",
            "Look at `edge-connector status`; the connector dials again by itself.",
        ),
        ProblemKind(
            "tools_not_proven",
            Severity.ERROR,
            "The link to the platform works, but no tool has answered a probe for {detail}.",
            "Look at the log for the workers; stop what keeps them busy, or restart the connector.",
        ),
        ProblemKind(
            "local_proof_only",
            Severity.WARNING,
            "The platform answers no probes, so only this machine's half of the way is proven.",
            "Update the platform.",
        ),
        ProblemKind(
            "tool_problem",
            Severity.WARNING,
            "{detail}",
            "Mend the tool and restart the connector; the other tools keep serving.",
        ),
        ProblemKind(
            "tools_rejected",
            Severity.WARNING,
            "The platform did not take some tools: {detail}.",
            "Rename or mend them; the other tools keep serving.",
        ),
        ProblemKind(
            "workers_unavailable",
            Severity.ERROR,
            "No tool worker can be started: {detail}.",
            "Look at the log for the reason; the connector keeps trying.",
        ),
        ProblemKind(
            "needs_login",
            Severity.PERSON,
            "{detail}",
            "Run `edge-connector auth --browser`, or set DEPLOYMENT_ID and DEPLOYMENT_SECRET.",
        ),
        ProblemKind(
            "token_expired",
            Severity.PERSON,
            "{detail}",
            "Run `edge-connector auth --browser` or `edge-connector auth --token <new-token>`.",
        ),
        ProblemKind(
            "token_invalid",
            Severity.PERSON,
            "{detail}",
            "Run `edge-connector auth --browser` or `edge-connector auth --token <new-token>`.",
        ),
        ProblemKind(
            "token_without_organization",
            Severity.PERSON,
            "{detail}",
            "Log in to an organization before making the token; then `edge-connector auth --token <new-token>`.",
        ),
        ProblemKind(
            "clock_skew",
            Severity.PERSON,
            "{detail}",
            "Set this machine's clock; the connector dials as soon as it is right.",
        ),
        ProblemKind(
            "keyring_locked",
            Severity.PERSON,
            "{detail}",
            "Unlock the keyring of this session; the connector goes on by itself.",
        ),
        ProblemKind(
            "keyring_unavailable",
            Severity.PERSON,
            "{detail}",
            "Start the keyring of this session, or sign in again with `edge-connector auth --browser`.",
        ),
        ProblemKind(
            "token_expires_soon",
            Severity.WARNING,
            "The sign-in ends in {detail}, and cannot be renewed without you.",
            "Run `edge-connector auth --browser` or `edge-connector auth --token <new-token>`.",
        ),
        ProblemKind(
            "sign_in_ended",
            Severity.WARNING,
            "{detail}",
            "Run `edge-connector auth --browser`.",
        ),
        ProblemKind(
            "sign_in_failed",
            Severity.PERSON,
            "{detail}",
            "Sign in once more from the tray or the window, or run `edge-connector auth --browser`.",
        ),
        ProblemKind(
            "configuration",
            Severity.WARNING,
            "{detail}",
            "Run `edge-connector config validate`.",
        ),
        ProblemKind(
            "ledger_unavailable",
            Severity.WARNING,
            "The call ledger cannot be written: {detail}. Tools that must not run twice are refused meanwhile.",
            "Free space on the disk, or give this user the right to write calls.sqlite3; the connector keeps trying.",
        ),
        ProblemKind(
            "ledger_put_aside",
            Severity.WARNING,
            "The call ledger was damaged. It was put aside as {detail} and a new one was begun.",
            "Check the disk; delete that file if you do not need its history.",
        ),
        ProblemKind(
            "lock_file_deleted",
            Severity.WARNING,
            "edge-runtime.lock was deleted while this connector runs.",
            "Nothing to do: the lock is held all the same and the file was written again.",
        ),
    )
}


def describe(code: str, **words: str) -> tuple[ProblemKind, str, str]:
    """The kind, the sentence and the cure of a problem, with its words filled in."""
    kind = KINDS[code]
    return kind, kind.sentence.format(**words), kind.fix.format(**words)
