"""The settings: one frozen, validated object read from the environment (contract.md, "Settings").

All problems are reported together. Secrets are shown as set or unset, never by value.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from worker.errors import SettingsInvalid

Role = Literal["web", "worker", "tool"]
Product = Literal["cheap", "sms", "email", "rental"]
Seconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]
PREFIX = "RINGBACK_"
STORE_SCHEMES = ("redis", "rediss", "unix", "sentinel", "rediss+sentinel", "redis+sentinel")


class Settings(BaseModel):
    """Everything that can be set, in the contract's order. Spans are seconds, money is PKR."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    redis_url: SecretStr | None = Field(None, description="the store; `redis://`, `rediss://`, `unix://`, Sentinel")
    broker_url: SecretStr | None = Field(None, description="Celery's broker; the store unless set")
    otpget_base_url: str = Field(
        "https://www.otpget.com/stubs", description="the handlers of all products lie under it"
    )
    otpget_api_key: SecretStr | None = Field(None, description="workers only: the web process runs without it")
    otpget_max_rps: Annotated[float, Field(gt=0, le=100_000)] | None = Field(
        None, description="hard cap on calls to the provider per second, over all workers"
    )
    encryption_keys: tuple[SecretStr, ...] = Field(
        (), description="comma-separated, first encrypts, all decrypt; `ringback keygen` makes one"
    )
    poll_interval: Seconds = Field(
        5.0, description="seconds between two polls of an order; under 5 is allowed with a warning"
    )
    poll_deadline: Seconds = Field(
        4.0, description="seconds for one whole status call; never more than 0.8 of the poll interval is used"
    )
    buy_deadline: Seconds = Field(20.0, description="seconds for one whole buy call")
    buy_budget: Seconds = Field(120.0, description="seconds an order may keep asking while the provider has no numbers")
    order_timeout: Seconds = Field(
        540.0,
        description="seconds after the purchase at which an order without an OTP is cancelled; "
        "an order may ask for less or more, at most its number's life minus 30 s",
    )
    earliest_cancel: Annotated[float, Field(ge=0, le=86_400)] = Field(
        125.0, description="seconds after the purchase before which no cancel is sent"
    )
    cancel_retry: Seconds = Field(25.0, description="seconds between two cancel attempts")
    webhook_timeout: Seconds = Field(10.0, description="seconds for one whole delivery attempt")
    webhook_schedule: tuple[Seconds, ...] = Field(
        (1, 2, 5, 10, 20, 40, 60, 120, 300, 600, 1200, 1800),
        description="waits after a failed attempt; the first attempt is at once",
    )
    callback_allow_http: bool = Field(False, description="allow `http://` callbacks")
    callback_allowed_networks: tuple[str, ...] = Field(
        (), description="CIDRs that the address guard lets through (tests, private networks)"
    )
    callback_allowed_ports: tuple[int, ...] = Field(
        (), description="ports a callback may use besides the scheme's default"
    )
    callback_nameservers: tuple[str, ...] = Field(
        (), description="name servers (`address` or `address:port`) for callbacks, instead of the system's"
    )
    otp_ttl: Seconds = Field(
        86_400.0,
        description="seconds after which a stored OTP is erased at the latest; 900 s after the caller acknowledged it",
    )
    retention: Seconds = Field(604_800.0, description="seconds an ended order stays readable")
    caller_storage: Annotated[int, Field(ge=1_000_000)] = Field(
        536_870_912, description="bytes that one caller's orders and events may take within the retention; past it: 429"
    )
    webhooks_per_minute: Annotated[int, Field(ge=1)] = Field(
        60, description="pings and redeliveries that one caller may ask of one web process in a minute; past it: 429"
    )
    refreshes_per_minute: Annotated[int, Field(ge=1)] = Field(
        1, description="refreshes of one reading that one caller may ask of one web process in a minute; past it: 429"
    )
    min_balance: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="stop buying below this balance"
    )
    products: tuple[Product, ...] = Field(
        ("cheap", "sms"), description="the products that may be ordered, of `cheap`, `sms`, `email`, `rental`"
    )
    products_file: str | None = Field(
        None,
        description="a TOML file whose entries replace those of the built-in product table "
        "(handler, actions, words, field names, lifetimes)",
    )
    cheap_price: Annotated[Decimal, Field(gt=0, le=1_000_000, allow_inf_nan=False)] | None = Field(
        None,
        description="PKR that a cheap number counts against a spend cap, since the provider names no price",
    )
    rental_poll_interval: Seconds = Field(30.0, description="seconds between two readings of a rental's messages")
    otlp_endpoint: str | None = Field(
        None, description="where spans go (OTLP over HTTP); needs the extra `ringback[otel]`"
    )
    journal_retention: Seconds = Field(7_776_000.0, description="seconds the journal of money is kept")
    sealing_migration: bool = Field(
        False,
        description="read records that are not sealed or not bound although keys are set: only until "
        "`ringback keys reseal` has run (docs/upgrading.md)",
    )
    metrics_token: SecretStr | None = Field(
        None,
        description="`/metrics` then requires `Authorization: Bearer` with this, and so do the reasons in `/readyz`",
    )
    console: bool = Field(True, description="serve the operators' console under `/console`")
    console_trusted_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] | None = Field(
        None,
        description="a header in which an authenticating proxy names the operator; "
        "only behind a proxy that strips it from incoming requests",
    )
    sandbox_url: str | None = Field(
        None, description="the sandbox provider's page, set by `ringback up`; lets the console place test orders"
    )
    _unknown: tuple[str, ...] = PrivateAttr(())

    @field_validator(
        "encryption_keys",
        "webhook_schedule",
        "callback_allowed_networks",
        "callback_allowed_ports",
        "callback_nameservers",
        "products",
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("encryption_keys")
    @classmethod
    def _are_keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for place, key in enumerate(keys, 1):
            try:
                Fernet(key.get_secret_value())
            except ValueError:
                raise ValueError(
                    f"key {place} is not 32 bytes in URL-safe base64; `ringback keygen` makes one"
                ) from None
        return keys

    @field_validator("callback_allowed_networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            ip_network(network, strict=False)
        return networks

    @field_validator("callback_allowed_ports")
    @classmethod
    def _are_ports(cls, ports: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 0 < port < 65536 for port in ports):
            raise ValueError("a port must be between 1 and 65535")
        return ports

    @field_validator("callback_nameservers")
    @classmethod
    def _are_servers(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for server in servers:
            host, colon, port = server.rpartition(":")
            ip_address(host if colon and port.isdigit() else server)
        return servers

    @field_validator("redis_url", "broker_url")
    @classmethod
    def _is_store_url(cls, url: SecretStr | None, info: Any) -> SecretStr | None:
        if (
            url is not None
            and info.field_name == "redis_url"
            and urlsplit(url.get_secret_value()).scheme not in STORE_SCHEMES
        ):
            raise ValueError("must start with redis://, rediss://, unix:// or sentinel://")
        return url

    @field_validator("otpget_base_url", "otlp_endpoint")
    @classmethod
    def _is_http_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an http:// or https:// address without a query")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _spans_fit(self) -> Settings:
        if len(self.webhook_schedule) > 40:
            raise ValueError("RINGBACK_WEBHOOK_SCHEDULE may have at most 40 waits")
        return self

    @property
    def store_url(self) -> str:
        """The store's address, password included: for connecting, never for showing."""
        return self.redis_url.get_secret_value() if self.redis_url else ""

    @property
    def broker(self) -> str:
        """The broker's address, password included: for connecting, never for showing."""
        return self.broker_url.get_secret_value() if self.broker_url else self.store_url

    @property
    def vault_keys(self) -> list[str]:
        """The encryption keys by value: for the vault, never for showing."""
        return [key.get_secret_value() for key in self.encryption_keys]

    @property
    def status_deadline(self) -> float:
        """Seconds for one status call: inside the interval, so that two polls of one order never overlap."""
        return min(self.poll_deadline, 0.8 * self.poll_interval)

    def warnings(self) -> list[str]:
        """What is allowed but should be known, a sentence each."""
        found = []
        if self.poll_interval < 5:
            found.append("RINGBACK_POLL_INTERVAL is under 5 s: the vendor asks for 5 to 10 s between two polls.")
        if self.poll_deadline > self.status_deadline:
            found.append(
                f"RINGBACK_POLL_DEADLINE is more than 0.8 of the poll interval: {self.status_deadline:g} s is used."
            )
        if self.earliest_cancel < 125:
            found.append("RINGBACK_EARLIEST_CANCEL is under 125 s: the provider may refuse the first cancels.")
        if self.callback_allow_http:
            found.append("RINGBACK_CALLBACK_ALLOW_HTTP is on: codes may cross the network unencrypted.")
        if self.sealing_migration:
            found.append(
                "RINGBACK_SEALING_MIGRATION is on: whoever can write to the store can plant records. "
                "Run `ringback keys reseal` and unset it."
            )
        found += [_misspelt(name) for name in self._unknown]
        if not self.encryption_keys:
            found.append(
                "RINGBACK_ENCRYPTION_KEYS is unset: codes and webhook secrets are stored unencrypted; "
                "`ringback keygen` makes a key."
            )
        return found

    def masked(self) -> dict[str, Any]:
        """Every setting by its environment name; secrets as "set" or "unset"."""
        return {PREFIX + name.upper(): _shown(getattr(self, name)) for name in type(self).model_fields}


def load(role: Role, environ: Mapping[str, str] | None = None) -> Settings:
    """Read and validate the environment for a process of the given role.

    Raises SettingsInvalid with every problem in one message. The web process never reads the provider's key.
    """
    source = dict(os.environ if environ is None else environ)
    if role == "web":
        source.pop(PREFIX + "OTPGET_API_KEY", None)
    values = {
        name: source[PREFIX + name.upper()]
        for name in Settings.model_fields
        if source.get(PREFIX + name.upper(), "") != ""
    }
    needed = {"web": ("redis_url",), "worker": ("redis_url", "otpget_api_key"), "tool": ()}[role]
    missing = [PREFIX + name.upper() for name in needed if name not in values]
    problems = [f"{name}: is not set, and the {role} process needs it" for name in missing]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += [_problem(dict(one)) for one in error.errors(include_input=False, include_url=False)]
    if problems:
        raise SettingsInvalid("the settings are not valid:\n" + "\n".join(f"  - {one}" for one in problems))
    settings._unknown = tuple(sorted(name for name in source if name.startswith(PREFIX) and not _is_known(name)))
    return settings


READ_ELSEWHERE = frozenset(
    PREFIX + name for name in ("API_KEY", "URL", "BIND", "WEBHOOK_SECRET", "CI", "CHAOS_SEED", "EXAMPLES")
)
"""Variables with our prefix that are no settings of web or worker: the command line's, receivers', the tests'."""


def _is_known(name: str) -> bool:
    return name in READ_ELSEWHERE or name.removeprefix(PREFIX).lower() in Settings.model_fields


def _misspelt(name: str) -> str:
    names = [PREFIX + known.upper() for known in Settings.model_fields]
    close = get_close_matches(name, names, 1, cutoff=0.8)
    return f"{name} is set, but is not a setting" + (f"; did you mean {close[0]}?" if close else ": nothing reads it.")


def _problem(error: dict[str, Any]) -> str:
    where = error["loc"]
    name = (
        PREFIX
        + str(where[0]).upper()
        + (f" (item {where[1] + 1})" if len(where) > 1 and isinstance(where[1], int) else "")
        if where
        else ""
    )
    message = error["msg"].removeprefix("Value error, ")
    return f"{name}: {message}" if name else message


def _shown(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "set"
    if value is None:
        return "unset"
    if isinstance(value, tuple):
        return f"set ({len(value)})" if value and isinstance(value[0], SecretStr) else list(value) or "unset"
    return value
