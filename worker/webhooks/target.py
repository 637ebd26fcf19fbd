"""Read a callback's URL strictly; pure.

Whatever two parsers could read in two ways is refused: a callback is written by a program's author, who can
write it plainly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address

MAX_LENGTH = 2048
MAX_NAME_LENGTH = 253
DEFAULT_PORTS = {"https": 443, "http": 80}

_PLAIN = re.compile(r"[!-\[\]-~]+")  # visible ASCII less the backslash
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<resource>[^#]*)")
_HOST = r"\[(?P<six>[0-9A-Fa-f:]+)\]|(?P<name>[A-Za-z0-9._-]+)"
_AUTHORITY = re.compile(rf"(?:{_HOST})(?::(?P<port>[1-9][0-9]{{0,4}}))?")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Refusal(StrEnum):
    """Why no webhook may go to a callback: a stable word for programs."""

    BAD_URL = "bad_url"
    TOO_LONG = "too_long"
    NOT_HTTPS = "not_https"
    CREDENTIALS = "credentials"
    FRAGMENT = "fragment"
    BAD_HOST = "bad_host"
    PORT = "port"
    UNRESOLVABLE = "unresolvable"
    BLOCKED_ADDRESS = "blocked_address"


class CallbackRefused(Exception):
    """A callback that no webhook may go to.

    `message` says it for people, as what follows the callback's name ("must use https"). It never repeats the URL,
    whose query may hold a secret.
    """

    def __init__(self, code: Refusal, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Target:
    """Where a callback points: `host` is a lower-case name or a canonical address without brackets."""

    scheme: str
    host: str
    port: int
    resource: str = field(repr=False)
    """Path and query, as they go into the request line."""
    literal: bool
    """The host is an address, so there is nothing to resolve."""


def read(url: str) -> Target:
    """The parts of a callback's URL. Raises CallbackRefused."""
    match = _URL.fullmatch(_plain(url))
    if match is None:
        raise CallbackRefused(Refusal.BAD_URL, "is not a URL of the form https://host/path")
    scheme = match["scheme"].lower()
    if scheme not in DEFAULT_PORTS:
        raise CallbackRefused(Refusal.NOT_HTTPS, "must use https")
    host, literal, port = _authority(match["authority"])
    resource = match["resource"] if match["resource"].startswith("/") else "/" + match["resource"]
    return Target(scheme, host, port or DEFAULT_PORTS[scheme], resource, literal)


def _plain(url: str) -> str:
    if len(url) > MAX_LENGTH:
        raise CallbackRefused(Refusal.TOO_LONG, f"must be at most {MAX_LENGTH} characters long")
    if not _PLAIN.fullmatch(url):
        raise CallbackRefused(Refusal.BAD_URL, "must consist of visible ASCII characters without backslashes")
    if "#" in url:
        raise CallbackRefused(Refusal.FRAGMENT, "must not have a fragment")
    return url


def _authority(text: str) -> tuple[str, bool, int | None]:
    if "@" in text:
        raise CallbackRefused(Refusal.CREDENTIALS, "must not have a user name or password")
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise _bad_host()
    port = int(match["port"]) if match["port"] else None
    if port is not None and port > 65535:
        raise CallbackRefused(Refusal.PORT, "has a port over 65535")
    if match["six"]:
        return _canonical(IPv6Address, match["six"]), True, port
    return *_name(match["name"].lower()), port


def _name(text: str) -> tuple[str, bool]:
    """The host and whether it is an address.

    A last label that is a number makes resolvers read the whole as an IPv4 address (127.1, 0x7f.1,
    2130706433); only the plain dotted quad is let through.
    """
    labels = text.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _canonical(IPv4Address, text), True
    if len(text) > MAX_NAME_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise _bad_host()
    return text, False


def _canonical(kind: type[IPv4Address | IPv6Address], text: str) -> str:
    try:
        return str(kind(text))
    except AddressValueError:
        raise _bad_host() from None


def _bad_host() -> CallbackRefused:
    return CallbackRefused(
        Refusal.BAD_HOST,
        "has a host that is neither a plain name (xn-- for international names) nor a plain IP address",
    )
