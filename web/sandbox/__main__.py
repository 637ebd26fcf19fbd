"""`python -m web.sandbox`: the sandbox provider on its own, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

from web.sandbox.server import Sandbox


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; 2 when an option is bad, 1 when the port is taken."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    try:
        sandbox = Sandbox(**options)
    except ValueError as problem:
        parser.error(str(problem))
    try:
        return _serve(sandbox)
    except OSError as problem:
        print(f"cannot listen on {sandbox.url}: {problem.strerror}", file=sys.stderr)
        return 1


def _serve(sandbox: Sandbox) -> int:
    told_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told_to_stop.set())
    with sandbox:
        print(f"sandbox provider on {sandbox.base_url}", flush=True)
        told_to_stop.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m web.sandbox", description="An OTPGet look-alike; watch and control it at /sandbox/."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument(
        "--port", type=int, default=9000, help="port to listen on; 0 for a free one (default %(default)s)"
    )
    parser.add_argument(
        "--allow-host",
        dest="hosts",
        action="append",
        default=[],
        metavar="NAME",
        help="a host name that control calls may use",
    )
    parser.add_argument("--balance", default="500", help="PKR in the account (default %(default)s)")
    parser.add_argument("--price", default="10", help="PKR for a number (default %(default)s)")
    parser.add_argument("--code-after", type=_seconds_or_never, default=8.0, help="seconds to the code, or 'never'")
    parser.add_argument("--cancel-after", type=float, default=120.0, help="seconds before a cancel is allowed")
    parser.add_argument("--life", type=float, default=900.0, help="lifetime of a number in seconds")
    parser.add_argument("--sms-life", type=float, default=1200.0, help="lifetime of an SMS OTP number in seconds")
    parser.add_argument("--email-life", type=float, default=1200.0, help="lifetime of an address in seconds")
    parser.add_argument(
        "--rental-seconds", type=float, help="lifetime of a rental in seconds; by default the offer's hours"
    )
    parser.add_argument("--message-every", type=float, help="seconds between a rental's messages; none by default")
    parser.add_argument("--story-pace", type=float, default=2.0, help="seconds from a story's purchase to its code")
    parser.add_argument(
        "--story-life", type=float, help="lifetime of a story's cheap number in seconds; default --life"
    )
    parser.add_argument(
        "--no-stories", dest="stories", action="store_false", help="do not sell items named after stories"
    )
    parser.add_argument("--no-code-share", type=float, default=0.0, help="share of orders without a code, 0 to 1")
    parser.add_argument("--seed", type=int, help="make ids, numbers and codes the same on every run")
    parser.add_argument("--api-key", help="the only key accepted; any key by default")
    return parser


def _seconds_or_never(text: str) -> float | None:
    return None if text == "never" else float(text)


if __name__ == "__main__":
    sys.exit(main())
