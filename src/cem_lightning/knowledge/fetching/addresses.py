"""Which addresses of the web may be asked: public ones, whatever name or number they hide behind.

The address that was checked is the one connected to, so that a name cannot change its mind between.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import httpx

Resolve = Callable[[str, int], Awaitable[list[str]]]

_PORTS = {"http": 80, "https": 443}
# addresses that carry an IPv4 address in their last 32 bits: IPv4-compatible (RFC 4291), NAT64 (RFC
# 6052, RFC 8215), and ISATAP (RFC 5214), of which any prefix may be used
_CARRYING = tuple(map(IPv6Network, ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96")))
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
        raise Refused(f"port {port}")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, and carries no other that is not."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if "%" in address or not _is_global(found):
        return False
    return isinstance(found, IPv4Address) or all(map(_is_global, _carried(found)))


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_link_local
        and not getattr(address, "is_site_local", False)
    )


def _carried(address: IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that a router may take an IPv6 address for."""
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    number = int(address)
    if any(address in network for network in _CARRYING) or (number >> 32) & 0xFFFFFFFF in _ISATAP:
        found.append(IPv4Address(number & 0xFFFFFFFF))
    return [each for each in found if each is not None]


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class PublicTransport(httpx.AsyncBaseTransport):
    """Connects to addresses that were checked, and to no others, proxies included.

    Every request is resolved once; if any address of its host is not public, none is asked. What is
    connected to is the address itself, while the host's name stays in the Host header and is the
    one that certificates are checked for.

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
        host = request.url.host
        port = request.url.port or _PORTS[request.url.scheme]
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
        request.url = request.url.copy_with(host=found[0])
        request.extensions = {**request.extensions, "sni_hostname": host}
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()
