"""Where alerts may be sent: which URLs are taken, and which addresses are connected to.

Whoever can define a channel chooses a URL that the deployment then posts to, from inside its
network. So it must not be a way to what only the deployment can reach: the metadata of its cloud
machine, or what listens on this machine alone. A name is looked up once for each attempt, every
address is checked, and the connection goes to the address that was checked: a name that answers
differently the second time gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from gateway.adapters.directory_values import DirectoryError

URL_MAX = 1024

_METADATA = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
    )
)
"""Metadata of cloud machines outside the link-local ranges: AWS and Google over IPv6, Alibaba,
Azure's WireServer and Oracle."""

_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses in IPv6 ones, for networks with NAT64 (RFC 6052)."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Forbidden(Exception):
    """An alert may not be sent there; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be posted to, and the address that its host has now."""

    url: SplitResult
    address: str

    @property
    def host(self) -> str:
        """The host as the certificate must name it."""
        return self.url.hostname or ""

    @property
    def connected(self) -> str:
        """The URL with the address in place of the name."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        port = "" if self.url.port is None else f":{self.url.port}"
        return self.url._replace(netloc=host + port, fragment="").geturl()


def checked_url(text: str, hosts: Sequence[str]) -> str:
    """A URL that a channel may have, as it stands. ``hosts`` is the list of allowed ones.

    Raises DirectoryError. What a name stands for is checked at each attempt.
    """
    try:
        url = _split(text)
        _check_host(url, hosts)
        address = _literal(url.hostname or "")
        if address is not None:
            _check_address(address, listed=bool(hosts))
    except Forbidden as error:
        raise DirectoryError(str(error)) from None
    return text


def find_target(text: str, hosts: Sequence[str]) -> Target:
    """The target that a channel's URL stands for now.

    Raises Forbidden, and OSError where its name cannot be looked up.
    """
    url = _split(text)
    _check_host(url, hosts)
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(item[4][0]).partition("%")[0] for item in found]
    for address in addresses:
        _check_address(ipaddress.ip_address(address), listed=bool(hosts))
    return Target(url, addresses[0])


def display_url(text: str) -> str:
    """A URL as it may be shown: paths and queries of webhooks are often secrets."""
    url = urlsplit(text)
    hidden = "/..." if url.path not in ("", "/") or url.query else ""
    return f"{url.scheme}://{url.netloc}{hidden}"


def _split(text: str) -> SplitResult:
    printable = all("!" <= character <= "~" for character in text)
    try:
        url = urlsplit(text)
        usable = bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or not printable or len(text) > URL_MAX or url.scheme not in ("http", "https"):
        raise Forbidden("a target must be an http or https URL of at most 1,024 plain characters")
    if "@" in url.netloc or "\\" in text:
        raise Forbidden("a target may have neither a user nor a password in its URL")
    return url


def _check_host(url: SplitResult, hosts: Sequence[str]) -> None:
    host = (url.hostname or "").rstrip(".")
    if hosts:
        if not any(host == one or (one[:1] == "." and host.endswith(one)) for one in hosts):
            raise Forbidden(
                f"alerts may not be sent to {host}: FAREGATE_ALERT_HOSTS does not list it"
            )
    elif url.scheme != "https":
        raise Forbidden(f"alerts are sent by https; for http, list {host} in FAREGATE_ALERT_HOSTS")


def _check_address(address: _Address, *, listed: bool) -> None:
    """Raise Forbidden for addresses that no alert goes to; this machine's own must be listed."""
    plain = _plain(address)
    if plain.is_link_local or plain in _METADATA or plain.is_multicast or plain.is_unspecified:
        raise Forbidden("alerts are not sent to link-local, metadata or multicast addresses")
    if plain.is_loopback and not listed:
        raise Forbidden("alerts are sent to this machine only where FAREGATE_ALERT_HOSTS lists it")


def _plain(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
