"""Tells that something about this machine's network changed: interfaces, addresses or routes; what, others ask.

On Linux the kernel tells it (rtnetlink(7)), elsewhere it is time to look again every 30 seconds.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from edge_connector.core.tasks import TaskOwner

log = logging.getLogger(__name__)

SETTLE_S = 1.0
"""An interface that comes up is told in many messages; a renewed lease takes its route away for a moment."""
QUIET_S = 5.0
"""Not more often than this, whatever the network does."""
POLL_S = 30.0
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR and _IPV6_ROUTE of linux/rtnetlink.h."""


class NetworkChanges:
    """Calls `on_change` after the network changed. A `core.services.Service`."""

    name = "network"

    def __init__(
        self,
        on_change: Callable[[], None],
        *,
        settle_s: float = SETTLE_S,
        quiet_s: float = QUIET_S,
        poll_s: float = POLL_S,
        use_kernel: bool = True,
    ) -> None:
        """`use_kernel`: False to look every `poll_s` even where the kernel would tell."""
        self._on_change = on_change
        self._settle_s = settle_s
        self._quiet_s = quiet_s
        self._poll_s = poll_s
        self._use_kernel = use_kernel
        self._tasks = TaskOwner("network")
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_until = 0.0

    async def start(self) -> None:
        """Begin to listen, or to look."""
        if self._use_kernel and self._listen():
            return
        self._tasks.spawn(self._poll(), name="poll")

    async def stop(self) -> None:
        """Tell no more."""
        await self._tasks.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _listen(self) -> bool:
        if not hasattr(socket, "AF_NETLINK"):
            return False
        try:
            listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        except OSError as error:  # some sandboxes know no netlink
            log.debug("the kernel does not tell of network changes: %s", error)
            return False
        try:
            listener.bind((0, _GROUPS))
            listener.setblocking(False)
            asyncio.get_running_loop().add_reader(listener.fileno(), self._read, listener)
        except OSError as error:
            listener.close()
            log.debug("the kernel does not tell of network changes: %s", error)
            return False
        self._socket = listener
        return True

    def _read(self, listener: socket.socket) -> None:
        while True:
            try:
                listener.recv(65536)
            except BlockingIOError:
                break
            except OSError as error:
                # ENOBUFS: more happened than the kernel could keep, which is a change all the same.
                log.debug("network messages lost: %s", error)
                break
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time() + self._settle_s, self._quiet_until), self._tell)

    def _tell(self) -> None:
        self._timer = None
        self._quiet_until = asyncio.get_running_loop().time() + self._quiet_s
        self._on_change()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            self._on_change()
