"""The little Markdown that descriptions use, as HTML: `code`, **bold** and [links](to)."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_RULES = (
    (re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
    (re.compile(r"\*\*([^*]+)\*\*"), r"<b>\1</b>"),
    (re.compile(r"\[([^\]]+)\]\((https?://[^)\s]+|[/#][^)\s]*)\)"), r'<a href="\2">\1</a>'),
)


def rendered(text: str | None) -> Markup:
    """The text as HTML; everything that is not one of the three stays text."""
    html = str(escape(text or ""))
    for pattern, replacement in _RULES:
        html = pattern.sub(replacement, html)
    return Markup(html)  # noqa: S704 - escaped above
