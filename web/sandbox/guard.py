"""Who may look at and direct the sandbox: whoever asks for it by an address, or by a name that is its own.

Any page that a developer has open can send requests to this machine. Its browser says where the page came from
(`Origin`) and by which name it reached us (`Host`): a foreign name that was made to lead here is refused too.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from web.sandbox.wire import Request


def refusal(request: Request, hosts: Collection[str]) -> str | None:
    """Why a request may not direct the sandbox, or `None`; `hosts`: names it has besides those of loopback."""
    host = request.headers.get("host", "")
    name = _name(host)
    if not (name == "localhost" or name.endswith(".localhost") or name in hosts or _is_address(name)):
        return "the sandbox is not known under this host name; start it with --allow-host NAME"
    origin = request.headers.get("origin")
    if origin is not None and _netloc(origin) != host:
        return "a page of another origin may not control the sandbox"
    return None


def _is_address(name: str) -> bool:
    """An address cannot be made to lead elsewhere, as a name can."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
