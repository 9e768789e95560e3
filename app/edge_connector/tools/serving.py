"""What both kinds of worker share: the tools, the context of a call, and the frames that answer it.

It reads and writes no socket; `worker_sync` and `worker_async` do.
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from edge_connector.core.depth import MAX_DEPTH, deeper_than
from edge_connector.tools import frames
from edge_connector.tools.api import CallCancelled, ContextPort, ToolContext, ToolError
from edge_connector.tools.diagnostics import diagnostics
from edge_connector.tools.loader import LoadedTools, add_declared, load_directory
from edge_connector.tools.schemas import ArgumentsInvalid, BoundTool, ResultInvalid

_TRACEBACK_CHARACTERS = 16_000
_MESSAGE_CHARACTERS = 4_000
_DETAIL_BYTES = 256 * 1024


def load_tools(init: frames.Init, announce: Any) -> LoadedTools:
    """Built-in tools first, so that a local one cannot take their names."""
    loaded = LoadedTools()
    add_declared(
        loaded, diagnostics(init.platform_url, init.log_file), source="builtin", origin="the built-in diagnostics"
    )
    if init.implementations:
        load_directory(loaded, Path(init.implementations), skip=init.skip, announce=announce)
    return loaded


def ready_frame(loaded: LoadedTools) -> frames.Ready:
    """What is served, for the runtime."""
    return frames.Ready(
        tools=[
            frames.ToolLine(
                bound.name,
                bound.title,
                bound.description,
                Raw(bound.parameters),
                Raw(bound.result),
                bound.risk,
                bound.repeat,
                bound.timeout_s,
                bound.source,
                bound.is_async,
            )
            for bound in loaded.tools.values()
        ],
        problems=[
            frames.ProblemLine(problem.code, problem.name, problem.message, problem.hint, problem.traceback)
            for problem in loaded.problems
        ],
    )


def make_context(call: frames.Call, port: ContextPort, scratch: str) -> ToolContext:
    """The context of one call."""
    return ToolContext(
        call_id=call.id,
        tool=call.tool,
        user=call.user,
        organization=call.organization,
        deployment=call.deployment,
        agent=call.agent,
        remaining_s=call.remaining_s,
        seq=call.seq,
        port=port,
        scratch_path=os.path.join(scratch, str(call.seq)),
    )


def unknown_tool(call: frames.Call) -> frames.Fail:
    """The runtime knows this tool and this worker does not: its code changed on disk between two starts."""
    return frames.Fail(
        call.seq,
        "refused",
        "unknown_tool",
        f"The tool {call.tool} is gone from the code on disk.",
        "Reload the tools.",
    )


def failure(call: frames.Call, bound: BoundTool | None, error: BaseException) -> frames.Fail:
    """What a call that raised is answered with."""
    seq, tool = call.seq, call.tool
    if isinstance(error, ArgumentsInvalid):
        hint = f"The parameters of {tool}: {bound.parameters.decode()[:500]}" if bound is not None else ""
        return frames.Fail(seq, "refused", "invalid_arguments", f"The arguments of {tool} do not fit: {error}.", hint)
    if isinstance(error, ResultInvalid):
        return frames.Fail(seq, "failed", error.code, error.message, error.hint)
    if isinstance(error, ToolError):
        return frames.Fail(
            seq, "failed", str(error.code), _short(str(error.message)), str(error.hint), _detail(error.detail)
        )
    if isinstance(error, CallCancelled):
        return frames.Fail(seq, "cancelled", "cancelled", f"{tool} was cancelled.")
    if isinstance(error, MemoryError):
        return frames.Fail(
            seq,
            "failed",
            "memory_limit",
            f"{tool} needed more memory than a worker may hold.",
            "Let it work on parts, or raise the memory limit of the workers.",
            traceback=_traceback(error),
        )
    if isinstance(error, SystemExit):
        return frames.Fail(
            seq,
            "failed",
            "tool_exited",
            f"{tool} tried to end its process with exit status {error.code!r}.",
            "Return a result or raise ToolError instead.",
            traceback=_traceback(error),
        )
    text = f"{type(error).__name__}: {_text(error)}".rstrip(": ")
    return frames.Fail(seq, "failed", "tool_raised", _short(text), traceback=_traceback(error))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a foreign exception class may fail even here
        return ""


def _short(text: str) -> str:
    return _clean(text[:_MESSAGE_CHARACTERS])


def _clean(text: str) -> str:
    # Lone surrogates cannot travel as UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")


def _traceback(error: BaseException) -> str:
    try:
        return _clean("".join(traceback.format_exception(error))[-_TRACEBACK_CHARACTERS:])
    except Exception:  # see _text
        return ""


def _detail(detail: Any) -> Raw:
    if detail is None:
        return frames.NO_DETAIL
    try:
        data = msgspec.json.encode(detail)
        if len(data) <= _DETAIL_BYTES and not deeper_than(data, MAX_DEPTH):
            return Raw(data)
    except Exception:  # an object JSON cannot hold: its text is better than nothing
        pass
    try:
        text = repr(detail)
    except Exception:  # it is foreign, or nested too deeply even for that
        text = f"a {type(detail).__name__} that cannot be written"
    return Raw(msgspec.json.encode(_short(text)))
