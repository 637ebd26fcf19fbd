"""The errors that ringback raises, and what whoever catches one does.

RingbackError
├── SettingsInvalid      the process does not start; the message lists every problem
├── StoreTooNew          the process does not start: a newer version has worked on the store
├── StoreUnavailable     the web answers 503; a worker's step keeps its result and tries the write again
│   ├── StoreFull        the same, and the web says so: only what ends or pauses something is taken
│   └── StoreReadOnly    the same; doctor says what to correct
└── NotFound             the web answers 404; the command line says so and leaves with 1
"""

from __future__ import annotations


class RingbackError(Exception):
    """Anything ringback itself complains about. Messages hold no secret, code or full number."""


class SettingsInvalid(RingbackError):
    """The environment does not make a valid configuration; the message lists every problem at once."""


class StoreUnavailable(RingbackError):
    """Redis could not be reached, or did not answer in time."""


class StoreFull(StoreUnavailable):
    """Redis has no memory left for what is new (`maxmemory`)."""


class StoreReadOnly(StoreUnavailable):
    """Redis is a replica that takes no writes."""


class StoreTooNew(RingbackError):
    """A newer version has worked on this store, with records that this version does not know."""


class NotFound(RingbackError):
    """There is no such order, event or caller (or it is not the asker's)."""
