"""The HTTP API as the command line calls it: the same one as everybody's."""

from __future__ import annotations

import os
from typing import Annotated, Any

import httpx
import typer

from worker.errors import RingbackError
from worker.order import TERMINAL

ApiKey = Annotated[
    str | None,
    typer.Option(envvar="RINGBACK_API_KEY", show_envvar=True, help="A caller's API key; the environment is safer."),
]
Url = Annotated[
    str | None,
    typer.Option(envvar="RINGBACK_URL", show_envvar=True, help="The service's address; default this machine's $PORT."),
]
HOLD = 30
"""Seconds for which one request waits for the order to change."""
DEADLINE = 10.0
"""Seconds without a byte after which a request is given up, what it holds excepted."""


class Refused(RingbackError):
    """The service did not do what was asked; the message says why, in its own words.

    `status` is None when nothing answered; `retry_after` is in seconds.
    """

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:
        """Whether asking again later can help."""
        return self.status is None or self.status in (408, 429) or self.status >= 500


class Api:
    """One caller's way into a running service. Raises Refused."""

    def __init__(self, url: str | None, api_key: str | None, transport: httpx.BaseTransport | None = None) -> None:
        if not api_key:
            raise typer.BadParameter("no API key: set RINGBACK_API_KEY (`ringback caller create` shows one)")
        self.url = (url or _on_this_machine()).rstrip("/")
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=DEADLINE + HOLD,
            trust_env=False,
            transport=transport,
        )

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def place(self, order: dict[str, Any], idempotency_key: str | None) -> dict[str, Any]:
        """Place an order."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._asked("POST", "/v1/orders", json=order, headers=headers)

    def rent(self, rental: dict[str, Any], idempotency_key: str | None) -> dict[str, Any]:
        """Rent a number."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._asked("POST", "/v1/rentals", json=rental, headers=headers)

    def renew(self, rental_id: str, renewal: dict[str, Any], idempotency_key: str) -> dict[str, Any]:
        """Renew a rental."""
        headers = {"Idempotency-Key": idempotency_key}
        return self._asked("POST", f"/v1/rentals/{rental_id}/renew", json=renewal, headers=headers)

    def cancel(self, order_id: str) -> dict[str, Any]:
        """Ask for an order's cancel."""
        return self._asked("POST", f"/v1/orders/{order_id}/cancel")

    def until_ended(self, order: dict[str, Any]) -> dict[str, Any]:
        """Wait for an order's end."""
        while order.get("status") not in TERMINAL:
            order = self._asked("GET", f"/v1/orders/{order['id']}", params={"wait": HOLD})
        return order

    def events(self, **query: str | int) -> dict[str, Any]:
        """A page of events."""
        return self._asked("GET", "/v1/events", params=query)

    def servers(self, **query: str) -> dict[str, Any]:
        """The provider's servers, as the service knows them."""
        return self._asked("GET", "/v1/servers", params=query)

    def order(self, order_id: str) -> dict[str, Any]:
        """An order."""
        return self._asked("GET", f"/v1/orders/{order_id}")

    def _asked(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, self.url + path, **kwargs)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise Refused(
                f"{self.url} does not respond ({type(error).__name__}); is `ringback up` running there?"
            ) from None
        payload = _json(answer)
        if not answer.is_success:
            raise Refused(_problem(answer.status_code, payload), answer.status_code, _seconds(answer))
        return payload


def _on_this_machine() -> str:
    from worker.local.up import web_address

    return web_address() or f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    if answer.is_success:
        raise Refused("the response is not JSON: is this the address of ringback?")
    return {}


def _seconds(answer: httpx.Response) -> float | None:
    told = answer.headers.get("Retry-After", "")
    return float(told) if told.isascii() and told.isdigit() else None


def _problem(status: int, payload: dict[str, Any]) -> str:
    """A problem+json in one line, every bad field included."""
    said = payload.get("detail") or payload.get("title") or "no reason given"
    fields = [_field(one) for one in payload.get("errors") or [] if isinstance(one, dict)]
    return (
        f"refused with {status}"
        + (f" {payload['code']}" if payload.get("code") else "")
        + f": {'; '.join([str(said), *fields])}"
    )


def _field(error: dict[str, Any]) -> str:
    where = error.get("field") or error.get("pointer") or error.get("loc") or ""
    return f"{where}: {error.get('message') or error.get('detail') or error.get('msg') or 'is bad'}"
