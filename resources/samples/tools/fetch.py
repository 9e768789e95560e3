"""HTTP: fetch an address that this machine can reach."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from edge_connector.tools import ToolContext, ToolError, tool


class Page(Struct):
    """An answer; `ms` until its body was read."""

    url: str
    status: int
    content_type: str
    text: str
    truncated: bool
    ms: float


@tool(risk="network", repeat="read", timeout_s=60)
def fetchUrl(
    url: Annotated[str, Meta(description="http or https address")],
    context: ToolContext,
    timeout_s: Annotated[float, Meta(gt=0, le=50)] = 10.0,
    max_bytes: Annotated[int, Meta(ge=1, le=2_000_000)] = 200_000,
) -> Page:
    """GET an address and return its text. An answer like 404 is a result, not an error."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ToolError("scheme_unsupported", f"{url!r} begins neither with http:// nor with https://.")
    began = time.perf_counter()
    request = urllib.request.Request(url, headers={"User-Agent": "edge-connector-sample"})
    context.progress(message=f"asking {urlsplit(url).hostname}")
    try:
        try:
            answer = urllib.request.urlopen(request, timeout=timeout_s)
        except urllib.error.HTTPError as error:
            answer = error  # it is an answer all the same
        with answer:
            body = answer.read(max_bytes + 1)
            charset = answer.headers.get_content_charset("utf-8")
            content_type = answer.headers.get_content_type()
            final, status = answer.url, answer.status
    except (OSError, ValueError) as error:  # names, sockets, TLS and time-outs; an unusable address
        raise ToolError("fetch_failed", f"{url} cannot be fetched: {getattr(error, 'reason', error)}.") from error
    try:
        text = body[:max_bytes].decode(charset, "replace")
    except LookupError:  # a charset nobody knows
        text = body[:max_bytes].decode("utf-8", "replace")
    ms = round((time.perf_counter() - began) * 1000, 1)
    return Page(final, status, content_type, text, len(body) > max_bytes, ms)
