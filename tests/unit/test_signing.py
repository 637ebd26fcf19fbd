"""Signatures: the published vector, the official verifier, rotation and malformed secrets."""

from __future__ import annotations

import base64
import time
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from worker.webhooks.message import headers, render
from worker.webhooks.signing import new_secret, secret_bytes, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_published_vector_is_reproduced():
    """The specification's own example comes out byte for byte."""
    signature = sign([SECRET], MESSAGE_ID, 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_official_library_verifies():
    """A receiver that uses the official library accepts what we send, headers and all."""
    secret, now = new_secret(), int(time.time())
    body = render("webhook.ping", now, {"metadata": {"name": "Ünïcode"}})
    sent = headers("evt_1", now, sign([secret], "evt_1", now, body))
    assert Webhook(secret).verify(body, sent)["type"] == "webhook.ping"


def test_official_library_rejects_a_changed_body():
    """One byte more and the receiver refuses."""
    now = int(time.time())
    sent = headers("evt_1", now, sign([SECRET], "evt_1", now, b"{}"))
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(b"{} ", sent)


def test_both_secrets_verify_while_they_overlap():
    """During a rotation a receiver may hold either secret."""
    new, old, now = new_secret(), new_secret(), int(time.time())
    sent = headers("evt_1", now, sign([new, old], "evt_1", now, b"{}"))
    assert sent["webhook-signature"].count(" ") == 1
    assert all(Webhook(secret).verify(b"{}", sent) == {} for secret in (new, old))


def test_newest_secret_signs_first():
    """The order of the signatures is the order of the secrets."""
    new, old = new_secret(), new_secret()
    assert sign([new, old], "e", 1, b"").split(" ") == [sign([new], "e", 1, b""), sign([old], "e", 1, b"")]


def test_new_secret_holds_32_bytes_of_the_entropy_given():
    """A secret is 32 bytes of entropy behind the prefix, and nothing else."""
    assert secret_bytes(new_secret(lambda size: bytes(range(size)))) == bytes(range(32))


def test_new_secrets_differ():
    """Two callers never share a secret."""
    assert new_secret() != new_secret()


@given(st.binary(min_size=24, max_size=64))
def test_every_allowed_length_of_key_round_trips(key: bytes):
    """What the specification allows, 24 to 64 bytes, is read back unchanged."""
    assert secret_bytes("whsec_" + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_not base64 at all!",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_c2hvcnQ=",
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        "whsec_ÄÄÄÄMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ],
)
def test_malformed_secret_is_refused_without_repeating_it(secret: str):
    """The error says what a secret looks like; neither it nor its causes hold this one."""
    with pytest.raises(ValueError, match="webhook secret") as caught:
        secret_bytes(secret)
    told = "".join(traceback.format_exception_only(caught.value)) + repr(caught.value.__cause__)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert len(secret) < 8 or secret[6:] not in told


def test_nothing_leaves_unsigned():
    """Without a secret there is no signature, not an empty one."""
    with pytest.raises(ValueError, match="nothing to sign with"):
        sign([], "evt_1", 1, b"{}")
