"""The door: what callers, monitoring and people see over HTTP.

Read `orders.py` first (a purchase is asked for there), then `auth.py` and `problems.py`. The door writes to the
store and reads from it; it never talks to the provider and never holds its key. `server/` is how it is served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from web.app import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    """The application is imported when it is asked for: `web.sandbox` lies in this package and needs no Flask."""
    if name == "create_app":
        from web.app import create_app

        return create_app
    raise AttributeError(name)
