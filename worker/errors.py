"""The errors that ringback raises, and what happens where one is caught.

RingbackError
├── SettingsInvalid      the process does not start; the message lists every problem
├── StoreTooNew          the process does not start: a newer version has used the store
├── StoreUnavailable     the web responds with 503; a worker's step keeps its result and tries the write again
│   ├── StoreFull        the same, and the web says so: only what ends or pauses something is accepted
│   └── StoreReadOnly    the same; doctor says what to correct
└── NotFound             the web responds with 404; the command line says so and exits with 1
"""

from __future__ import annotations


class RingbackError(Exception):
    """The base of all errors that ringback raises. Messages contain no secret, code or full number."""


class SettingsInvalid(RingbackError):
    """The environment is not a valid configuration; the message lists every problem at once."""


class StoreUnavailable(RingbackError):
    """Redis could not be reached, or did not respond in time."""


class StoreFull(StoreUnavailable):
    """Redis has no memory left for new records (`maxmemory`)."""


class StoreReadOnly(StoreUnavailable):
    """Redis is a read-only replica."""


class StoreTooNew(RingbackError):
    """A newer version has used this store, with records that this version does not know."""


class NotFound(RingbackError):
    """There is no such order, event or caller, or it belongs to another caller."""
