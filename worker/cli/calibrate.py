"""`ringback calibrate`: ask the real provider free questions, and see whether the product table reads its answers."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.cli.context import AsJson, complain, say, show_json, show_table, surroundings
from worker.errors import RingbackError
from worker.provider import products
from worker.settings import Settings, load


class NotCalibrated(RingbackError):
    """The provider could not be asked; the message says why."""


def register(app: typer.Typer) -> None:
    """Give the command to the command line."""
    app.command()(calibrate)


def calibrate(
    product: Annotated[
        str | None, typer.Option(help="Only this product; by default all products in the table.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Save the replies, masked, in this folder.", metavar="FOLDER")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make only free calls to the provider, and say for each whether the product table can read the reply.

    Nothing is bought, cancelled or finished. Exits with 1 if a reply cannot be read, and says which line of the table
    (RINGBACK_PRODUCTS_FILE) to change.

    Example: ringback calibrate --product email --record answers
    """
    settings = load("tool", surroundings())
    if settings.otpget_api_key is None:
        raise NotCalibrated("RINGBACK_OTPGET_API_KEY is not set here: run this where the workers run")
    table = products.load(settings.products_file)
    if product is not None and product not in table:
        raise NotCalibrated(f"the product table has no {product!r}; it has {', '.join(table)}")
    chosen = table if product is None else {product: table[product]}
    findings = asyncio.run(_findings(settings, chosen))
    if record is not None:
        _record(record, findings)
    show_json(findings) if as_json else _show(findings)
    unknown = [one for one in findings if not one["known"]]
    for one in unknown:
        complain(f"{one['product']} {one['call']} ({one['about']}) is read as {one['read_as']}: change {one['advice']}")
    if unknown:
        raise typer.Exit(1)
    if not as_json:
        say("The table can read every reply.")


async def _findings(settings: Settings, chosen: products.Products) -> list[dict[str, Any]]:
    from worker.provider.calibration import calibrate as asked
    from worker.provider.client import handlers_of

    key = settings.otpget_api_key.get_secret_value() if settings.otpget_api_key else ""
    ask = handlers_of(settings.otpget_base_url, settings.buy_deadline)
    return [finding.public() async for finding in asked(chosen, ask, key, time.time)]


def _record(folder: Path, findings: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for place, finding in enumerate(findings, 1):
        about = re.sub(r"[^a-z0-9]+", "-", finding["about"].lower()).strip("-")
        name = f"{place:02d}-{finding['product']}-{finding['call']}-{about}.json"
        (folder / name).write_text(json.dumps(finding, indent=2) + "\n", encoding="utf-8")


def _show(findings: list[dict[str, Any]]) -> None:
    rows = [
        (
            one["product"],
            one["call"],
            one["about"],
            one["expected"],
            one["status"],
            one["body"][:60],
            one["read_as"] if one["as_expected"] else f"{one['read_as']} (!)",
        )
        for one in findings
    ]
    show_table(
        ["product", "call", "about", "expected", "status", "reply", "read as"], rows, empty="No calls were made."
    )
