"""/metrics of connector and platform after real calls, read by the client library's own parser."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_connector.core.errors import EdgeError
from edge_connector.platform_api import operations as ops
from edge_connector.platform_server.metrics import PLATFORM_METRICS
from edge_connector.runtime.metrics import CONNECTOR_METRICS
from tests.support.real_connector import environment, running_connector
from tests.support.real_platform import running_platform
from tests.support.waiting import eventually

TOOLS = """
from edge_connector.tools import tool

@tool(risk="read", repeat="read")
def double(number: int) -> int:
    return number * 2

@tool(risk="read", repeat="read")
def raising() -> int:
    raise ValueError("no")
"""
Values = dict[str, dict[tuple[str, ...], float]]


def read(text: str) -> Values:
    """Values by name of the sample and the values of its labels, by the labels' names, without the buckets."""
    found: Values = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith("_bucket"):
                found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


async def scrape(port: int, **headers: str) -> tuple[int, str, str]:
    """Status, content type and text."""
    url = f"http://127.0.0.1:{port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        found = answer.status, answer.headers["Content-Type"], await answer.text()
    await asyncio.sleep(0)
    return found


async def test_what_a_connector_did_is_what_its_metrics_say(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        made = await platform.deploy()
        variables = environment(platform.rpc_url, made.id, made.secret)
        async with running_connector(tmp_path / "home", variables, tools=TOOLS) as runtime:
            port = runtime.board.snapshot().health.port
            for number in range(5):
                assert (await platform.call("double", {"number": number})).outcome == "succeeded"
            assert (await platform.call("double", {"number": "x"})).outcome == "refused"
            assert (await platform.call("raising")).outcome == "failed"
            await runtime.commands.call_locally("made up by somebody", b"{}", timeout_s=5.0)
            await eventually(lambda: not runtime.desk.unconfirmed, what="all outcomes to be confirmed")
            status, kind, text = await scrape(port)
            assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
            found = read(text)
            assert found["edge_connector_calls_total"] == {
                ("succeeded", "double"): 5, ("refused", "double"): 1, ("failed", "raising"): 1, ("refused", "other"): 1,
            }  # fmt: skip
            assert found["edge_connector_call_duration_seconds_count"][("double",)] == 6
            assert found["edge_connector_link_up"][()] == found["edge_connector_ready"][()] == 1
            assert found["edge_connector_state"][("working",)] == 1 and sum(found["edge_connector_state"].values()) == 1
            assert 0 <= found["edge_connector_proof_age_seconds"][()] < 60
            assert found["edge_connector_outcomes_held"][()] == 0
            assert found["edge_connector_calls_received_total"][()] >= 7
            (labels,) = found["edge_connector_info"]
            assert (labels[0], labels[2]) == (made.id, platform.organization_id)
            assert found["process_resident_memory_bytes"][()] > 1_000_000
            assert made.secret not in text

            lost = found["edge_connector_workers_lost_total"][()]
            os.kill(runtime.executor.workers()[0].pid, signal.SIGKILL)
            await eventually(lambda: runtime.executor.counters.workers_lost > lost, what="the loss to be noticed")
            found = read((await scrape(port))[2])
            assert found["edge_connector_workers_lost_total"][()] == lost + 1

            await platform.server.stop()
            await eventually(lambda: runtime.board.snapshot().link.phase == "waiting", what="the link to be down")
            found = read((await scrape(port))[2])
            assert found["edge_connector_link_up"][()] == found["edge_connector_ready"][()] == 0
            assert found["edge_connector_link_reconnects_total"][()] == 1
            assert found["edge_connector_problems"][("error",)] == 1


async def test_everything_that_is_told_is_declared_and_in_order(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        made = await platform.deploy()
        async with running_connector(tmp_path / "home", environment(platform.rpc_url, made.id, made.secret)) as runtime:
            await platform.call("echo", {"message": "x"})
            samples = runtime._metrics()
            text = await platform.client.call(ops.METRICS)
        told = list(dict.fromkeys(sample.metric for sample in samples))
        assert told == [metric for metric in CONNECTOR_METRICS if metric in told]
        optional = {"edge_connector_ledger_bytes", "edge_connector_link_round_trip_seconds"}
        assert {metric.name for metric in CONNECTOR_METRICS} - {metric.name for metric in told} <= optional
        assert read(text).keys() == {metric.name for metric in PLATFORM_METRICS}
        found = read(text)
        assert found["edge_platform_sessions"] == {("connector",): 1, ("caller",): 0, ("new",): 0}
        assert found["edge_platform_calls_total"] == {("succeeded",): 1}
        assert found["edge_platform_deployments"][()] == found["edge_platform_deployments_serving"][()] == 1
        assert found["edge_platform_calls_open"][()] == 0 and found["edge_platform_store_bytes"][()] > 0
        assert platform.organization_id not in text and made.id not in text


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}], ids=str)
async def test_a_page_in_a_browser_reads_nothing(tmp_path: Path, headers: dict[str, Any]) -> None:
    variables = environment("ws://127.0.0.1:9", "dep", "secret")
    async with running_connector(tmp_path / "home", variables, until_working=False) as runtime:
        status, _, text = await scrape(runtime.board.snapshot().health.port, **headers)
        assert status == 403 and "host_not_allowed" in text and "edge_connector_" not in text


async def test_a_platforms_metrics_want_an_admins_token(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        made = await platform.deploy()
        for token, code in ((None, "credentials_missing"), (f"Deployment {made.id}:{made.secret}", "forbidden")):
            with pytest.raises(EdgeError) as refused:
                await platform.client_with(token).call(ops.METRICS)
            assert refused.value.code == code
