"""One message of each kind, with every field away from its default."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from edge_connector.wire import messages as m
from tests.support.wire_fields import tag_of

BUNDLE = m.BundleInfo(bundle_id="bun_1", name="tools", version=3, checksum="sha256:00")
AGENT = m.Agent(name="edge-connector", version="1.2.3", host="plant-7")

SAMPLES: dict[str, m.Message] = {
    tag_of(type(message)): message
    for message in (
        m.Hello(versions=[1], role=m.Role.CALLER, instance_id="i", agent=AGENT, take_over=True, features=["a"]),
        m.Welcome(
            version=1,
            session_id="s",
            organization_id="o",
            organization="O",
            deployment_id="d",
            deployment="D",
            connector_id="c",
            heartbeat_s=1.5,
            silence_s=4.0,
            limits=m.Limits(max_frame_bytes=1 << 20, max_result_bytes=1 << 19),
            agent=AGENT,
            features=["a"],
        ),
        m.Register(
            revision=1,
            tools=[
                m.ToolSpec(
                    name="t",
                    title="T",
                    description="d",
                    parameters=Raw(b'{"type":"object","required":["a"]}'),
                    result=Raw(b'{"type":"string"}'),
                    risk="write",
                    repeat="repeatable",
                    timeout_ms=5,
                    source="bundle",
                )
            ],
            runtime=m.RuntimeInfo(version="1", host="h", platform="linux", python="3.11", pid=7),
            bundle=BUNDLE,
        ),
        m.Registered(revision=1, accepted=2, rejected=[m.RejectedTool(name="t", reason="r")]),
        m.Status(
            state="working",
            problems=[m.ProblemInfo(code="c", sentence="s", severity="error", since=1.5)],
            bundle=BUNDLE,
            proof_age_ms=5,
            load=m.Load(running=1, queued=2, slots=3),
        ),
        m.Heartbeat(seq=1),
        m.HeartbeatAck(seq=1),
        m.Probe(probe="p"),
        m.Drain(reconnect_min_ms=1, reconnect_max_ms=2, reason="r"),
        m.Goodbye(reason="stopping"),
        m.Call(
            id="c1",
            tool="t",
            arguments=Raw(b'{"a":[1,"\xc3\xa4"]}'),
            remaining_ms=7,
            context=m.CallContext(user="u", organization="o", deployment="d", agent="a"),
            attempt=2,
            probe="p",
            deployment="d",
        ),
        m.Accepted(id="c1"),
        m.Progress(id="c1", fraction=0.5, message="m"),
        m.Result(id="c1", result=Raw(b"null"), duration_ms=1.5),
        m.ResultPart(id="c1", offset=0, total=5, data="[1,", duration_ms=1.5),
        m.ResultReference(id="c1", sha256="ab", duration_ms=1.5),
        m.Failure(
            id="c1",
            outcome=m.Outcome.FAILED,
            error=m.CallError(code="c", message="m", hint="h", detail=Raw(b"[1]")),
            duration_ms=1.5,
        ),
        m.Cancel(id="c1", reason="r"),
        m.Receipt(ids=["c1", "c2"]),
        m.BundleAnnounce(bundle_id="b", version=2, checksum="x", name="n"),
        m.Webhook(
            id="w",
            source="s",
            received_at=1.5,
            method="POST",
            target="/a%20b?c",
            headers=[("X-a", "1"), ("x-A", "2")],
            body=b"\x00\xff",
            attributes={"signature": "valid"},
        ),
        m.WebhookReceipt(id="w", accepted=False, reason="r"),
    )
}
"""By tag."""


def encoded(message: m.Message) -> bytes:
    """`message` as a frame; also the way to compare two messages, because raw JSON is compared by identity."""
    return msgspec.json.encode(message)
