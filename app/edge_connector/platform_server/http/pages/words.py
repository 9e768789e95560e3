"""How pages say moments, browsers and what was done. Pure; the same words everywhere."""

from __future__ import annotations

import re

from markupsafe import Markup

from edge_connector.core.clock import from_iso, to_iso

ACTIONS = {
    "connector.approved": "approved the connector",
    "connector.denied": "denied the connector",
    "connector.signed_out": "signed a connector out",
    "deployment.created": "made the deployment",
    "deployment.deleted": "deleted the deployment",
    "deployment.desktop_registered": "registered the desktop",
    "deployment.old_secret_ended": "ended the old secret of",
    "deployment.secret_rotated": "made a new secret for",
    "invite.accepted": "joined by an invite",
    "invite.created": "made an invite",
    "invite.revoked": "revoked an invite",
    "member.removed": "removed the member",
    "member.role_changed": "changed the role of",
    "organization.activated": "activated the organization",
    "organization.created": "made the organization",
    "organization.deactivated": "deactivated the organization",
    "person.locked": "was locked out: too many wrong passwords",
    "person.password_changed": "changed the own password",
    "person.password_reset": "gave a new password to",
    "person.renamed": "changed the own name",
    "person.session_ended": "ended a session",
    "person.signed_in": "signed in",
    "person.signed_out": "signed out",
    "server_token.created": "made the server token",
    "server_token.revoked": "revoked the server token",
    "session_token.created": "made a session token for",
    "tokens.reused": "came with a used refresh token; that sign-in was revoked",
}
"""Each action of the audit log as the middle of a sentence."""
KINDS = {
    "connector.": "Connectors that sign in",
    "deployment.": "Deployments",
    "invite.": "Invites",
    "member.": "Members",
    "organization.": "Organization",
    "person.": "People",
    "server_token.": "Server tokens",
    "session_token.": "Session tokens",
    "tokens.": "Refresh tokens",
}
"""What the log can be narrowed to."""
_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)  # fmt: skip


def when(moment: float | str | None) -> str:
    """A moment to the minute, in UTC; an en dash for never."""
    if moment is None:
        return "–"
    iso = moment if isinstance(moment, str) else to_iso(moment)
    return Markup('<time datetime="{}">{}</time>').format(iso, f"{iso[:10]} {iso[11:16]} UTC")


def ago(moment: float | str | None, now: float) -> str:
    """How long ago a moment was, or how far ahead it is; `never` when there was none."""
    if moment is None:
        return "never"
    wall = from_iso(moment) if isinstance(moment, str) else moment
    iso = to_iso(wall)
    span = duration(abs(now - wall))
    text = f"in {span}" if wall - now > 1 else f"{span} ago"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso, iso, text)


def duration(seconds: float) -> str:
    """The largest fitting unit: `12 s`, `5 min`, `3 h`, `9 days`."""
    for size, unit in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds >= size * (2 if unit == "day" else 1):
            count = int(seconds // size)
            return f"{count} {unit}{'s' if unit == 'day' else ''}"
    return f"{int(seconds)} s"


def browser_name(user_agent: str) -> str:
    """`Firefox on Linux`, as far as the User-Agent header tells."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if browser:
        return f"{browser} on {system}" if system else browser
    return re.sub(r"\s+", " ", user_agent)[:60] or "A program without a name"


def action_words(action: str) -> str:
    """The words of an action; one from a newer platform is shown as it is."""
    return ACTIONS.get(action, action)
