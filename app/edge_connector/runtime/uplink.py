"""The connector towards its platform: what it says and registers, and what the platform's answers mean.

It implements the link's `LinkHandler` and knows nothing of sockets, health or commands.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import random
import socket
import ssl
from collections.abc import Callable

import msgspec

from edge_connector import __version__
from edge_connector.auth.claims import LEEWAY_S
from edge_connector.auth.credentials import DeploymentCredentials, TokenCredentials
from edge_connector.auth.current import current_credentials
from edge_connector.config.loading import LoadedConfig
from edge_connector.core.clock import Clock, from_iso, to_iso
from edge_connector.core.errors import EdgeError, Fatal
from edge_connector.core.log import hide
from edge_connector.core.status import Authorised, LinkPhase
from edge_connector.link.supervisor import Link, LinkFacts
from edge_connector.link.transport import DialTarget, LinkDown
from edge_connector.net.tls import client_context
from edge_connector.runtime.board import LinkView, StatusBoard
from edge_connector.runtime.calls import CallDesk
from edge_connector.runtime.large_results import LargeResults, http_courier
from edge_connector.runtime.probe import Prober
from edge_connector.tools.executor import ToolExecutor
from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import Retry

log = logging.getLogger(__name__)

LINK_PROBLEMS = (
    "platform_unreachable", "host_not_found", "no_route", "no_answer", "proxy_refused", "tls_failed", "not_a_platform",
    "version_unsupported", "credentials_refused", "forbidden", "deployment_gone",
    "credentials_revoked", "deployment_already_connected", "taken_over", "replaced",
    "protocol_broken", "platform_silent", "disconnected", "needs_login", "token_expired", "token_invalid",
    "token_without_organization", "clock_skew", "keyring_locked", "keyring_unavailable", "internal_error",
)  # fmt: skip
FOR_A_PERSON = ("keyring_locked", "keyring_unavailable")
"""The link goes on by itself after these, but only when a person has acted."""


class Uplink:
    """Owns the link, and turns what happens on it into facts, problems and calls."""

    def __init__(
        self,
        loaded: LoadedConfig,
        *,
        board: StatusBoard,
        clock: Clock,
        instance_id: str,
        take_over: bool,
        on_refused: Callable[[Fatal], None],
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`on_refused` hears of a permanent refusal that comes before the platform ever accepted this process."""
        self._loaded = loaded
        self._settings = loaded.settings
        self._board = board
        self._clock = clock
        self._instance_id = instance_id
        self._take_over = take_over
        self._on_refused = on_refused
        self._welcome: m.Welcome | None = None
        self._expires_at: float | None = None
        self._used = ""
        self._waits_for_person = False
        self._sign_in_ended = False
        self._tls: ssl.SSLContext | None = None
        self.host = loaded.settings.instance_name or socket.gethostname()
        self._executor: ToolExecutor
        self._prober: Prober
        self.desk: CallDesk
        self.authorised = Authorised(method="")
        self.link = Link(
            self, target=self._dial_target, hello=self._hello, on_facts=self._on_facts, clock=clock, draw=draw
        )
        self.large_results = LargeResults(self.link.send, lambda: http_courier(loaded, clock), clock)

    def attach(self, executor: ToolExecutor, desk: CallDesk, prober: Prober) -> None:
        """Give it what needs the link in turn; call it before the link starts."""
        self._executor = executor
        self._prober = prober
        self.desk = desk

    async def check_credentials(self) -> None:
        """Find the credentials once before anything is started.

        Raises:
            NeedsLogin: there are none, or they are no good.
            NotConnected: a token whose time is over cannot be renewed now; or the keyring is locked.
        """
        credentials = await current_credentials(self._loaded, clock=self._clock)
        self._note(credentials)
        log.info("credentials found method=%s source=%s", self.authorised.method, self.authorised.source)

    def _note(self, credentials: DeploymentCredentials | TokenCredentials) -> None:
        """Show which credentials the next dial will use."""
        method = "deployment" if isinstance(credentials, DeploymentCredentials) else "token"
        expires_at = _expiry(credentials)
        if (self.authorised.method, self.authorised.source) == (method, credentials.source):
            self.authorised = msgspec.structs.replace(self.authorised, expires_at=expires_at)
        else:
            self.authorised = Authorised(method=method, source=credentials.source, expires_at=expires_at)

    async def credentials_changed(self, reason: str) -> None:
        """Dial again when other credentials count by now than those of the link; an unchanged link is left alone."""
        try:
            found = await current_credentials(self._loaded, clock=self._clock)
        except EdgeError:
            pass  # the next dial says what is wrong
        else:
            if self.link.is_open and found.authorization_header == self._used:
                return
            self._note(found)
        self.link.redial(reason)

    def set_sign_in_ended(self, ended: bool) -> None:
        """Whether the platform renews the token no more; a link that lives by it needs a person then."""
        self._sign_in_ended = ended
        self._board.set_flags(needs_person=self._needs_person)

    @property
    def _needs_person(self) -> bool:
        return self._waits_for_person or (self._sign_in_ended and self.authorised.method == "token")

    def view(self) -> LinkView:
        """The link as the status shows it."""
        facts = self.link.facts
        return LinkView(
            phase=facts.phase,
            since=facts.since,
            url=self._settings.tool_rpc_url,
            attempt=facts.attempt,
            next_attempt_at=facts.next_attempt_at,
            session_id=self._welcome.session_id if self._welcome and facts.phase is LinkPhase.OPEN else "",
            round_trip_s=self.link.round_trip_s,
            last_error="" if facts.down is None else facts.down.detail,
            reconnects=facts.reconnects,
        )

    # ---- what the link asks and tells (LinkHandler)

    def registration(self) -> tuple[list[m.ToolSpec], m.RuntimeInfo, m.BundleInfo | None]:
        """The tools served now and the facts of this machine."""
        tools = [
            m.ToolSpec(
                name=tool.name,
                title=tool.title,
                description=tool.description,
                parameters=tool.parameters,
                result=tool.result,
                risk=tool.risk,
                repeat=tool.repeat,
                timeout_ms=int((tool.timeout_s or self._settings.tool_timeout_s) * 1000),
                source=tool.source,
            )
            for tool in self._executor.tools
        ]
        runtime = m.RuntimeInfo(
            version=__version__,
            host=self.host,
            platform=platform.platform(terse=True),
            python=platform.python_version(),
            pid=os.getpid(),
        )
        return tools, runtime, None

    def status(self) -> m.Status:
        """The status as the platform sees it."""
        proof_age_s = self._prober.age_s
        running, queued, slots = self._executor.load()
        return m.Status(
            state=self._board.state.value,
            problems=[
                m.ProblemInfo(
                    code=problem.code,
                    sentence=problem.sentence,
                    severity=problem.severity,
                    since=from_iso(problem.since),
                )
                for problem in self._board.problems
            ],
            proof_age_ms=-1 if proof_age_s is None else int(proof_age_s * 1000),
            load=m.Load(running=running, queued=queued, slots=slots),
        )

    def on_welcome(self, welcome: m.Welcome) -> None:
        """The credentials are good."""
        self._welcome = welcome
        self._take_over = False
        self.large_results.offered(m.FEATURE_REFERENCES in welcome.features)
        self.desk.max_result_bytes = welcome.limits.max_result_bytes
        self.authorised = msgspec.structs.replace(
            self.authorised,
            organization=welcome.organization,
            organization_id=welcome.organization_id,
            deployment=welcome.deployment,
            deployment_id=welcome.deployment_id,
            connector_id=welcome.connector_id,
            accepted=True,
        )

    def on_registered(self, registered: m.Registered) -> None:
        """Calls may come; outcomes that waited go first."""
        if self.link.facts.phase is not LinkPhase.OPEN:
            welcome = self._welcome
            assert welcome is not None, "registered follows welcome"
            log.info(
                "registered session=%s organization=%s deployment=%s tools=%d",
                welcome.session_id, welcome.organization_id, welcome.deployment_id, registered.accepted,
            )  # fmt: skip
            self._board.clear_problems(*LINK_PROBLEMS)
            self.link.registered()
            self.desk.take_up(welcome.deployment_id)
            self.desk.send_held()
            probed = m.FEATURE_PROBE in welcome.features
            if probed:
                self._board.clear_problems("local_proof_only")
            else:
                self._board.raise_problem("local_proof_only")
            self._prober.link_opened(supported=probed)
        if registered.rejected:
            detail = "; ".join(f"{tool.name}: {tool.reason}" for tool in registered.rejected)
            self._board.raise_problem("tools_rejected", detail=detail)
        else:
            self._board.clear_problems("tools_rejected")

    def on_message(self, message: m.Message) -> None:
        """A call and what belongs to it."""
        match message:
            case m.Call():
                self.desk.on_call(message)
            case m.Receipt():
                self.desk.on_receipt(message)
            case m.Cancel():
                self.desk.on_cancel(message)
            case _:
                log.debug("message without a taker type=%s", type(message).__name__)

    # ---- what the link tells

    def _on_facts(self, facts: LinkFacts) -> None:
        if facts.phase is not LinkPhase.OPEN:
            self._prober.link_closed()
            self.large_results.link_closed()
        if facts.phase is LinkPhase.IDLE:
            self._board.clear_problems(*LINK_PROBLEMS)
        if (down := facts.down) is not None:
            down = self._with_cause(down)
            if down.retry is Retry.NEVER:
                self.authorised = msgspec.structs.replace(self.authorised, accepted=False)
            self._board.clear_problems(*(code for code in LINK_PROBLEMS if code != down.problem))
            self._board.raise_problem(down.problem, detail=down.detail, url=self._settings.tool_rpc_url)
        self._waits_for_person = facts.phase is LinkPhase.REFUSED or (down is not None and down.problem in FOR_A_PERSON)
        self._board.set_flags(needs_person=self._needs_person)
        if facts.phase is LinkPhase.REFUSED and down is not None and self._welcome is None:
            problem = next(problem for problem in self._board.problems if problem.code == down.problem)
            self._on_refused(Fatal(problem.code, problem.sentence, hint=problem.fix))

    def _with_cause(self, down: LinkDown) -> LinkDown:
        """A platform that takes a token no more says no; that its time is over is known here."""
        expires_at = self._expires_at
        if down.problem not in ("credentials_refused", "credentials_revoked") or expires_at is None:
            return down
        if self._clock.wall() < expires_at - LEEWAY_S:
            return down
        return LinkDown(
            "token_expired", f"Token has expired at {to_iso(expires_at)}.", retry=down.retry, code=down.code
        )

    # ---- what the link asks

    async def _dial_target(self) -> DialTarget:
        # Read on every dial: a token that was renewed meanwhile counts at once.
        credentials = await current_credentials(self._loaded, clock=self._clock)
        self._note(credentials)
        self._used = credentials.authorization_header
        self._expires_at = credentials.info.expires_at if isinstance(credentials, TokenCredentials) else None
        header = credentials.authorization_header
        hide(header.rpartition(":" if isinstance(credentials, DeploymentCredentials) else " ")[2])
        url = self._settings.tool_rpc_url
        if url.startswith("wss:") and self._tls is None:
            self._tls = await asyncio.to_thread(client_context, self._settings.ca_file)
        return DialTarget(
            url=url,
            subprotocol=m.SUBPROTOCOL,
            headers={"Authorization": header},
            tls=self._tls,
            max_frame_bytes=m.MAX_FRAME_BYTES,
            user_agent=f"edge-connector/{__version__}",
        )

    def _hello(self) -> m.Hello:
        agent = m.Agent(name="edge-connector", version=__version__, host=self.host)
        return m.Hello(
            versions=[m.VERSION],
            instance_id=self._instance_id,
            agent=agent,
            take_over=self._take_over,
            features=[m.FEATURE_PROBE],
        )


def _expiry(credentials: DeploymentCredentials | TokenCredentials) -> str:
    expires_at = credentials.info.expires_at if isinstance(credentials, TokenCredentials) else None
    return "" if expires_at is None else to_iso(expires_at)
