"""Tools: what an author imports, the worker processes that run the code, and the executor that hands them calls.

It knows nothing of the link or the platform: calls come in through `ToolExecutor.submit`, outcomes leave by a sink.
An author needs three names, loaded on first use so that a worker stays small:

    from edge_connector.tools import tool, ToolContext, ToolError
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_connector.tools.api import CallCancelled, ToolContext, ToolError, tool

__all__ = ["CallCancelled", "ToolContext", "ToolError", "tool"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from edge_connector.tools import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
