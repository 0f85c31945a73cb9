"""Which addresses of the web may be asked: public ones, whatever name or number they hide behind.

The address that was checked is the one connected to, so that a name cannot change its mind between.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import httpx

Resolve = Callable[[str, int], Awaitable[list[str]]]

_PORTS = {"http": 80, "https": 443}
# All public IPv6 addresses begin so (RFC 4291, 2.4), which leaves out those that are mapped or
# translated to IPv4.
_UNICAST = IPv6Network("2000::/3")
# Networks for protocols and examples that `ipaddress` does not know or not in every Python; of the
# tunnels among them, and of ISATAP (RFC 5214) in any network, a router may take an address for the
# IPv4 address inside.
_SPECIAL = (
    ip_network("192.0.0.0/24"),  # protocol assignments (RFC 6890)
    ip_network("192.88.99.0/24"),  # relays of 6to4 (RFC 7526)
    ip_network("2001::/23"),  # protocol assignments, Teredo among them (RFC 2928, RFC 4380)
    ip_network("2002::/16"),  # 6to4 (RFC 3056)
    ip_network("3fff::/20"),  # examples (RFC 9637)
)
_ISATAP = (0x00005EFE, 0x02005EFE)


class Refused(Exception):
    """An address that is not asked; the message says why."""


def check_address(url: str, *, private: bool) -> None:
    """Refuse what can be told from an address alone.

    Args:
        private: whether addresses that are not public may be asked too, on any port.

    Raises:
        Refused: if it is no plain http or https address of a host.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Refused("no address") from None
    if parts.scheme not in _PORTS:
        raise Refused(f"scheme {parts.scheme[:20]!r}")
    if "@" in parts.netloc or "\\" in url:
        raise Refused("user information")
    if not host:
        raise Refused("no host")
    if any(each.isspace() or not each.isprintable() for each in url):
        raise Refused("no address")
    if not private and port is not None and port != _PORTS[parts.scheme]:
        raise Refused(f"port {port}; knowledge.allow_private=true would let it in")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, and carries no other one."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if not found.is_global or found.is_multicast or any(found in each for each in _SPECIAL):
        return False
    if isinstance(found, IPv4Address):
        return not found.is_reserved
    inside = (int(found) >> 32) & 0xFFFFFFFF
    return found in _UNICAST and inside not in _ISATAP and found.scope_id is None


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class PublicTransport(httpx.AsyncBaseTransport):
    """Connects to addresses that were checked, and to no others, proxies included.

    Every request is resolved once; if any address of its host is not public, none is asked. What is
    connected to is an address itself, the first that answers, while the host's name stays in the
    Host header and is the one that certificates are checked for.

    Args:
        private: allow every address.
        resolve: finds the addresses of a host.
    """

    def __init__(self, *, private: bool, resolve: Resolve = resolve) -> None:
        self._private = private
        self._resolve = resolve
        # A connection that is kept would be shared by all names of an address.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._inner = httpx.AsyncHTTPTransport(trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        check_address(str(request.url), private=self._private)
        # as it goes over the wire: decoders of international names do not agree with each other
        host = request.url.raw_host.decode("ascii")
        request.extensions = {**request.extensions, "sni_hostname": host}
        *others, last = await self._checked(host, request.url.port or _PORTS[request.url.scheme])
        for address in others:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._connect(request, address)
        return await self._connect(request, last)

    async def _connect(self, request: httpx.Request, address: str) -> httpx.Response:
        request.url = request.url.copy_with(host=address)
        return await self._inner.handle_async_request(request)

    async def _checked(self, host: str, port: int) -> list[str]:
        """All addresses of a host; at least one."""
        try:
            found = await self._resolve(host, port)
        except OSError as error:
            raise httpx.ConnectError(f"{host} has no address ({error.strerror})") from None
        except UnicodeError:
            raise Refused("no host") from None
        if not found:
            raise httpx.ConnectError(f"{host} has no address")
        if not self._private and (hidden := [each for each in found if not is_public(each)]):
            raise Refused(f"{host} is at {hidden[0]}, which is not public")
        return found

    async def aclose(self) -> None:
        await self._inner.aclose()
