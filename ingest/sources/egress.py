"""HTTP that goes to public addresses only, so that a link in a document cannot reach what is inside."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import httpx

from rag.errors import SourceError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# They hand out keys to whatever runs on a cloud machine; only a written-out address opens them.
METADATA = tuple(
    ipaddress.ip_network(each)
    for each in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254", "100.100.100.200", "168.63.129.16")
)
NAT64 = ipaddress.ip_network("64:ff9b::/96")


def resolved(host: str, port: int) -> list[str]:
    """The addresses of a host, in the order the system would try them. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class GuardedTransport(httpx.BaseTransport):
    """Resolves a host once, checks its addresses and connects to one of them: no look-up to rebind.

    httpx sends every redirect through here as well. `allow_private` opens hosts by name, and addresses or
    networks in CIDR form. Proxies of the environment are not used: they would resolve names for themselves.
    """

    def __init__(
        self,
        allow_private: Sequence[str] = (),
        *,
        resolve: Callable[[str, int], list[str]] = resolved,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self._hosts, self._networks = allowance(allow_private)
        self._resolve = resolve
        self._verify = verify or httpx.create_ssl_context()
        # One pool per host name: a connection belongs to the name that its certificate was checked for.
        self._pools: dict[str, httpx.HTTPTransport] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises SourceError where that is not allowed, httpx.TransportError."""
        url = request.url
        if url.scheme not in ("http", "https"):
            raise SourceError(f"{url} is neither http nor https")
        pool = self._pool(url.host)
        failure: httpx.ConnectError | None = None
        for address in self.addresses(url.host, url.port or (443 if url.scheme == "https" else 80)):
            pinned = httpx.Request(
                request.method,
                url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": url.host},
            )
            try:
                return pool.handle_request(pinned)
            except httpx.ConnectError as error:
                failure = error
        raise failure or httpx.ConnectError(f"{url.host} has no address", request=request)

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be connected to. Raises SourceError when there are none."""
        try:
            found = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise SourceError(f"{host} cannot be resolved: {error}") from None
        allowed = [each for each in found if self.allows(host, ipaddress.ip_address(each))]
        if found and not allowed:
            raise SourceError(
                f"{host} is at {found[0]}, which is not a public address; allow_private opens it on purpose"
            )
        return allowed

    def allows(self, host: str, address: Address) -> bool:
        """Whether this address may be connected to when it was found under this name."""
        address = inner(address)
        if any(address in network for network in self._networks):
            return True
        if any(address in network for network in METADATA):
            return False
        return is_public(address) or host.lower().rstrip(".") in self._hosts

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def _pool(self, host: str) -> httpx.HTTPTransport:
        with self._lock:
            if host not in self._pools:
                self._pools[host] = httpx.HTTPTransport(verify=self._verify, trust_env=False)
            return self._pools[host]


def inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, so that it is judged like that; else itself."""
    if isinstance(address, IPv6Address):
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def is_public(address: Address) -> bool:
    """Whether an address lies in the internet proper."""
    is_site_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not address.is_multicast and not is_site_local


def allowance(entries: Sequence[str]) -> tuple[frozenset[str], tuple[Network, ...]]:
    """Host names, and networks in CIDR form."""
    hosts, networks = set(), []
    for entry in entries:
        try:
            networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            hosts.add(entry.lower().rstrip("."))
    return frozenset(hosts), tuple(networks)
