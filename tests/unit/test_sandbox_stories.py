"""The stories of the sandbox provider, each from the purchase to the end."""

from __future__ import annotations

import json

import pytest

from tests.unit.sandbox_stage import START, Theatre
from web.sandbox import State
from web.sandbox.answers import Manner
from web.sandbox.ledger import OrderEnded
from web.sandbox.stories import PREFIX, SHORT, STORIES, WHOLE

CANCELLED = ("cheap", "sms", "email")
ALL = (*CANCELLED, "rental")


@pytest.fixture
def theatre() -> Theatre:
    return Theatre(story_pace=2, cancel_after=10)


def test_names_are_those_of_the_command():
    """`ringback trigger` and the sandbox know the same stories."""
    assert list(STORIES) == [
        "otp", "whole-sms", "no-code", "late-code", "no-numbers", "price-changed", "purchase-unknown",
        "refund-denied", "provider-down",
    ]  # fmt: skip


def test_story_items_are_listed():
    """A check of an order against the last reading passes: each story is a server, a service and a rental."""
    theatre = Theatre()
    servers = json.loads(theatre.ask("cheap_handler.php", "getServers", type="2"))["2"]
    services = json.loads(theatre.sms("getServices", type="4", country="33"))
    mail = theatre.email("getEmailServices", domain="outlook.com")["services"]
    rentals = theatre.rental("getRentalPricing", provider="1", country_code="GB")["data"]
    listed = {
        "cheap": {row["id"] for row in servers},
        "sms": set(services),
        "email": {row["service_code"] for row in mail},
        "rental": {row["id"] for row in rentals},
    }
    for story in STORIES.values():
        assert {product for product in ALL if PREFIX + story.name in listed[product]} == set(story.products)


def test_story_items_can_be_off():
    """Without stories there is nothing of that name, to read or to buy."""
    theatre = Theatre(stories=False)
    assert PREFIX not in theatre.sms("getServices", type="4", country="33")
    assert theatre.buy("sms", "story-otp") == "BAD_SERVICE"
    assert theatre.buy("cheap", "story-otp") == "BAD_SERVER"


@pytest.mark.parametrize("product", ALL)
@pytest.mark.parametrize(("story", "text"), [("otp", SHORT), ("whole-sms", WHOLE)])
def test_text_comes_after_one_pace(theatre: Theatre, product: str, story: str, text: str):
    """Nothing at first, then the text to the letter."""
    order = theatre.bought(product, PREFIX + story)
    assert text not in theatre.poll(order)
    theatre.now += 2
    assert text in theatre.poll(order)


@pytest.mark.parametrize("product", CANCELLED)
def test_no_code_is_paid_back(product: str):
    """Even where codes come at once, none comes here; the cancel pays back."""
    theatre = Theatre(code_after=0, cancel_after=10)
    order = theatre.bought(product, "story-no-code")
    theatre.now += 10
    theatre.cancel(order)
    assert theatre.order().state is State.CANCELLED
    assert theatre.stage.ledger.balance == theatre.stage.ledger.start_balance


@pytest.mark.parametrize("product", CANCELLED)
def test_late_code_shows_after_the_refund(theatre: Theatre, product: str):
    """The cancel is granted and paid back, and the next look shows a code all the same."""
    order = theatre.bought(product, "story-late-code")
    theatre.now += 10
    assert SHORT not in theatre.poll(order) + theatre.cancel(order)
    assert SHORT in theatre.poll(order)
    assert theatre.stage.ledger.refunds() == order.price


def test_late_code_shows_after_running_out(theatre: Theatre):
    """Nobody cancelled: the code shows once the number is gone, and its money stays gone."""
    order = theatre.bought("sms", "story-late-code")
    theatre.now += 1200
    assert theatre.poll(order) == f"STATUS_OK:{SHORT}"
    assert theatre.cancel(order) == "NO_ACTIVATION"


def test_late_message_shows_at_the_end(theatre: Theatre):
    """A rental's last message can be read only when it is over."""
    theatre.stage.configure(rental_seconds=20)
    order = theatre.bought("rental", "story-late-code")
    theatre.now += 19
    assert SHORT not in theatre.poll(order)
    theatre.now += 1
    assert SHORT in theatre.poll(order)


@pytest.mark.parametrize("product", ALL)
def test_no_numbers_for_ever(theatre: Theatre, product: str):
    """Every purchase is refused, and none is charged."""
    assert all("NO_NUMBERS" in theatre.buy(product, "story-no-numbers") for _ in range(3))
    assert theatre.stage.ledger.orders() == ()


@pytest.mark.parametrize("product", ["sms", "email", "rental"])
def test_price_changes_once(theatre: Theatre, product: str):
    """The first purchase is refused, the second pays more, and the next order finds the old price again."""
    for _order in range(2):
        assert "PRICE_CHANGED" in theatre.buy(product, "story-price-changed")
        assert str(theatre.bought(product, "story-price-changed").price) == "17.50"


def test_raised_price_is_listed(theatre: Theatre):
    """Whoever reads the price again before buying sees the new one, for a minute."""
    theatre.buy("sms", "story-price-changed")
    assert "17.50 PKR" in theatre.sms("getServices", type="4", country="33")
    theatre.now += 60
    assert "17.50 PKR" not in theatre.sms("getServices", type="4", country="33")


@pytest.mark.parametrize("product", ALL)
def test_purchase_is_lost(theatre: Theatre, product: str):
    """The order is charged, and its buyer sees a connection that was reset."""
    handlers = {"cheap": "cheap_handler.php", "sms": "handler_api.php"}
    handler = handlers.get(product, "email_handler.php" if product == "email" else "rental-handler.php")
    query = {
        "cheap": {"action": "buyNumber", "server": "story-purchase-unknown", "type": "1"},
        "sms": {"action": "getNumber", "service": "story-purchase-unknown", "country": "33", "type": "4"},
        "email": {"action": "buyEmail", "service_id": "story-purchase-unknown", "domain": "gmail.com"},
        "rental": {"action": "rentNumber", "pricing_id": "story-purchase-unknown"},
    }[product]
    answer = theatre.stage.answer({"api_key": "k", **query}, handler)
    assert answer.manner is Manner.RESET
    assert len(theatre.stage.ledger.orders()) == 1


@pytest.mark.parametrize("product", CANCELLED)
def test_refund_is_denied(theatre: Theatre, product: str):
    """Every cancel is refused while the order waits on, until the money is gone."""
    order = theatre.bought(product, "story-refund-denied")
    theatre.now += 100
    assert all("BAD_STATUS" in theatre.cancel(order) for _ in range(2))
    assert theatre.order().state is State.WAITING
    theatre.now += 2000
    assert theatre.order().state is State.EXPIRED
    assert theatre.stage.ledger.refunds() == 0


@pytest.mark.parametrize("product", ALL)
def test_provider_is_down_for_three_paces(theatre: Theatre, product: str):
    """Whatever asks about the order gets a 502, other orders do not; then the code comes."""
    order, other = theatre.bought(product, "story-provider-down"), theatre.bought(product)
    theatre.now += 5.9
    assert "Please try again" in theatre.poll(order)
    assert "Please try again" not in theatre.poll(other)
    theatre.now += 2.1
    assert SHORT in theatre.poll(order)


def test_story_asked_for_ahead(theatre: Theatre):
    """The next purchase of that product plays it, once; the one behind it is an ordinary one."""
    theatre.stage.story("no-code", "sms")
    theatre.bought("cheap")
    playing, ordinary = theatre.bought("sms"), theatre.bought("sms")
    assert [theatre.stage.story_of(order.id) for order in (playing, ordinary)] == ["no-code", None]
    theatre.now += 100
    assert theatre.poll(playing) == "STATUS_WAIT_CODE"


def test_stories_are_taken_in_turn(theatre: Theatre):
    """Several that were asked for are played in the order of asking, as often as was said."""
    theatre.stage.story("otp", times=2)
    theatre.stage.story("whole-sms", times=-1)
    played = [theatre.stage.story_of(theatre.bought("cheap").id) for _ in range(5)]
    assert played == ["otp", "otp", "whole-sms", "whole-sms", "whole-sms"]
    theatre.stage.clear_stories()
    assert theatre.stage.story_of(theatre.bought("cheap").id) is None


def test_story_waits_for_a_product_that_has_it(theatre: Theatre):
    """A story asked for without a product passes by those that it is not told of."""
    theatre.stage.story("refund-denied")
    theatre.bought("rental")
    assert theatre.stage.story_of(theatre.bought("email").id) == "refund-denied"


@pytest.mark.parametrize(("name", "product"), [("once upon", None), ("price-changed", "cheap"), (None, None)])
def test_unknown_story_is_refused(theatre: Theatre, name: str, product: str | None):
    """A story that there is not, or not of that product, raises ValueError."""
    with pytest.raises(ValueError, match=r"story"):
        theatre.stage.story(name, product)


def test_scripted_fault_goes_before_the_story(theatre: Theatre):
    """A purchase that the script spoils uncharged spends no story."""
    theatre.stage.story("no-code")
    theatre.stage.script({"action": "buyNumber", "kind": "empty"})
    assert theatre.buy("cheap") == ""
    assert theatre.stage.story_of(theatre.bought("cheap").id) == "no-code"


def test_waiting_order_begins_a_story(theatre: Theatre):
    """A story that is not about the purchase can begin while an order waits."""
    order = theatre.bought("sms")
    theatre.stage.play(order.id, "no-code")
    theatre.now += 100
    assert theatre.poll(order) == "STATUS_WAIT_CODE"
    with pytest.raises(ValueError, match="begins with the purchase"):
        theatre.stage.play(order.id, "purchase-unknown")


def test_ended_order_begins_no_story(theatre: Theatre):
    """An order that has its code or its end plays nothing more."""
    order = theatre.bought("sms")
    theatre.now += 8
    with pytest.raises(OrderEnded):
        theatre.stage.play(order.id, "no-code")


def test_late_code_by_hand(theatre: Theatre):
    """A late text reaches an order that has ended, whose state and money stay as they are."""
    theatre.stage.configure(code_after=None)
    order = theatre.bought("cheap")
    theatre.now += 10
    theatre.cancel(order)
    with pytest.raises(OrderEnded, match="late"):
        theatre.stage.arrive(order.id, "1234")
    theatre.stage.arrive(order.id, "1234", late=True)
    assert theatre.poll(order) == "STATUS_OK:1234"
    assert theatre.order().state is State.CANCELLED
    assert theatre.now == START + 10
