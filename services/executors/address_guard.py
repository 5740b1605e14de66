"""Keeps webhooks out of internal networks; caller.py gives `guarded_socket` to aiohttp.

It judges the address a socket is about to be connected to, after names, redirects and odd spellings have been
resolved, so there is nothing left to disguise. `ipaddress.is_global` is not enough: it lets NAT64, 6to4 and
cloud metadata addresses through.
"""

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final, TypeAlias

AddressInfo: TypeAlias = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]
SocketFactory: TypeAlias = Callable[[AddressInfo], socket.socket]

_DENIED: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "168.63.129.16/32",  # a cloud's metadata on a public address
        "::/96",  # unspecified, loopback, IPv4-compatible
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",  # Teredo, ORCHID, benchmarks
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)


class AddressRefusedError(OSError):
    """The address is internal; nothing was connected."""


def is_internal(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one that webhooks must not reach."""
    return any(address.version == network.version and address in network for network in _DENIED)


def guarded_socket(address_info: AddressInfo) -> socket.socket:
    """Make the socket for an address that is not internal. Raises AddressRefusedError.

    The form of aiohttp's `socket_factory`: (family, type, proto, canonical name, socket address).
    """
    family, kind, protocol, _, address = address_info
    host = str(address[0]).partition("%")[0]
    if is_internal(ip_address(host)):
        raise AddressRefusedError(f"{host} is an internal address")
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setblocking(False)
    return made
