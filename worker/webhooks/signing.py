"""Standard Webhooks 1.0.0 signatures: HMAC-SHA256 over ``id.timestamp.body``."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence

PREFIX = "whsec_"
NEW_SECRET_BYTES = 32
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
"""What the specification allows behind the prefix."""


def new_secret(entropy: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A new webhook secret: `whsec_` and the base64 of 32 random bytes."""
    return PREFIX + base64.b64encode(entropy(NEW_SECRET_BYTES)).decode("ascii")


def secret_bytes(secret: str) -> bytes:
    """The key behind a secret.

    Raises ValueError when it is not `whsec_` and the base64 of 24 to 64 bytes; the text never repeats it.
    """
    if not secret.startswith(PREFIX):
        raise ValueError(f"a webhook secret starts with {PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"a webhook secret is {PREFIX} followed by base64") from None
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise ValueError(f"a webhook secret holds {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes")
    return key


def sign(secrets: Sequence[str], event_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` header: one `v1,<base64>` per live secret, newest first, one space between.

    `timestamp` is this attempt's, in whole epoch seconds. Raises ValueError for a malformed secret and
    when there is none: an unsigned webhook must not leave.
    """
    if not secrets:
        raise ValueError("nothing to sign with")
    content = f"{event_id}.{timestamp}.".encode() + body
    digests = [hmac.digest(secret_bytes(secret), content, hashlib.sha256) for secret in secrets]
    return " ".join("v1," + base64.b64encode(digest).decode("ascii") for digest in digests)
