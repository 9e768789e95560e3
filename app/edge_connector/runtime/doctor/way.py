"""Checks of the way to the platform: clock, name, route, TLS, WebSocket upgrade."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from edge_connector.core.checks import Check, Finding, fail, in_thread, ok, skip, warn
from edge_connector.core.errors import EdgeError, NotConnected
from edge_connector.link.transport import os_reason, proxy_for
from edge_connector.net.certificates import Certificate, certificate_words, interceptor
from edge_connector.net.tls import client_context
from edge_connector.net.way import Address, HttpAnswer, ProxyAddress, TunnelRefused, address_of, ask, connected
from edge_connector.runtime.doctor.subject import Subject
from edge_connector.wire.messages import SUBPROTOCOL

STEP_S = 5.0
SKEW_WARN_S, SKEW_FAIL_S = 10.0, 60.0
"""Beyond the leeway of 60 s tokens count as expired or not yet valid."""
EXPIRY_WARN_DAYS = 14
RUN_PLATFORM = "Start the platform server and check that it is reachable."
CHECK_URL = "Check TOOL_RPC_URL in the environment or config.json; production uses wss:// with a public hostname."
CHECK_PORT = "The platform server must listen on the port in TOOL_RPC_URL (3001 unless it was changed)."
CHECK_FIREWALL = "Allow outbound WebSocket connections on that port in the firewall."
CHECK_PROXY = (
    "Corporate proxies may not support the WebSocket upgrade: allow it there, or exempt the host with NO_PROXY."
)


def _link(subject: Subject) -> tuple[Address, ProxyAddress | None]:
    url = subject.loaded.settings.tool_rpc_url
    return address_of(url), proxy_for(url)


def _api(subject: Subject) -> Address:
    return address_of(subject.loaded.settings.platform_api_url)


async def _dns(subject: Subject) -> Finding:
    to, proxy = _link(subject)
    seen = []
    for host in dict.fromkeys((proxy.host if proxy else to.host, _api(subject).host)):
        started = time.monotonic()
        try:
            found = await in_thread(lambda host=host: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))  # type: ignore[misc]
        except socket.gaierror as error:
            fix = f"Check the name and this machine's name servers (/etc/resolv.conf). {CHECK_URL}"
            if host == to.host or proxy is not None:
                return fail(f"{host} cannot be resolved (ENOTFOUND: {error.strerror})", fix)
            return warn(
                f"{host} (PLATFORM_API_URL) cannot be resolved (ENOTFOUND: {error.strerror})",
                "Check PLATFORM_API_URL; bundles, sign-in and `call` need it.",
            )
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        seen.append(f"{host} is {', '.join(addresses[:3])} ({(time.monotonic() - started) * 1000:.0f} ms)")
    return ok("; ".join(seen) + (f"; the proxy {proxy} resolves {to.host}" if proxy else ""))


async def _route(subject: Subject) -> Finding:
    to, proxy = _link(subject)
    first = Address(proxy.host, proxy.port, False) if proxy else to
    name = f"proxy {proxy}" if proxy else f"{to}"
    started = time.monotonic()
    try:
        async with asyncio.timeout(STEP_S), connected(first, None, None) as (_, writer):
            here = writer.get_extra_info("sockname")[0]
            there = writer.get_extra_info("peername")[0]
    except TimeoutError:
        return fail(f"{name} gave no answer within {STEP_S:g} s (ETIMEDOUT)", f"{CHECK_FIREWALL} {CHECK_URL}")
    except OSError as error:
        reason = os_reason(error)
        if proxy is not None:
            return fail(f"the proxy {proxy} cannot be reached: {reason}", "Check HTTPS_PROXY and NO_PROXY.")
        if "ECONNREFUSED" not in reason:
            return fail(f"{to} cannot be reached: {reason}", f"{CHECK_FIREWALL} {CHECK_URL}")
        if await _api_answers(subject):
            return fail(
                f"nothing listens on {to} ({reason}), but the platform's API answers at {_api(subject)}: port mismatch",
                f"{CHECK_PORT} {CHECK_URL}",
            )
        return fail(f"nothing listens on {to} ({reason})", f"{RUN_PLATFORM} {CHECK_PORT} {CHECK_URL}")
    seen = f"{name} accepts connections ({there} from {here}, {(time.monotonic() - started) * 1000:.0f} ms)"
    if not await _api_answers(subject):
        return warn(
            f"{seen}, but the platform's API at {_api(subject)} does not answer",
            "Check PLATFORM_API_URL; bundles, sign-in and `call` need it.",
        )
    return ok(seen)


async def _api_answers(subject: Subject) -> bool:
    try:
        await subject.api_answer()
    except (EdgeError, OSError):
        return False
    return True


async def _tls(subject: Subject) -> Finding:
    to, proxy = _link(subject)
    if not to.secure:
        if proxy is None and await in_thread(lambda: _is_this_machine(to.host)):
            return ok("not used: the platform is on this machine")
        return warn(
            f"not used: credentials and results travel to {to} readable for everybody on the way",
            "Production uses wss:// with a public hostname: serve the platform with TLS and set TOOL_RPC_URL to wss://.",
        )
    if (left := _left_to_the_link(proxy)) is not None:
        return left
    context = await asyncio.to_thread(client_context, subject.loaded.settings.ca_file)
    try:
        async with asyncio.timeout(STEP_S), connected(to, proxy, context) as (_, writer):
            tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
            certificate = Certificate.parse(tls.getpeercert(binary_form=True) or b"")
            version = tls.version()
    except ssl.SSLCertVerificationError as error:
        return await _untrusted(to, proxy, error)
    except ssl.SSLError as error:
        return fail(
            f"{to} does not speak TLS: {error.reason or error}",
            f"Use ws:// if the platform has no certificate, else check the port. {CHECK_URL}",
        )
    except TunnelRefused as error:
        return fail(f"the proxy {proxy} opens no way to {to}: {error}", CHECK_PROXY)
    except TimeoutError:
        return fail(f"no TLS handshake within {STEP_S:g} s", CHECK_FIREWALL)
    days = (certificate.not_after - datetime.now(UTC)).days
    seen = f"{version}, certificate of {certificate_words(certificate)}, valid for {days} more days"
    if (who := interceptor(certificate)) is not None:
        seen += f"; the connection is intercepted by {who}"
    if days < EXPIRY_WARN_DAYS:
        return warn(seen, "Renew the platform's certificate before it expires.")
    return ok(seen)


async def _untrusted(to: Address, proxy: ProxyAddress | None, error: ssl.SSLCertVerificationError) -> Finding:
    """Why the certificate is not trusted, from the certificate itself; nothing is sent over that connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    reason = error.verify_message or str(error)
    try:
        async with asyncio.timeout(STEP_S), connected(to, proxy, context) as (_, writer):
            found = Certificate.parse(writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b"")
    except (OSError, TimeoutError, ValueError, TunnelRefused):
        return fail(
            f"the certificate of {to} is not trusted: {reason}", "Set EC_CA_FILE to the authority that signed it."
        )
    now = datetime.now(UTC)
    words = certificate_words(found)
    if found.not_after < now:
        return fail(
            f"the certificate of {to} expired on {found.not_after:%Y-%m-%d} ({(now - found.not_after).days} days ago)",
            "Renew the platform's certificate, and check this machine's clock.",
        )
    if found.not_before > now:
        return fail(
            f"the certificate of {to} is valid from {found.not_before:%Y-%m-%d %H:%M} on, this machine's clock says "
            f"{now:%Y-%m-%d %H:%M} (UTC)",
            "Set this machine's clock.",
        )
    # X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL.
    if error.verify_code in (62, 64):
        return fail(
            f"the certificate is for {', '.join(found.names[:5]) or found.subject}, not for {to.host}",
            f"Use a name of the certificate in TOOL_RPC_URL, or give the platform a certificate for {to.host}.",
        )
    if (who := interceptor(found)) is not None:
        return fail(
            f"the connection is intercepted by {who}: the certificate of {words} is not trusted here ({reason})",
            "Get that company's CA certificate as a PEM file and set EC_CA_FILE to it.",
        )
    return fail(
        f"nobody trusted here signed the certificate of {words}: {reason}",
        "Set EC_CA_FILE to the certificate authority that signed it; a company's proxy may have put it there.",
    )


def _left_to_the_link(proxy: ProxyAddress | None) -> Finding | None:
    """Proxies that only the link's own library can go through; whether it can is seen by the hello."""
    if proxy is None or proxy.scheme == "http":
        return None
    return ok(f"left to the hello: the way leads through the {proxy.scheme} proxy {proxy}")


def _is_this_machine(host: str) -> bool:
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(str(address).startswith("127.") or address == "::1" for address in found)


async def _clock(subject: Subject) -> Finding:
    try:
        answer = await subject.api_answer()
    except (EdgeError, OSError) as error:
        return skip(f"the platform's API tells no time: {error}")
    try:
        there = parsedate_to_datetime(answer.http.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return skip(f"{_api(subject)} sends no Date header")
    # The header has whole seconds: the moment lies in the second that it names.
    skew_s = answer.asked_at + answer.took_s / 2 - (there + 0.5)
    seen = f"this machine is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the platform"
    if abs(skew_s) <= SKEW_WARN_S:
        return ok(f"{seen} (measured to 1 s)")
    finding = warn if abs(skew_s) <= SKEW_FAIL_S else fail
    return finding(seen, "Set this machine's clock, for example by turning on NTP: timedatectl set-ntp true")


async def _upgrade(subject: Subject) -> Finding:
    to, proxy = _link(subject)
    if (left := _left_to_the_link(proxy)) is not None:
        return left
    context = await asyncio.to_thread(client_context, subject.loaded.settings.ca_file) if to.secure else None
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": SUBPROTOCOL,
    }
    try:
        headers["Authorization"] = subject.credentials().authorization_header
    except EdgeError:
        # Without credentials the platform says 401 in its own words, which proves the way as well.
        pass
    started = time.monotonic()
    try:
        async with asyncio.timeout(STEP_S), connected(to, proxy, context) as (reader, writer):
            answer = await ask(reader, writer, to, headers, body_bytes=4096)
    except TunnelRefused as error:
        if error.status == 407:
            return fail(f"the proxy {proxy} wants a user and a password (HTTP 407)", "Put them into HTTPS_PROXY.")
        return fail(f"the proxy {proxy} opens no tunnel to {to}: {error}", CHECK_PROXY)
    except TimeoutError:
        return fail(f"no answer to the upgrade within {STEP_S:g} s", f"{CHECK_PROXY} {CHECK_FIREWALL}")
    except NotConnected as error:
        return fail(
            f"{to} ended the connection instead of upgrading it: {error.message}", f"{CHECK_PROXY} {CHECK_PORT}"
        )
    took = f"{(time.monotonic() - started) * 1000:.0f} ms"
    through = f" through the proxy {proxy}" if proxy else ""
    if answer.status == 101 and answer.headers.get("sec-websocket-protocol") == SUBPROTOCOL:
        return ok(f"{to} upgrades to {SUBPROTOCOL}{through} ({took})")
    return _not_upgraded(to, proxy, answer)


def _not_upgraded(to: Address, proxy: ProxyAddress | None, answer: HttpAnswer) -> Finding:
    status = answer.status
    said = ", ".join(f"{name}: {answer.headers[name]}" for name in ("server", "via") if name in answer.headers)
    seen = f"HTTP {status} instead of an upgrade" + (f" ({said})" if said else "")
    ours = b'"error"' in answer.body
    if status == 101:
        return fail(f"{to} upgrades, but speaks no {SUBPROTOCOL}", CHECK_PORT)
    if ours and status == 401:
        return ok("the platform itself answers (HTTP 401): the way is open, the credentials are missing")
    if ours and (status == 426 or b"subprotocol" in answer.body):
        return fail(f"the platform answers HTTP {status}: something on the way takes the upgrade away", CHECK_PROXY)
    if ours and b"wrong_port" in answer.body:
        return fail(f"{to} is the platform's HTTP API, not its Tool RPC port", f"{CHECK_PORT} {CHECK_URL}")
    if ours and status == 429:
        return warn("the platform takes no more attempts from here for a while (HTTP 429)", "Wait a minute.")
    if ours and status == 503:
        return fail("the platform is stopping or full (HTTP 503)", "Nothing to do: the connector dials again.")
    if proxy is not None or "via" in answer.headers:
        return fail(f"{seen}: a proxy on the way eats the upgrade", CHECK_PROXY)
    if status in (401, 403):
        return fail(f"{seen}: the server refuses the credentials before the upgrade", "Verify the credentials.")
    return fail(
        f"{seen}: {to} is no Tool RPC port, or a proxy on the way eats the upgrade", f"{CHECK_PORT} {CHECK_PROXY}"
    )


WAY_CHECKS: tuple[Check[Subject], ...] = (
    Check(
        id="dns",
        what="names",
        looks_at="Whether the names of platform and proxy are resolved, and to what.",
        run=_dns,
        needs=("configuration",),
    ),
    Check(
        id="route",
        what="route",
        looks_at="Whether the platform's port (or the proxy) accepts a connection; tells "
        "a platform that is away from a wrong port.",
        run=_route,
        needs=("dns",),
    ),
    Check(
        id="clock",
        what="clock",
        looks_at=f"The clock against the Date header of the platform's API. Warns above {SKEW_WARN_S:g} s, fails above "
        f"{SKEW_FAIL_S:g} s, where tokens stop working.",
        run=_clock,
        needs=("route",),
    ),
    Check(
        id="tls",
        what="TLS",
        looks_at="Chain, name and expiry of the certificate; a company's interception is named. Warns without TLS to "
        "another machine.",
        run=_tls,
        needs=("route",),
        timeout_s=12.0,
    ),
    Check(
        id="upgrade",
        what="WebSocket upgrade",
        looks_at="Whether the port answers with an upgrade, also through a proxy; says when a proxy eats it.",
        run=_upgrade,
        needs=("tls",),
    ),
)
