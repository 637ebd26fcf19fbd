"""The audit: who did what, when, on what and why; and the operators, whom admins change here."""

from __future__ import annotations

from flask import redirect, request
from werkzeug.wrappers import Response

from web.console import access
from web.console.access import Turned
from web.console.page import render
from web.parts import parts
from worker.operator import Act, Operator, Role
from worker.operators import login_path

LINES = 100


def show() -> str:
    """The newest lines, and who may be here."""
    return _page()


def _page(made: tuple[Operator, str] | None = None) -> str:
    at, dash, place = request.args.get("before", "").partition("-")
    valid = dash and at.isdigit() and place.isdigit() and len(at) < 16 and len(place) < 16
    lines = parts().store.audit.lines(LINES, f"{at}-{place}" if valid else None)
    skipped: list[str] = []
    operators = access.operators().all(skipped)
    link = (made[0], f"{request.host_url.rstrip('/')}{login_path(made[1])}") if made else None
    return render(
        "audit.html", title="Audit", lines=lines, more=lines[-1].id if len(lines) == LINES else None, made=link,
        operators=operators, skipped=skipped, roles=list(Role),
    )  # fmt: skip


def create_operator() -> str:
    """A new operator, with a login link that stands on this page and on no other."""
    operator = access.operators().create(request.form.get("name", ""), _role(), parts().clock())
    access.audit(Act.CHANGE_OPERATOR, operator.id, f"created {operator.name} as {operator.role}")
    return _page((operator, access.operators().link(operator.id)))


def link(operator_id: str) -> str:
    """Another login link."""
    operator = access.operators().get(operator_id)
    access.audit(Act.CHANGE_OPERATOR, operator_id, "made a login link")
    return _page((operator, access.operators().link(operator_id)))


def change_role(operator_id: str) -> Response:
    """Give somebody another role; it holds from the next request on."""
    role = _role()
    access.audit(Act.CHANGE_OPERATOR, access.operators().get(operator_id).id, f"role {role}")
    access.operators().change_role(operator_id, role)
    return redirect("/console/audit?done=saved", 303)


def revoke(operator_id: str) -> Response:
    """Lock somebody out: all sessions end at once."""
    access.audit(Act.CHANGE_OPERATOR, access.operators().get(operator_id).id, "revoked")
    access.operators().revoke(operator_id, parts().clock())
    return redirect("/console/audit?done=revoked", 303)


def _role() -> Role:
    role = request.form.get("role", "")
    if role not in set(Role):
        raise Turned(422, "choose a role")
    return Role(role)
