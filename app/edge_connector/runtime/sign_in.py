"""The person's sign-in of a running connector: begun and ended on request, renewed before its end, warned about.

It owns no link: what changed is told by `on_change`, and the link reads the credentials at its next dial. What talks to
the platform is imported when it is needed: a connector with a deployment of its own never does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from edge_connector.auth.browser import open_page
from edge_connector.auth.claims import LEEWAY_S
from edge_connector.auth.credentials import SignInEnded, TokenCredentials, find_credentials, find_renewable_token
from edge_connector.auth.device import DeviceFlow
from edge_connector.auth.keyring_access import KeyringLocked
from edge_connector.auth.renewal import next_change, renew_at, warning
from edge_connector.auth.vault import Kind, Vault
from edge_connector.config.loading import LoadedConfig
from edge_connector.core.backoff import Backoff
from edge_connector.core.clock import Clock, to_iso
from edge_connector.core.errors import EdgeError, NeedsLogin, NotConnected
from edge_connector.core.status import SignInPhase, SignInStatus
from edge_connector.core.tasks import TaskOwner
from edge_connector.runtime.board import StatusBoard

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 3600.0
"""Longest time between two looks: clocks jump, and files are put in place by hand."""
LOCKED_LOOK_S = 5.0
ENDED = "sign_in_ended"
FAILED = "sign_in_failed"
SOON = "token_expires_soon"


class SignInDesk:
    """Sees to the sign-in of one installation. A `core.services.Service`."""

    name = "sign-in"

    def __init__(
        self,
        loaded: LoadedConfig,
        *,
        board: StatusBoard,
        clock: Clock,
        instance_id: str,
        host: str,
        draw: Callable[[], float],
        on_change: Callable[[str], None],
        on_ended: Callable[[bool], None],
        is_desktop: bool = False,
        at_start: bool = False,
        open_address: Callable[[str], bool] = open_page,
    ) -> None:
        """Nothing is read yet.

        Args:
            host: this machine's name for the approval page.
            on_change: hears why the credentials are other ones now.
            on_ended: hears whether the platform has ended the sign-in for good.
            is_desktop: it is a person's own: signed in, it gets a deployment of its own; its secrets go to the keyring.
            at_start: begin a sign-in in the browser, once, when there is nothing to connect with.
            open_address: shows a page to the person.
        """
        self._loaded = loaded
        self._board = board
        self._clock = clock
        self._instance_id = instance_id
        self._host = host
        self._draw = draw
        self._on_change = on_change
        self._on_ended = on_ended
        self._is_desktop = is_desktop
        self._at_start = at_start
        self._open = open_address
        self._tasks = TaskOwner("sign-in")
        self._wake = asyncio.Event()
        self._backoff = Backoff()
        self._was_locked = False
        self._changed = ""
        self._token: TokenCredentials | None = None
        self._flow: DeviceFlow | None = None
        self._beginning = asyncio.Lock()
        self._waiting: asyncio.Task[None] | None = None

    # ---- life

    async def start(self) -> None:
        """Begin to look after the token; returns at once."""
        self._tasks.spawn(self._look_after(), name="look after")

    async def stop(self) -> None:
        """End what runs; a sign-in that waits is given up."""
        await self._tasks.close()

    @property
    def status(self) -> SignInStatus:
        """What is known, without anything secret: no address and no code."""
        token = self._token
        phase = SignInPhase.NONE
        if self._is_waiting:
            phase = SignInPhase.WAITING
        elif self._was_locked:
            phase = SignInPhase.LOCKED
        elif token is not None:
            phase = SignInPhase.SIGNED_IN
        if token is None:
            return SignInStatus(phase=phase)
        return SignInStatus(
            phase=phase,
            user=token.info.user,
            organization_id=token.info.organization_id or "",
            kept_in=token.source,
            expires_at="" if token.info.expires_at is None else to_iso(token.info.expires_at),
            renewable=bool(token.refresh_token),
        )

    @property
    def _is_waiting(self) -> bool:
        return self._waiting is not None and not self._waiting.done()

    # ---- requests

    async def begin(self, *, show: bool) -> dict[str, Any]:
        """Begin a sign-in, or go on with the one that waits; the address and code for whoever asked.

        Args:
            show: open the page from here too.

        Raises:
            NotConnected: the platform cannot be reached.
            KeyringLocked: what would come of it cannot be kept now.
            UserError: the platform does not offer it.
        """
        from edge_connector.auth import sign_in as device_sign_in
        from edge_connector.auth.session import sign_in_client

        async with self._beginning:
            if not self._is_waiting or self._flow is None:
                # A person asked, so the keyring may ask that person.
                vault = Vault(self._loaded, may_ask=True)
                await asyncio.to_thread(vault.expect_write, Kind.TOKEN)
                async with sign_in_client(self._loaded) as client:
                    self._flow = await device_sign_in.begin(
                        client, host=self._host, instance_id=self._instance_id, clock=self._clock
                    )
                self._board.clear_problems(FAILED)
                self._waiting = self._tasks.spawn(self._until_approved(self._flow, vault), name="waiting")
                self._board.changed("sign-in")
            flow = self._flow
        opened = show and await asyncio.to_thread(self._open, flow.address)
        return {
            "address": flow.address,
            "userCode": flow.user_code,
            "expiresInS": round(max(flow.expires_at - self._clock.monotonic(), 0.0)),
            "opened": opened,
        }

    def cancel(self) -> dict[str, Any]:
        """Give up a sign-in that waits."""
        was_waiting = self._is_waiting
        if self._waiting is not None:
            self._waiting.cancel()
        self._board.changed("sign-in")
        return {"cancelled": was_waiting}

    async def end(self) -> dict[str, Any]:
        """Sign out; see `auth.session.sign_out`.

        Raises:
            EdgeError: what was kept could not be removed.
        """
        from edge_connector.auth.session import sign_in_client, sign_out

        self._at_start = False  # whoever signs out does not want to be asked to sign in
        self.cancel()
        vault = Vault(self._loaded, may_ask=True)
        async with sign_in_client(self._loaded, timeout_s=10.0) as client:
            done = await sign_out(self._loaded, client, clock=self._clock, vault=vault)
        self.reload("signed out")
        return {"removedFrom": list(dict.fromkeys(done.places)), "revoked": done.revoked}

    def reload(self, reason: str) -> None:
        """Credentials were changed, perhaps by another program: look at them, and dial with them."""
        self._at_start = False
        self._board.clear_problems(ENDED, FAILED, SOON)
        self._on_ended(False)
        self._changed = reason
        self._wake.set()

    def document(self) -> dict[str, Any]:
        """The sign-in for programs of this user."""
        status, token = self.status, self._token
        return {
            "phase": str(status.phase),
            "user": status.user,
            "email": "" if token is None else token.info.email,
            "organizationId": status.organization_id,
            "keptIn": status.kept_in,
            "expiresAt": status.expires_at,
            "renewable": status.renewable,
        }

    # ---- a sign-in

    async def _until_approved(self, flow: DeviceFlow, vault: Vault) -> None:
        from edge_connector.auth import sign_in as device_sign_in
        from edge_connector.auth.session import keep_token, sign_in_client

        try:
            async with sign_in_client(self._loaded) as client:
                answer = await device_sign_in.until_approved(client, flow, clock=self._clock)
                done = await keep_token(
                    self._loaded,
                    answer.access_token,
                    client,
                    clock=self._clock,
                    vault=vault,
                    refresh_token=answer.refresh_token,
                    is_fresh=True,
                )
        except EdgeError as error:
            log.warning("sign-in failed code=%s error=%s", error.code, error.message)
            self._board.raise_problem(FAILED, detail=error.message)
            return
        finally:
            self._flow = None
            self._board.changed("sign-in")
        await self._register(done.token)
        self.reload("signed in")

    # ---- looking after it

    async def _look_after(self) -> None:
        await self._move_secrets()
        while True:
            self._wake.clear()
            wait_s = await self._look()
            if self._changed:
                # After the look, which may have got a desktop the deployment that it will dial with.
                reason, self._changed = self._changed, ""
                self._on_change(reason)
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _move_secrets(self) -> None:
        vault = Vault(self._loaded)
        for kind in Kind:
            try:
                await asyncio.to_thread(vault.move, kind, to_keyring=self._is_desktop)
            except EdgeError as error:
                log.info("secret stays where it is kind=%s cause=%s", kind, error.code)

    async def _look(self) -> float:
        """Renew and warn as it is due; seconds until the next look."""
        before = self._token
        try:
            self._token = await self._fresh_token()
        except KeyringLocked:
            self._was_locked = True
            self._board.changed("sign-in")
            return LOCKED_LOOK_S
        except NotConnected as error:
            self._backoff = self._backoff.failed()
            log.info("token not renewed now cause=%s attempt=%d", error.code, self._backoff.attempt)
            return self._backoff.delay_s(self._draw)
        except SignInEnded:
            return 0.0  # it was noted with the token: look at that
        except EdgeError as error:
            # The link finds the same, and shows it where it needs the token.
            log.info("no usable token code=%s", error.code)
            self._token = None
        self._backoff = Backoff()
        if self._was_locked:
            self._was_locked = False
            self._on_change("the keyring was unlocked")
        if before != self._token:
            self._board.changed("sign-in")
        if self._token is None:
            self._board.clear_problems(SOON, ENDED)
            self._on_ended(False)
            await self._sign_in_at_start()
            return LOOK_AGAIN_S
        self._at_start = False
        if await self._register(self._token):
            self._on_change("a deployment was registered")
        return self._warn(self._token)

    async def _register(self, token: TokenCredentials) -> bool:
        """Get this desktop its own deployment, where wanted and possible; without one the link uses the token."""
        if not self._is_desktop:
            return False
        from edge_connector.auth.session import register_desktop

        try:
            return await register_desktop(
                self._loaded, token, instance_id=self._instance_id, host=self._host, vault=Vault(self._loaded)
            )
        except EdgeError as error:
            log.warning("no deployment registered, the link uses the token code=%s error=%s", error.code, error.message)
            return False

    async def _fresh_token(self) -> TokenCredentials | None:
        """The saved token, exchanged for a new one where that is due."""
        found = await asyncio.to_thread(find_renewable_token, self._loaded, now=self._clock.wall())
        if found is None or not found.is_renewal_due(now=self._clock.wall()):
            return found
        from edge_connector.auth.refresh import renewed
        from edge_connector.auth.session import sign_in_client

        return await renewed(self._loaded, lambda: sign_in_client(self._loaded), clock=self._clock)

    def _warn(self, token: TokenCredentials) -> float:
        now = self._clock.wall()
        if token.renewal_refused:
            self._board.raise_problem(ENDED, detail=SignInEnded(token.renewal_refused).message)
        else:
            self._board.clear_problems(ENDED)
        self._on_ended(bool(token.renewal_refused))
        if token.refresh_token:
            self._board.clear_problems(SOON)
            moment = renew_at(token.info)
        else:
            if left := warning(token.info, now=now):
                self._board.raise_problem(SOON, detail=left)
            else:
                self._board.clear_problems(SOON)
            moment = next_change(token.info, now=now)
            if moment is None and token.info.expires_at is not None:
                moment = token.info.expires_at + LEEWAY_S + 1.0  # it counts no more from then on
        return LOOK_AGAIN_S if moment is None else min(max(moment - now, 1.0), LOOK_AGAIN_S)

    async def _sign_in_at_start(self) -> None:
        """Once, and only where a person has just started the program and has nothing to connect with."""
        if not self._at_start:
            return
        self._at_start = False
        try:
            await asyncio.to_thread(find_credentials, self._loaded, now=self._clock.wall())
        except NeedsLogin:
            try:
                await self.begin(show=True)
            except EdgeError as error:
                log.warning("sign-in not begun code=%s error=%s", error.code, error.message)
                self._board.raise_problem(FAILED, detail=error.message)
        except EdgeError as error:
            log.info("no sign-in at the start code=%s", error.code)
