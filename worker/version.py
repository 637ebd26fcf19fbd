"""Which ringback this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


def version() -> str:
    """The version of the installed distribution; "unreleased" where none is installed."""
    try:
        return installed("ringback")
    except PackageNotFoundError:
        return "unreleased"
