"""Values of closed sets in responses, and what they mean to a caller; /openapi.json and docs/outcomes.md show them."""

from __future__ import annotations

from collections.abc import Mapping

FLAGS: Mapping[str, str] = {
    "otp_erased": "There was a code; it has been erased.",
    "address_erased": "There was an address; it has been erased.",
    "late_code": "A code came after the order had ended: it is in `otp`, and no webhook was sent for it.",
    "adopted_late": "A purchase that was given up as unknown had succeeded after all; its number is given back.",
    "code_capped": "The code was too long and has been truncated.",
    "odd_number": "The provider's number does not look like one; `number` has what could be kept of it.",
    "odd_address": "The provider's address does not look like one; `address` has what could be kept of it.",
    "bad_seconds": "The provider's lifetime of the number was not readable; the product's usual one is assumed.",
    "sibling_format": "The provider replied in the format of another of its products.",
    "extra_fields": "The provider's reply had unknown fields.",
    "odd_http_status": "The provider sold with an HTTP status other than 200.",
    "duplicate_activation": "The provider returned an id that another order already has.",
}
"""Flags of an order; only the first three concern a caller."""

RENTAL_FLAGS: Mapping[str, str] = {
    "earlier_messages_left_out": "The number had messages from before the rental; they are left out.",
    "undated_messages": "The first reading showed messages without a date: they may be from before the rental.",
    "messages_erased": "There were messages; their text has been erased.",
    **{
        name: FLAGS[name]
        for name in ("adopted_late", "odd_number", "sibling_format", "extra_fields", "odd_http_status")
    },
}
"""Flags of a rental."""

ATTEMPT_ERRORS: Mapping[str, str] = {
    "dns": "The host name cannot be resolved.",
    "connect_timeout": "The connection timed out.",
    "connect_refused": "The connection was refused: nothing listens there.",
    "unreachable": "The host cannot be reached.",
    "tls": "The certificate is not valid, or the TLS handshake failed.",
    "timeout": "Connected, but the response was not complete in time.",
    "reset": "The connection broke before the response was complete.",
    "endless_head": "The response's status line and headers did not end within the limit.",
    "protocol": "The response is not valid HTTP.",
    "redirect": "The response was a redirect, which is not followed.",
    "no_secret": "The caller no longer exists, so there is no secret to sign with.",
    "bad_url": "The callback is not a valid URL.",
    "too_long": "The callback is too long.",
    "not_https": "The callback must use https.",
    "credentials": "The callback has a user name or password.",
    "fragment": "The callback has a fragment.",
    "bad_host": "The callback's host is neither a plain name nor a plain IP address.",
    "port": "The callback's port is not allowed.",
    "unresolvable": "The callback's host cannot be resolved.",
    "blocked_address": "The callback resolves to an address that is not public.",
}
"""Errors of an attempt: why no 2xx acknowledged it."""
