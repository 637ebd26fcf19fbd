"""The door: what callers, monitoring and people see over HTTP.

Read `orders.py` first (a purchase is asked for there), then `auth.py` and `problems.py`. The door writes to the
store and reads from it; it never talks to the provider and never holds its key.
"""

from web.app import create_app

__all__ = ["create_app"]
