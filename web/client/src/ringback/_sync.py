"""The client for ordinary code. Each method runs a flow; `_async` has the same ones."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, TypeVar, Unpack

import httpx

from ringback import _connection as connection
from ringback import _operations as operations
from ringback._flows import CODE, NUMBER, Failed, Flow, Flows, Item, Pause, Send, Stream
from ringback._operations import Money, NewOrder, NewRental, Operation, Reply
from ringback.models import (
    Balance,
    Countries,
    Delivery,
    Message,
    Order,
    Products,
    Rental,
    RentalCountries,
    RentalPrices,
    Servers,
    Services,
)
from ringback.webhooks import Event

T = TypeVar("T")


class Client:
    """One caller's way into a ringback.

    `base_url` and `api_key` are taken from `RINGBACK_URL` and `RINGBACK_API_KEY` unless given. `timeout` is how many
    seconds one try has (for how long the service holds an answer back is added), `deadline` for how many seconds a call
    is tried again while the connection fails or the service says 429, 502, 503 or 504. Threads may share a client.
    Everything may raise Problem, ConnectionFailed and UnexpectedAnswer; `ringback.errors` has the tree.

    `transport`, `sleep`, `clock` (monotonic seconds) and `chance` (0 to 1) replace the outside world in tests.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 10.0,
        deadline: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.base_url = connection.address(base_url)
        self._http = httpx.Client(transport=transport, **connection.settings(self.base_url, api_key))
        self._sleep = sleep
        self._flows = Flows(timeout, deadline, clock, chance)
        self.orders = Orders(self)
        self.events = Events(self)
        self.rentals = Rentals(self)

    def __repr__(self) -> str:
        return f"ringback.Client({self.base_url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def balance(self, *, refresh: bool = False) -> Balance:
        """The provider's balance as it was last read; with `refresh`, after a worker has tried to read it anew."""
        return self._call(operations.balance(refresh=refresh))

    def servers(self, type: str = "1", *, refresh: bool = False) -> Servers:
        """The provider's servers for cheap numbers of a type."""
        return self._call(operations.servers(type=type, refresh=refresh))

    def countries(self, type: str | None = None, *, refresh: bool = False) -> Countries:
        """The countries for numbers of a type."""
        return self._call(operations.countries(type=type, refresh=refresh))

    def services(
        self,
        product: str = "sms",
        *,
        type: str | None = None,
        country: str | None = None,
        domain: str | None = None,
        refresh: bool = False,
    ) -> Services:
        """What codes can be bought for, with prices: `sms` by type and country, `email` by domain."""
        return self._call(
            operations.services(product=product, type=type, country=country, domain=domain, refresh=refresh)
        )

    def products(self) -> Products:
        """The products that may be ordered, and the fields of their orders."""
        return self._call(operations.products())

    def _call(self, operation: Operation[T], deadline: float | None = None) -> T:
        return self._run(self._flows.perform(operation, deadline))

    def _run(self, flow: Flow[T]) -> T:
        reply: Reply | Failed | None = None
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            reply = self._do(step)

    def _each(self, stream: Stream) -> Iterator[Any]:
        reply: Reply | Failed | None = None
        while True:
            try:
                step = stream.send(reply)
            except StopIteration:
                return
            if isinstance(step, Item):
                yield step.value
            reply = None if isinstance(step, Item) else self._do(step)

    def _do(self, step: Send | Pause) -> Reply | Failed | None:
        if isinstance(step, Pause):
            self._sleep(step.seconds)
            return None
        try:
            return self._exchange(step)
        except httpx.RequestError as error:
            return connection.failed(error)

    def _exchange(self, step: Send) -> Reply:
        incoming = connection.Incoming(step, self._flows.clock)
        with self._http.stream(**connection.sent(self.base_url, step)) as answer:
            for chunk in answer.iter_bytes():
                incoming.add(chunk)
        return incoming.whole(answer)


class Orders:
    """`client.orders`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self,
        *,
        wait: float | None = None,
        idempotency_key: str | None = None,
        deadline: float | None = None,
        **fields: Unpack[NewOrder],
    ) -> Order:
        """Place an order. Its fields are those of `NewOrder`, by product.

        A key is made for each call and sent with each of its tries, so that trying again buys nothing twice; give one
        of your own (`signup-42`) and the same call made again, even by another process, is the same order for 24 hours.
        `wait` holds the answer for so many seconds (at most 60) until there is a number. `deadline` replaces the
        client's.
        """
        return self._client._call(operations.create_order(fields, wait, idempotency_key), deadline)

    def get(
        self, order_id: str, *, wait: float | None = None, wait_for: str | None = None, known: Order | None = None
    ) -> Order:
        """Read an order.

        `wait` holds the answer for so many seconds (at most 60) until `wait_for`: `number`, `end` or `change`. With
        `known`, the order as you read it before, that is until it differs from it; if it does not, `known` comes back.
        """
        return self._client._call(operations.get_order(order_id, wait=wait, wait_for=wait_for, known=known))

    def list(self, *, status: str | None = None, limit: int | None = None) -> Iterator[Order]:
        """Orders, newest first, page after page; at most `limit`."""
        page = partial(operations.list_orders, status=status)
        return self._client._each(self._client._flows.pages(page, limit))

    def cancel(self, order_id: str) -> Order:
        """Ask for a cancel: before the purchase it never buys, after it as soon as the provider allows."""
        return self._client._call(operations.cancel_order(order_id))

    def wait_for_number(self, order_id: str, timeout: float = 150.0) -> Order:
        """The order once it has its number or address. Raises NoNumber, and NotInTime after `timeout` seconds."""
        return self._client._run(self._client._flows.wait_for(order_id, NUMBER, timeout))

    def wait_for_code(self, order_id: str, timeout: float = 600.0) -> Order:
        """The order once it has its code, `otp`. Raises NoCode, and NotInTime after `timeout` seconds.

        Lost connections and a service that restarts are waited out.
        """
        return self._client._run(self._client._flows.wait_for(order_id, CODE, timeout))


class Events:
    """`client.events`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, event_id: str) -> Delivery:
        """An event and every attempt to deliver it."""
        return self._client._call(operations.get_event(event_id))

    def list(
        self,
        *,
        order: str | None = None,
        status: str | None = None,
        type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        failing: bool = False,
        after: str | None = None,
        payload: bool = False,
        limit: int | None = None,
    ) -> Iterator[Delivery]:
        """Events, newest first, page after page, at most `limit`; with `after`, what came after it, oldest first.

        `since` and `until` (timezone-aware) limit when events were created; `failing` keeps only those whose last
        attempt failed. `after=""` begins with the first kept one. `payload` adds what was or would be sent: the exact
        text, and the headers that sign it.
        """
        page = partial(
            operations.list_events, order=order, status=status, type=type, since=since, until=until, failing=failing,
            after=after, payload=payload,
        )  # fmt: skip
        return self._client._each(self._client._flows.pages(page, limit))

    def follow(self, after: str | None = None, *, patience: float | None = None) -> Iterator[Event]:
        """Every event after the one with the id `after` (None: from the first kept), oldest first, as they happen.

        It goes on for ever and waits lost connections out; `patience` bounds that, in seconds. Keep the id of the last
        event that you are done with, and follow from it the next time: none is skipped and none comes twice. Raises
        Gone when that event is no longer kept.
        """
        return self._client._each(self._client._flows.follow(after, patience))

    def redeliver(self, event_id: str) -> Delivery:
        """Send an event's webhook once more, under the same id."""
        return self._client._call(operations.redeliver_event(event_id))

    def ping(self, callback_url: str | None = None) -> Delivery:
        """Send a `webhook.ping` to the caller's callback, or to the one given."""
        return self._client._call(operations.ping(callback_url))


class Rentals:
    """`client.rentals`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self, *, idempotency_key: str | None = None, deadline: float | None = None, **fields: Unpack[NewRental]
    ) -> Rental:
        """Rent a number; the fields are those of `NewRental`. It cannot be cancelled. Keys as for orders."""
        return self._client._call(operations.create_rental(fields, idempotency_key), deadline)

    def get(self, rental_id: str) -> Rental:
        """Read a rental."""
        return self._client._call(operations.get_rental(rental_id))

    def list(self, *, status: str | None = None, limit: int | None = None) -> Iterator[Rental]:
        """Rentals, newest first, page after page; at most `limit`."""
        page = partial(operations.list_rentals, status=status)
        return self._client._each(self._client._flows.pages(page, limit))

    def messages(self, rental_id: str, *, after: str | None = None, limit: int | None = None) -> Iterator[Message]:
        """What a rented number received, or what came after a message; at most `limit`."""
        page = partial(operations.list_messages, rental_id=rental_id, after=after)
        return self._client._each(self._client._flows.pages(page, limit))

    def renew(
        self,
        rental_id: str,
        duration: int,
        *,
        max_price: Money | None = None,
        idempotency_key: str | None = None,
        deadline: float | None = None,
    ) -> Rental:
        """Renew a rental for so many hours, for at most `max_price` PKR. A purchase; keys as for orders."""
        renewal = operations.renew_rental(rental_id, duration, max_price, idempotency_key)
        return self._client._call(renewal, deadline)

    def countries(self, provider: str | None = None, *, refresh: bool = False) -> RentalCountries:
        """Where numbers are rented out."""
        return self._client._call(operations.rental_countries(provider=provider, refresh=refresh))

    def prices(self, country: str, provider: str | None = None, *, refresh: bool = False) -> RentalPrices:
        """The offers in a country."""
        return self._client._call(operations.rental_prices(country=country, provider=provider, refresh=refresh))
