"""Words of closed sets in answers, and what they mean to a caller; the description and docs/errors.md have them."""

from __future__ import annotations

from collections.abc import Mapping

FLAGS: Mapping[str, str] = {
    "otp_erased": "There was a code, and it is no longer kept.",
    "address_erased": "There was an address, and it is no longer kept.",
    "late_code": "A code was seen after the end: it is in `otp`, and no webhook told it.",
    "adopted_late": "A purchase given up as unknown had succeeded after all; its number is given back.",
    "code_capped": "The code was longer than what is kept, and is cut.",
    "odd_number": "The number was not readable as one; `number` has what could be kept.",
    "odd_address": "The address was not readable as one; `address` has what could be kept.",
    "bad_seconds": "The provider's span was not readable; the product's usual life is assumed.",
    "sibling_format": "The provider answered as another of its products does.",
    "extra_fields": "The provider's answer had more in it than is known.",
    "odd_http_status": "The provider sold with an HTTP status other than 200.",
    "duplicate_activation": "The provider handed out an id that another order has.",
}
"""Flags of an order: nothing to act on but the first three."""

RENTAL_FLAGS: Mapping[str, str] = {
    "earlier_messages_left_out": "The number had messages from before the rental; they are not told.",
    "undated_messages": "The first reading showed messages without a date: they may be from before the rental.",
    "messages_erased": "There were messages, and what they said is no longer kept.",
    **{
        name: FLAGS[name]
        for name in ("adopted_late", "odd_number", "sibling_format", "extra_fields", "odd_http_status")
    },
}
"""Flags of a rental."""

ATTEMPT_ERRORS: Mapping[str, str] = {
    "dns": "The host's name cannot be resolved.",
    "connect_timeout": "No connection in time.",
    "connect_refused": "Nothing listens there.",
    "unreachable": "The host cannot be reached.",
    "tls": "The certificate or the handshake failed.",
    "timeout": "Connected, but no whole answer in time.",
    "reset": "The connection broke before the answer was whole.",
    "endless_head": "The answer's head has no end.",
    "protocol": "The answer is not HTTP as it should be.",
    "redirect": "The answer was a redirect, which is not followed.",
    "no_secret": "The caller is gone, and with it the secret to sign with.",
    "bad_url": "The callback cannot be read.",
    "too_long": "The callback is too long.",
    "not_https": "The callback must use https.",
    "credentials": "The callback has a user name or password.",
    "fragment": "The callback has a fragment.",
    "bad_host": "The callback's host is neither a plain name nor a plain address.",
    "port": "The callback's port is not allowed.",
    "unresolvable": "The callback's host cannot be resolved.",
    "blocked_address": "The callback resolves to an address that is not public.",
}
"""Errors of an attempt: why no 2xx acknowledged it."""
