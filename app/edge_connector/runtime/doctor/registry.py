"""All checks of a connector in the order of the report. A room adds its own to the list."""

from __future__ import annotations

from edge_connector.core.checks import Check
from edge_connector.runtime.doctor.local import LOCAL_CHECKS
from edge_connector.runtime.doctor.peer import PEER_CHECKS
from edge_connector.runtime.doctor.subject import Subject
from edge_connector.runtime.doctor.way import WAY_CHECKS
from edge_connector.runtime.doctor.work import WORK_CHECKS

CHECKS: tuple[Check[Subject], ...] = (*LOCAL_CHECKS, *WAY_CHECKS, *PEER_CHECKS, *WORK_CHECKS)
