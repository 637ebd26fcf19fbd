"""Proving a callback: a ping carries a challenge that only a holder of the caller's webhook secret can answer.

The answer is a webhook signature over `id.timestamp.challenge` instead of `id.timestamp.body`, so that a receiver
answers with the library that it verifies with. A 2xx from a receiver that accepts everything, or echoes what it got,
proves nothing. Pure but for a challenge's randomness.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from secrets import token_urlsafe

from worker.event import Event
from worker.webhooks.signing import sign

FIELD = "challenge"
"""The challenge's name in the `data` of a ping."""
CHALLENGE_BYTES = 24


def new_challenge() -> str:
    """A challenge that nobody has seen before."""
    return token_urlsafe(CHALLENGE_BYTES)


def is_answered(ping: Event, said: str, secrets: Sequence[str], at: float) -> bool:
    """Whether what a receiver said is the answer to the ping's challenge, under one of the live secrets.

    `at` is when the attempt was signed, in epoch seconds. Raises ValueError as `sign` does.
    """
    challenge = json.loads(ping.body)["data"].get(FIELD)
    if challenge is None:  # a ping of a version that asked for none
        return False
    answers = sign(secrets, ping.id, int(at), challenge.encode()).encode().split(b" ")
    return any(hmac.compare_digest(one, said.strip().encode()) for one in answers)
