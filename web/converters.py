"""Ids in paths: what has another shape leads nowhere, like what does not exist."""

from __future__ import annotations

from flask import Flask
from werkzeug.routing import BaseConverter

from web.api import schemas


class OrderIds(BaseConverter):
    """`<order:…>`."""

    regex = schemas.ORDER_ID.strip("^$")


class EventIds(BaseConverter):
    """`<event:…>`."""

    regex = schemas.EVENT_ID.strip("^$")


class RentalIds(BaseConverter):
    """`<rental:…>`."""

    regex = schemas.RENTAL_ID.strip("^$")


def install(app: Flask) -> None:
    """Make them known to the routes."""
    app.url_map.converters.update(order=OrderIds, event=EventIds, rental=RentalIds)
