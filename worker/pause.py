"""Why buying can be paused: the reasons, and what each means for orders and operators. Pure."""

from __future__ import annotations

from enum import StrEnum

from worker.order import Acquisition, ErrorCode


class Pause(StrEnum):
    """A reason for which nothing is bought; polls and cancels go on."""

    PROVIDER_AUTH = "provider_auth"
    """The provider refuses the key."""
    INSUFFICIENT_BALANCE = "insufficient_balance"
    """The provider refused a purchase for want of money: pauses what was refused, or (too poor for anything) all."""
    PROVIDER_BANNED = "provider_banned"
    """The provider banned the account for a time."""
    BELOW_MIN_BALANCE = "below_min_balance"
    """The balance is below RINGBACK_MIN_BALANCE, or unknown."""
    SWITCHED_OFF = "switched_off"
    """An operator switched buying off; only an operator switches it on again."""

    @property
    def error(self) -> ErrorCode:
        """The error of an order whose budget ends while buying is paused for this."""
        return _ERRORS[self]

    @property
    def closes(self) -> bool:
        """Whether new orders are refused meanwhile (503), not just left queued."""
        return self in (Pause.SWITCHED_OFF, Pause.BELOW_MIN_BALANCE)

    @property
    def advice(self) -> str:
        """What an operator does about it."""
        return _ADVICE[self]


def item_of(order: Acquisition) -> str:
    """What an order wants to buy, as pauses tell one from another: its product, and the product's fields by name."""
    return "/".join([order.product, *(value for _, value in sorted(order.item.items()))])


_ERRORS = {
    Pause.PROVIDER_AUTH: ErrorCode.PROVIDER_AUTH,
    Pause.INSUFFICIENT_BALANCE: ErrorCode.INSUFFICIENT_BALANCE,
    Pause.PROVIDER_BANNED: ErrorCode.PROVIDER_BANNED,
    Pause.BELOW_MIN_BALANCE: ErrorCode.INSUFFICIENT_BALANCE,
    Pause.SWITCHED_OFF: ErrorCode.PROVIDER_REJECTED,
}
_ADVICE = {
    Pause.PROVIDER_AUTH: "the provider refuses the key: correct RINGBACK_OTPGET_API_KEY and restart the workers",
    Pause.INSUFFICIENT_BALANCE: "top up the balance; buying resumes by itself after the next reading",
    Pause.PROVIDER_BANNED: (
        "the provider has banned the account for a time; buying resumes when that is over. Ask its support why"
    ),
    Pause.BELOW_MIN_BALANCE: "top up the balance or lower RINGBACK_MIN_BALANCE; buying resumes by itself",
    Pause.SWITCHED_OFF: "an operator switched it off; `ringback buying on` resumes it",
}
