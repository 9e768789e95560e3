"""Any failure of a request as the refusal that its sender is told; the log has the cause. It writes no answer."""

from __future__ import annotations

import logging
import secrets

from edge_connector.core.errors import EdgeError
from edge_connector.platform_server.refusals import Refused

log = logging.getLogger(__name__)


def as_refusal(error: Exception, path: str) -> Refused:
    """What the sender is told. Call it where `error` was caught."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, EdgeError):
        log.warning("request failed path=%s code=%s error=%s", path, error.code, error)
        return Refused(507 if error.code == "disk_full" else 503, error.code, error.message, hint=error.hint)
    number = secrets.token_hex(4)
    log.exception("request failed path=%s number=%s", path, number)
    text = f"The platform failed on this request; its log has the cause under the number {number}."
    return Refused(500, "internal_error", text, hint="Report it with that part of the log.")
