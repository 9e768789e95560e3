"""The platform as one object that starts and stops inside any running loop; the command line and the tests embed it.

server = PlatformServer(PlatformConfig(data=Path("platform-data")))
await server.start()
print(server.setup_url or server.api_url)
await server.stop()
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from edge_connector.core.clock import Clock, SystemClock
from edge_connector.core.errors import UserError
from edge_connector.core.tasks import TaskOwner
from edge_connector.net.hosts import name_in
from edge_connector.net.sockets import keep_little_unsent
from edge_connector.platform_server.data_directory import DataDirectory
from edge_connector.platform_server.deployments import Deployments
from edge_connector.platform_server.first_start import FirstStart
from edge_connector.platform_server.fleet import Fleet
from edge_connector.platform_server.http.application import HttpApplication
from edge_connector.platform_server.http.call_protocol import call_protocol
from edge_connector.platform_server.http.hosts import HostCheck
from edge_connector.platform_server.identity import Identity
from edge_connector.platform_server.listening import EmbeddedServer, bind, tls_context
from edge_connector.platform_server.parts import Parts
from edge_connector.platform_server.people.audit import KEEP_S as KEEP_AUDIT_S
from edge_connector.platform_server.people.audit import Audit
from edge_connector.platform_server.people.devices import DeviceGrants
from edge_connector.platform_server.people.members import Members
from edge_connector.platform_server.people.passwords import Passwords
from edge_connector.platform_server.people.sessions import Sessions
from edge_connector.platform_server.people.tokens import ACCESS_S, Tokens
from edge_connector.platform_server.results.references import References
from edge_connector.platform_server.results.store import ResultStore
from edge_connector.platform_server.results.upload import ResultUpload
from edge_connector.platform_server.signing import SigningKey
from edge_connector.platform_server.store.records import Store
from edge_connector.platform_server.store.sqlite import SqliteStore
from edge_connector.platform_server.tool_rpc.calls import CallRouter, outcome_unknown
from edge_connector.platform_server.tool_rpc.endpoint import ToolRpcEndpoint
from edge_connector.platform_server.tool_rpc.journal import CallJournal
from edge_connector.wire.messages import HEARTBEAT_S, MAX_FRAME_BYTES, MAX_RESULT_BYTES

log = logging.getLogger(__name__)

PRESENCE_S = 30.0
"""How often last-seen stamps and token uses are written."""
PRUNE_S = 3600.0
KEEP_RESULTS_S = 24 * 3600.0
KEEP_CALLS_S = 30 * 24 * 3600.0
KEEP_CALLS = 1_000_000
"""Of each organization, however young: some 120 MB."""
GC_THRESHOLD = 50_000


@dataclass(frozen=True, slots=True)
class PlatformConfig:
    """How to serve.

    Attributes:
        data: directory of store, key and lock; made when it is not there.
        api_port, rpc_port: 0 means any free port.
        public_url: address of the HTTP API as others see it, when a proxy stands in front.
        allowed_hosts: further names under which it is reached, besides IP addresses, localhost and the public URL's.
        drain_s: how long a stop waits for open calls.
        heartbeat_s: between two heartbeats of a session; after two and a half of them without a frame it is given up.
    """

    data: Path
    host: str = "127.0.0.1"
    api_port: int = 3000
    rpc_port: int = 3001
    tls_cert: Path | None = None
    tls_key: Path | None = None
    public_url: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    drain_s: float = 5.0
    heartbeat_s: float = HEARTBEAT_S


class PlatformServer:
    """A platform. `start` and `stop` once each; `stop` is legal at any time and idempotent."""

    name = "platform"

    def __init__(self, config: PlatformConfig, *, clock: Clock | None = None) -> None:
        self._config = config
        self._clock = clock or SystemClock()
        self._tasks = TaskOwner("platform")
        self._directory = DataDirectory(config.data)
        self._store: Store | None = None
        self._parts: Parts | None = None
        self._servers: list[EmbeddedServer] = []
        self._hurry = asyncio.Event()

    @property
    def api_url(self) -> str:
        """Base of the HTTP API."""
        return self._started().api_url

    @property
    def rpc_url(self) -> str:
        """Address that connectors dial."""
        return self._started().rpc_url

    @property
    def setup_code(self) -> str | None:
        """The one-time code; None once the platform is set up."""
        return self._started().first_start.code

    @property
    def setup_url(self) -> str | None:
        """The one-time link; None once the platform is set up."""
        code = self.setup_code
        return None if code is None else f"{self.api_url}/setup?code={code}"

    def _started(self) -> Parts:
        assert self._parts is not None, "the platform was not started"
        return self._parts

    async def start(self) -> None:
        """Returns when both ports serve.

        Raises:
            UserError: a port is taken, the certificate pair is bad, the directory cannot be used.
            LockHeld: another server uses the data directory.
            Fatal: the store was made by a newer version.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        config = self._config
        hosts = HostCheck((config.host, _public_host(config.public_url), *_checked_names(config.allowed_hosts)))
        tls = tls_context(config.tls_cert, config.tls_key)
        self._directory.lock()
        api_listener = bind(config.host, config.api_port, flag="--api-port")
        try:
            rpc_listener = bind(config.host, config.rpc_port, flag="--rpc-port")
        except UserError:
            api_listener.close()
            raise
        try:
            api_url = config.public_url or _url("https" if tls else "http", config.host, api_listener.getsockname()[1])
            rpc_url = _url("wss" if tls else "ws", config.host, rpc_listener.getsockname()[1])
            self._parts = parts = await self._assemble(api_url.rstrip("/"), rpc_url, hosts)
            application = HttpApplication(parts)
            keep_little_unsent(rpc_listener)
            # Slack over the protocol's own limit, so that a frame a little too large gets the protocol's close code.
            self._servers = [
                EmbeddedServer(
                    parts.tool_rpc, rpc_listener, tls, max_frame=MAX_FRAME_BYTES + 1024 * 1024, linger_s=1.0
                ),
                EmbeddedServer(application, api_listener, tls, max_frame=1024, http=call_protocol(application.front)),
            ]
        except BaseException:
            api_listener.close()
            rpc_listener.close()
            raise
        for server in self._servers:
            await server.start()
        self._tasks.spawn(self._keep_house(), name="house")
        # The default of 700 makes a full collection of everything alive several times a second under load.
        gc.set_threshold(max(gc.get_threshold()[0], GC_THRESHOLD), *gc.get_threshold()[1:])
        log.info("platform serves api=%s rpc=%s data=%s", parts.api_url, parts.rpc_url, config.data)

    async def _assemble(self, api_url: str, rpc_url: str, hosts: HostCheck) -> Parts:
        clock = self._clock
        self._store = store = SqliteStore(self._directory.store)
        await store.open()
        key = SigningKey.load_or_create(self._directory.signing_key)
        unknown = outcome_unknown()
        interrupted = await store.interrupt_open_calls(unknown.code, unknown.message)
        if interrupted:
            log.warning("calls were open when the platform last ended calls=%d", interrupted)
        stored = await store.load()
        fleet = Fleet(stored.deployments, stored.connectors, clock)
        identity = Identity(stored, fleet, key, clock)
        deployments = Deployments(store, fleet, identity, clock)
        journal = CallJournal(store)
        router = CallRouter(fleet, journal, clock)
        results = ResultStore(self._directory.results, clock)
        await results.open()
        tool_rpc = ToolRpcEndpoint(
            identity=identity,
            fleet=fleet,
            deployments=deployments,
            router=router,
            journal=journal,
            references=References(results),
            hosts=hosts,
            heartbeat_s=self._config.heartbeat_s,
        )
        passwords = Passwords()
        audit = Audit(store.people, identity, clock)
        tokens = Tokens(store.people, identity, audit, clock, issuer=api_url)
        sessions = Sessions(
            store.people,
            stored.web_sessions,
            identity=identity,
            passwords=passwords,
            tokens=tokens,
            audit=audit,
            clock=clock,
        )
        first_start = FirstStart(store, identity, passwords, audit, clock)
        first_start.issuer = api_url
        await first_start.open()
        return Parts(
            clock=clock,
            store=store,
            key=key,
            fleet=fleet,
            identity=identity,
            deployments=deployments,
            audit=audit,
            tokens=tokens,
            sessions=sessions,
            members=Members(store.people, identity=identity, passwords=passwords, audit=audit, clock=clock),
            devices=DeviceGrants(store.people, identity, tokens, audit, clock),
            journal=journal,
            router=router,
            tool_rpc=tool_rpc,
            first_start=first_start,
            store_file=self._directory.store,
            results=results,
            uploads=ResultUpload(router, results, MAX_RESULT_BYTES),
            api_url=api_url,
            rpc_url=rpc_url,
            hosts=hosts,
        )

    async def _keep_house(self) -> None:
        parts = self._started()
        next_prune = 0.0
        while True:
            now = asyncio.get_running_loop().time()
            if now >= next_prune:
                next_prune = now + PRUNE_S
                wall = self._clock.wall()
                try:
                    await parts.store.prune(
                        results_before=wall - KEEP_RESULTS_S, calls_before=wall - KEEP_CALLS_S, keep_calls=KEEP_CALLS
                    )
                    await parts.store.people.prune_people(wall, audit_before=wall - KEEP_AUDIT_S)
                    parts.sessions.expire()
                    parts.identity.forget_revoked(wall - 2 * ACCESS_S)
                except UserError as error:
                    log.warning("store could not be pruned code=%s error=%s", error.code, error)
            await asyncio.sleep(PRESENCE_S)
            self._note_presence(parts)
            # Sessions and connections that ended are cycles of some 20 kB, and too few to reach the threshold soon.
            gc.collect(1)
            parts.results.expire()

    def _note_presence(self, parts: Parts) -> None:
        parts.store.note_connectors(parts.fleet.take_dirty())
        parts.store.note_token_use(parts.identity.take_uses())
        parts.store.people.note_web_sessions(parts.sessions.take_seen())

    def hurry(self) -> None:
        """A running or later `stop` does not wait for open calls."""
        self._hurry.set()

    async def stop(self) -> None:
        """Announce, let open calls finish within `drain_s`, close sessions with a reconnect window, write, unlock."""
        parts, servers = self._parts, self._servers
        self._servers = []
        if parts is not None and servers:
            parts.tool_rpc.announce_drain()
            drain = self._tasks.spawn(parts.router.drain(self._config.drain_s), name="drain")
            hurry = self._tasks.spawn(self._hurry.wait(), name="hurry")
            await asyncio.wait([drain, hurry], return_when=asyncio.FIRST_COMPLETED)
            if not drain.done():
                drain.cancel()
                await asyncio.wait([drain])
                await parts.router.drain(0)
            await parts.journal.close()
            await parts.tool_rpc.close(timeout_s=3.0)
            await asyncio.gather(*(server.stop() for server in servers))
            parts.journal.flush()
            self._note_presence(parts)
        await self._tasks.close()
        if self._store is not None:
            store, self._store = self._store, None
            await store.close()
        self._directory.unlock()


async def serve_forever(config: PlatformConfig, on_ready: Callable[[PlatformServer], None]) -> None:
    """Serve until SIGINT or SIGTERM; a second signal cuts the wait for open calls short.

    Args:
        on_ready: called once when both ports serve.
    """
    server = PlatformServer(config)
    ended = asyncio.Event()

    def on_signal() -> None:
        if ended.is_set():
            server.hurry()
        ended.set()

    loop = asyncio.get_running_loop()
    handled = (signal.SIGINT, signal.SIGTERM)
    for number in handled:
        loop.add_signal_handler(number, on_signal)
    try:
        await server.start()
        on_ready(server)
        await ended.wait()
        log.info("platform stops")
    finally:
        await server.stop()
        for number in handled:
            loop.remove_signal_handler(number)


def _public_host(public_url: str | None) -> str:
    if public_url is None:
        return ""
    parts = urlsplit(public_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(
            "bad_public_url",
            f"--public-url {public_url!r} is no http:// or https:// address.",
            hint="Give it as https://platform.example.",
        )
    return parts.hostname


def _checked_names(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not name or name_in(name) != name.lower().removesuffix("."):
            raise UserError(
                "bad_allowed_host",
                f"--allowed-host {name!r} is no host name.",
                hint="Give the name alone, without scheme and port: platform.example.",
            )
    return names


def _url(scheme: str, host: str, port: int) -> str:
    """An address that works on this machine, also when the server listens on all interfaces."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"{scheme}://{host}:{port}"
    if address.is_unspecified:
        return f"{scheme}://localhost:{port}"
    return f"{scheme}://[{host}]:{port}" if address.version == 6 else f"{scheme}://{host}:{port}"
