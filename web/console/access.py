"""Who may do what in the console: login links, sessions, rights at the act, and requests from elsewhere refused."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Response, g, make_response, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from web.console.page import render
from web.parts import parts
from web.request_state import request_state
from worker.operator import SESSION, Act, Operator
from worker.operators import Operators

COOKIE = "ringback_console"
LOGINS, REVEALS = 20, 30
"""Logins tried from one address, and values revealed by one operator, in a minute."""
MINUTE = 60
LONGEST_REASON = 200
"""Characters of a reason that are kept."""
OWN = frozenset({"same-origin", "none"})
"""What `Sec-Fetch-Site` says of a request that a page of ours, or the reader's own hand, has sent."""


class Turned(Exception):
    """The request goes no further: its status, and why in words."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


def operators() -> Operators:
    """The operators in the store."""
    return Operators(parts().store)


def current() -> Operator:
    """Who is at the console; only behind `check`."""
    operator: Operator = g.operator
    return operator


def check(act: Act | None) -> None:
    """Let a request through that is from here and by somebody who may do the act; None is open to all.

    Raises Turned.
    """
    if request.method not in ("GET", "HEAD", "OPTIONS") and not _from_here():
        raise Turned(403, "this request comes from another site; nothing was changed")
    g.operator = None
    if act is None:
        return
    g.operator = _recognised()
    if g.operator is None:
        raise Turned(401, "you are not logged in")
    request_state().line["operator"] = g.operator.id
    if not g.operator.may(act):
        raise Turned(403, f"a {g.operator.role} may not do this; nothing was changed")


def audit(act: Act, on: str, why: str = "") -> None:
    """Write down what the operator does: before it is done, so that nothing is done unseen."""
    operator = current()
    parts().store.audit.add(f"{operator.name} ({operator.id})", act.value, on, why)


def reason() -> str:
    """Why it is done, as the form says; may be empty."""
    return request.form.get("reason", "").strip()[:LONGEST_REASON]


def audit_reveal(on: str, what: str) -> None:
    """Write down that one masked value is about to be shown. Raises Turned without a reason, or after too many."""
    why = reason()
    if not why:
        raise Turned(422, "give a reason: it is recorded in the audit")
    within(f"reveal:{current().id}", REVEALS)
    audit(Act.REVEAL, on, f"{what}: {why}")


def within(what: str, most: int) -> None:
    """Count one `what`; raises Turned beyond `most` in a minute."""
    if not operators().allowed(what, most, MINUTE):
        raise Turned(429, "too many attempts in this minute; wait a moment")


def _from_here() -> bool:
    """Whether a page of ours has sent it. A browser too old to say is kept out by the cookie's SameSite=Strict."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in OWN
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc.lower() == request.host.lower()


def _recognised() -> Operator | None:
    header = parts().settings.console_trusted_header
    if header and (name := request.headers.get(header, "")):
        return operators().named(name)
    session = request.cookies.get(COOKIE, "")
    return operators().of_session(session) if session else None


# Logging in and out.


def login_page(token: str) -> str:
    """A button: opening the link, as mail scanners and previews do, uses nothing up."""
    return render("login.html", title="Log in", token=token)


def log_in(token: str) -> BaseResponse:
    """Use the link up and begin a session."""
    within(f"login:{request.remote_addr or '-'}", LOGINS)
    entered = operators().log_in(token)
    if entered is None:
        raise Turned(401, "this link has been used, is older than 10 minutes, or is not valid")
    operator, session = entered
    parts().store.audit.add(f"{operator.name} ({operator.id})", "log_in")
    answer = redirect("/console", 303)
    over_tls = request.is_secure or request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip() == "https"
    answer.set_cookie(
        COOKIE, session, max_age=int(SESSION), path="/console", httponly=True, samesite="Strict", secure=over_tls
    )
    return answer


def log_out() -> BaseResponse:
    """End this session."""
    operators().log_out(request.cookies.get(COOKIE, ""))
    answer: Response = make_response(render("turned.html", title="Logged out", why="You are logged out.", status=200))
    answer.delete_cookie(COOKIE, path="/console")
    return answer
