"""Email OTP, `email_handler.php`: everything in a JSON envelope. Our own reading of the vendor's page."""

from __future__ import annotations

from web.sandbox.envelope import CANCELLED, SUCCESS, WAITING, Envelope
from web.sandbox.ledger import Refused
from web.sandbox.orders import EMAIL, State
from web.sandbox.shop import Query, Shop


def get_email_services(shop: Shop, query: Query) -> str:
    """What can be bought at one domain; an empty list at one that nobody sells."""
    listed = shop.catalogue.listed(EMAIL, {"domain": query.get("domain", "")}, shop.rules.stories)
    envelope = Envelope(shop.shapes)
    rows = [
        {
            "service_code": item.code,
            "service_name": item.name,
            "price": envelope.price(price),
            "count": 100 if item.count is None else item.count,
        }
        for item, price in listed
    ]
    return envelope.rows("services", rows)


def buy_email(shop: Shop, query: Query) -> str:
    """Sell an address for one service."""
    domain = query.get("domain", "")
    item = shop.find(EMAIL, {"domain": domain}, query.get("service_id", ""))
    if item is None:
        raise Refused("BAD_SERVICE")
    order = shop.sell(item, {"service_id": item.code, "domain": domain}, shop.rules.email_life)
    envelope = Envelope(shop.shapes)
    return envelope.tell(
        SUCCESS, "Email purchased", {**envelope.identity("email_id", order.id), "email": order.address}
    )


def get_email_code(shop: Shop, query: Query) -> str:
    """The code, that none has come, or that the address was cancelled."""
    order, envelope = shop.ledger.known(query.get("email_id", ""), EMAIL), Envelope(shop.shapes)
    if order.code is not None:
        return envelope.tell(SUCCESS, "Code received", {shop.shapes.code_name: envelope.code(order.code)})
    if order.state is State.EXPIRED:
        raise Refused("NO_ACTIVATION")
    if order.state is State.CANCELLED:
        return envelope.tell(CANCELLED, "Cancelled")
    return envelope.tell(WAITING, "Waiting for code", envelope.no_code())


def cancel_email(shop: Shop, query: Query) -> str:
    """Cancel and refund, only while no message has arrived; repeated it is granted again and pays nothing."""
    shop.ledger.cancel(query.get("email_id", ""), EMAIL)
    return Envelope(shop.shapes).tell(shop.shapes.cancelled, "Cancelled and refunded")


ACTIONS = {
    "getEmailServices": get_email_services,
    "buyEmail": buy_email,
    "getEmailCode": get_email_code,
    "cancelEmail": cancel_email,
}
