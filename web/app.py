"""The application factory: everything the web needs is made here and handed on."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

from flask import Flask
from flask_openapi3.openapi import OpenAPI

from web import console, converters, middleware
from web.api import account, events, health, openapi, orders, problems, rentals, schemas
from web.api.authentication import authenticate
from web.api.callbacks import Callbacks, Judge
from web.api.keyring import KeyRing
from web.api.long_poll import LongPoll
from web.api.metrics import EVERY, Metrics
from web.api.provider_servers import ProviderServers
from web.api.rate_limits import RateLimits
from web.api.requests import MOST_BODY
from web.parts import Parts, install
from web.reporter import Reporter
from worker.callers import Callers
from worker.errors import SettingsInvalid, StoreTooNew, StoreUnavailable
from worker.logs import configure, get_logger
from worker.metrics import Counters
from worker.otlp import tracer_of
from worker.provider import products
from worker.settings import Settings, load
from worker.store import Store, Vault, connect
from worker.tracing import Tracer
from worker.webhooks.guard import guard_of

APP_LOAD_ERROR = 4
"""The exit status by which gunicorn stops for good instead of starting the process again and again."""


def create_app(
    settings: Settings | None = None,
    *,
    store: Store | None = None,
    guard: Judge | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
    limits: RateLimits | None = None,
    tracer: Tracer | None = None,
) -> Flask:
    """The WSGI application. Without `settings` the environment is read; a bad one ends the process with one message.

    The rest replaces the outside world in tests: the store, the judge of callbacks, clocks and sleep (seconds).
    """
    settings = settings or _from_environment()
    vault = Vault(settings.vault_keys, migrating=settings.sealing_migration)
    reports = store is None
    store = store or Store(
        connect(settings.store_url), vault, retention=settings.retention, otp_ttl=settings.otp_ttl,
        journal_retention=settings.journal_retention, storage=settings.caller_storage,
    )  # fmt: skip
    _join(store)
    return _assembled(
        Parts(
            settings=settings,
            store=store,
            keys=KeyRing(Callers(store), monotonic),
            callbacks=Callbacks(guard or guard_of(settings), monotonic),
            limits=limits or RateLimits(webhooks=settings.webhooks_per_minute, refreshes=settings.refreshes_per_minute),
            waiting=LongPoll(store.peek, sleep=sleep, monotonic=monotonic),
            servers=ProviderServers(store, monotonic),
            clock=clock,
            counters=Counters(),
            products=products.load(settings.products_file),
        ),
        tracer or tracer_of(settings, "web"),
        reports=reports,
    )


def _assembled(shared: Parts, tracer: Tracer, *, reports: bool) -> Flask:
    app = OpenAPI(
        "web.api",
        info=openapi.info(),
        security_schemes=openapi.SECURITY,
        validation_error_model=schemas.Problem,
        doc_ui=False,
        static_folder="static",
    )
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # a redirected POST would lose its body
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY + 1  # a chunked body is cut off here, and then seen to be too long
    converters.install(app)
    install(app, shared)
    figures = Metrics(shared.store, shared.counters)
    shared.counters.watch(shared.waiting.levels)
    middleware.install(app, figures, Reporter(figures.report, EVERY) if reports else None, tracer)
    app.before_request(authenticate)
    problems.install(app)
    for routes in (orders.routes(), rentals.routes(), events.routes(), account.routes(), health.routes(figures)):
        app.register_api(routes)
    openapi.install(app)
    if shared.settings.console:
        console.install(app)
    return app


def _join(store: Store) -> None:
    """End the process where a newer version has worked on the store; one that is away is judged by `/readyz`."""
    try:
        store.adopt_format()
    except StoreTooNew as too_new:
        sys.stderr.write(f"ringback web: {too_new}\n")
        sys.exit(APP_LOAD_ERROR)
    except StoreUnavailable as error:
        get_logger(__name__).warning("store_unavailable", why=str(error))


def _from_environment() -> Settings:
    if not logging.getLogger().handlers:
        configure("web")
    try:
        settings = load("web")
        table = products.load(settings.products_file)
    except SettingsInvalid as invalid:
        sys.stderr.write(f"ringback web: {invalid}\n")
        sys.exit(APP_LOAD_ERROR)
    for warning in [*settings.warnings(), *products.warnings(table, settings.products)]:
        get_logger(__name__).warning("settings", warning=warning)
    return settings
