"""Which addresses are public; pure.

IPv4 is everything but a list. IPv6 is nothing but 2000::/3 less a list, so that what has not been given out
yet stays closed. An IPv6 address that stands for an IPv4 one is judged as that one.
Source: the IANA special-purpose address registries for IPv4 and IPv6.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NOT_PUBLIC_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # "this host"; Linux connects 0.0.0.0 to itself
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT, and some clouds' metadata
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's host agent: looks public, answers only from inside
            "169.254.0.0/16",  # link-local, and most clouds' metadata
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",  # documentation, with the two below
            "192.88.99.0/24",  # 6to4 relays, withdrawn
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)

GLOBAL_UNICAST = IPv6Network("2000::/3")
NOT_PUBLIC_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments; Teredo among them
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: wraps any IPv4 address, and its relays are withdrawn
            "2620:4f:8000::/48",  # AS112 sinks
            "3fff::/20",  # documentation
        ),
    )
)

V4_MAPPED = IPv6Network("::ffff:0:0/96")
"""The kernel opens an IPv4 connection to what is written here."""
NAT64 = IPv6Network("64:ff9b::/96")
"""What DNS64 answers for an IPv4-only name on an IPv6-only network."""


def meant(address: str | Address) -> Address:
    """The address that a connection would reach: the IPv4 one inside V4_MAPPED and NAT64, else itself.

    Raises ValueError for what is no address.
    """
    found = ip_address(address)
    if isinstance(found, IPv6Address) and (found in V4_MAPPED or found in NAT64):
        return IPv4Address(found.packed[-4:])
    return found


def is_public(address: str | Address) -> bool:
    """Whether the address belongs to the public internet. Raises ValueError for what is no address."""
    found = meant(address)
    if isinstance(found, IPv4Address):
        return not any(found in network for network in NOT_PUBLIC_V4)
    return found in GLOBAL_UNICAST and not any(found in network for network in NOT_PUBLIC_V6)
