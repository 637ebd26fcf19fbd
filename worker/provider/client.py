"""The provider's calls. Network and HTTP trouble is a reply like any other: only cancellation is ever raised.

The key is in every URL (the protocol has no other place for it), so no URL, and no text of an exception that
may hold one, leaves this package: a reply's reason is our own word or the name of an exception's class.
"""

from __future__ import annotations

import itertools
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Protocol, TypeVar
from urllib.parse import quote, urlencode

import httpx

from worker.provider import protocol
from worker.provider.products import Product, Products
from worker.provider.replies import (
    BalanceReply,
    BuyReply,
    CancelReply,
    Done,
    FinishReply,
    Listing,
    ListingReply,
    MessagesReply,
    Quote,
    QuoteReply,
    RenewReply,
    StatusReply,
    Unclear,
    Unreached,
    Word,
)
from worker.provider.transport import Answer, Fresh, Transport
from worker.provider.wire import Wire

Heard = Callable[[str, str, str], None]
"""Told of every call: the call, the class of its reply in lower case, and the reason of one without an answer."""
Observe = Callable[[str, str, str, float], None]
"""Told of every call: the product, the call, the class of its reply in lower case, and the seconds it took."""

R_co = TypeVar("R_co", covariant=True)


class Reader(Protocol[R_co]):
    """One of the `protocol` module's readers."""

    def __call__(self, product: Product, status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> R_co:
        """Bytes to a reply."""


class Provider:
    """OTPGet's products, as the product table says how to speak to them. One for a process, for its lifetime.

    It belongs to the loop that first uses it. Deadlines are in seconds and cover a whole call, from waiting for a free
    connection to the last byte (but for the last look of `travel`): `poll_deadline` is for `status` and for the price
    before a purchase, `buy_deadline` for everything else. `connections` bounds the polls in flight, and by itself the
    other calls, per handler. `counted` are the PKR that products without a price count against a spend cap. `tls`
    replaces the trust store, which otherwise is certifi's or `SSL_CERT_FILE`'s.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        products: Products,
        *,
        poll_deadline: float,
        buy_deadline: float,
        connections: int = 1000,
        counted: Mapping[str, Decimal | None] | None = None,
        observe: Observe | None = None,
        heard: Heard | None = None,
        clock: Callable[[], float] = time.time,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        base, tls = _base(base_url), tls or httpx.create_ssl_context()
        endpoints = {one.handler: _endpoint(base, one.handler) for one in products.values()}
        self._products = products
        self._rare: Mapping[str, Transport] = {
            handler: Fresh(endpoint, tls, connections) for handler, endpoint in endpoints.items()
        }
        self._frequent: Mapping[str, Transport] = {
            handler: Wire(endpoint, tls, connections) for handler, endpoint in endpoints.items()
        }
        self._credentials = urlencode({"api_key": api_key})
        # What stands before and after the id in a status call's query, by far the most frequent one.
        self._status_queries = {
            name: one.query("status", {"id": "\0"}).partition("%00")
            for name, one in products.items()
            if "status" in one.actions
        }
        self._poll_deadline, self._deadline = poll_deadline, buy_deadline
        self._counted = counted or {}
        self._observe, self._heard, self._clock = observe, heard, clock
        # Answers may be cached on the way, so no two queries are alike, not even across restarts.
        self._nonces = itertools.count(time.time_ns())

    async def quote(self, product: str, item: Mapping[str, str]) -> QuoteReply:
        """Read what a purchase would cost right now. A free call, and none for a product without prices."""
        known = self._products[product]
        listing = known.price_list
        if listing is None or known.item is None:
            return Quote(counted=self._counted.get(product))
        reply = await self._listing(known, listing, known.place(listing, item), self._poll_deadline)
        if not isinstance(reply, Listing):
            return reply
        choice = reply.find(item[known.item])
        if choice is None or choice.price is None:
            return Unclear("not_listed" if choice is None else "no_price")
        lasting = None if choice.hours is None else float(choice.hours) * 3600
        return Quote(choice.price, choice.price, lasting)

    async def buy(self, product: str, item: Mapping[str, str]) -> BuyReply:
        """Buy. Sent at most once; `Declined`, `Throttled`, `Unreached`: nothing was bought."""
        return await self._call(self._products[product], "buy", item, protocol.read_buy)

    async def status(self, product: str, activation: str) -> StatusReply:
        """Ask for the code."""
        known = self._products[product]
        before, _, after = self._status_queries[product]
        query = f"{before}{quote(activation, safe='')}{after}"
        transport = self._frequent[known.handler]
        return await self._ask(known, "status", query, protocol.read_status, transport, self._poll_deadline)

    async def cancel(self, product: str, activation: str) -> CancelReply:
        """Cancel and get the money back; safe to repeat."""
        return await self._call(self._products[product], "cancel", {"id": activation}, protocol.read_cancel)

    async def finish(self, product: str, activation: str) -> FinishReply:
        """Say that the code has arrived. A product without such a call has nothing left to be done."""
        known = self._products[product]
        if "finish" not in known.actions:
            return Done(Word.ACCESS_FINISH)
        return await self._call(known, "finish", {"id": activation}, protocol.read_finish)

    async def messages(self, product: str, activation: str) -> MessagesReply:
        """Read what a rented number has received."""
        known = self._products[product]
        query, transport = known.query("messages", {"id": activation}), self._rare[known.handler]
        return await self._ask(known, "messages", query, protocol.read_messages, transport, self._poll_deadline)

    async def renew(self, product: str, activation: str, hours: int) -> RenewReply:
        """Renew a rental. Sent at most once; `Declined`, `Throttled`, `Unreached`: nothing was renewed."""
        values = {"id": activation, "duration": str(hours)}
        return await self._call(self._products[product], "renew", values, protocol.read_renewal)

    async def balance(self) -> BalanceReply:
        """Ask for the money left, which all products share."""
        known = next(one for one in self._products.values() if "balance" in one.actions)
        return await self._call(known, "balance", {}, protocol.read_balance)

    async def listing(self, product: str, listing: str, place: Mapping[str, str]) -> ListingReply:
        """Read what the catalogue offers at a place: `servers`, `countries` or `services`."""
        return await self._listing(self._products[product], listing, place, self._deadline)

    async def aclose(self) -> None:
        """Close what is open."""
        for transport in (*self._frequent.values(), *self._rare.values()):
            await transport.aclose()

    async def _listing(self, product: Product, listing: str, place: Mapping[str, str], deadline: float) -> ListingReply:
        def read(product: Product, status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> ListingReply:
            return protocol.read_listing(product, listing, place, status, headers, body, now=now)

        query = product.query(listing, place)
        return await self._ask(product, listing, query, read, self._rare[product.handler], deadline)

    async def _call(
        self, product: Product, call: str, values: Mapping[str, str], read: Reader[R_co]
    ) -> R_co | Unreached | Unclear:
        query = product.query(call, values)
        return await self._ask(product, call, query, read, self._rare[product.handler], self._deadline)

    async def _ask(
        self, product: Product, call: str, query: str, read: Reader[R_co], transport: Transport, deadline: float
    ) -> R_co | Unreached | Unclear:
        started = time.perf_counter()
        answer = await transport.fetch(f"{self._credentials}&{query}&_={next(self._nonces)}", deadline)
        reply = (
            read(product, answer.status, answer.headers, answer.body, now=self._clock())
            if isinstance(answer, Answer)
            else answer
        )
        kind = type(reply).__name__.lower()
        if self._observe is not None:
            self._observe(product.name, call, kind, time.perf_counter() - started)
        if self._heard is not None:
            self._heard(call, kind, reply.reason if isinstance(reply, (Unreached, Unclear)) else "")
        return reply


def _base(base_url: str) -> httpx.URL:
    """The URL that all handlers lie under. Raises ValueError, without showing the URL, if it is none."""
    try:
        base = httpx.URL(base_url)
    except httpx.InvalidURL:
        raise ValueError("the provider's base URL is not a URL") from None
    extra = base.userinfo or base.query or base.fragment
    if base.scheme not in ("http", "https") or not base.host or extra:
        raise ValueError("the provider's base URL must be http(s)://host[:port][/path] and nothing else")
    return base


def _endpoint(base: httpx.URL, handler: str) -> httpx.URL:
    return base.copy_with(path=f"{base.path.rstrip('/')}/{handler}")


def handlers_of(base_url: str, deadline: float) -> Callable[[str, str], Awaitable[Answer | Unreached | Unclear]]:
    """Asks any handler with a whole query, a fresh connection for each call: for `calibration`."""
    base, tls = _base(base_url), httpx.create_ssl_context()

    async def ask(handler: str, query: str) -> Answer | Unreached | Unclear:
        return await Fresh(_endpoint(base, handler), tls, 1).fetch(f"{query}&_={time.time_ns()}", deadline)

    return ask
