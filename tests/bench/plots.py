"""Pictures for the page as plain SVG text: a bar chart and a line chart, nothing to install."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

WIDTH = 760
INK, GREY, GRID = "#1f2933", "#616e7c", "#d9dee4"
COLOURS = ("#2563a8", "#c2571a", "#2e7d4f", "#7b4ba8", "#a8325e")
OURS, THEIRS = COLOURS[0], "#9aa5b1"


def bars(title: str, rows: Sequence[tuple[str, float]], *, unit: str, ours: str) -> str:
    """Horizontal bars on a logarithmic axis, the bar whose label starts with `ours` in colour."""
    low, high = _decades([value for _, value in rows])
    left, right, row = 250, 90, 34
    scale = (WIDTH - left - right) / (high - low)
    parts = [_text(16, 28, title, size=16, weight="600")]
    height = 56 + row * len(rows) + 28
    for decade in range(low, high + 1):
        x = left + (decade - low) * scale
        parts.append(f'<line x1="{x:.1f}" y1="46" x2="{x:.1f}" y2="{height - 26}" stroke="{GRID}"/>')
        parts.append(
            _text(
                x,
                height - 10,
                f"{10.0**decade:,.0f}" if decade >= 0 else f"{10.0**decade:g}",
                anchor="middle",
                colour=GREY,
            )
        )
    for index, (label, value) in enumerate(rows):
        y = 52 + index * row
        length = (math.log10(value) - low) * scale
        colour = OURS if label.startswith(ours) else THEIRS
        parts.append(_text(left - 10, y + 19, label, anchor="end"))
        parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="26" rx="2" fill="{colour}"/>')
        parts.append(_text(left + length + 8, y + 18, f"{value:,.0f} {unit}"))
    return _page(height, title, parts)


def lines(
    title: str,
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    *,
    across: str,
    up: str,
    top: float | None = None,
) -> str:
    """Lines over linear axes that start at zero, each named in the legend."""
    height, left, right, bottom, head = 380, 70, 190, 50, 50
    points = [point for _, line in series for point in line]
    widest, tallest = max(x for x, _ in points) or 1, top or _round_up(max(y for _, y in points) * 1.1)
    wide, tall = WIDTH - left - right, height - head - bottom
    parts = [_text(16, 28, title, size=16, weight="600"), _text(left, height - 8, across, colour=GREY)]
    parts.append(_text(16, head - 6, up, colour=GREY))
    for step in range(5):
        y = head + tall * step / 4
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + wide}" y2="{y:.1f}" stroke="{GRID}"/>')
        parts.append(_text(left - 8, y + 4, _number(tallest * (1 - step / 4)), anchor="end", colour=GREY))
        parts.append(
            _text(left + wide * step / 4, height - 28, _number(widest * step / 4), anchor="middle", colour=GREY)
        )
    for index, (name, line) in enumerate(series):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(
            f"{left + wide * x / widest:.1f},{head + tall * (1 - min(y / tallest, 1)):.1f}" for x, y in line
        )
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        y = head + 14 + index * 22
        parts.append(f'<rect x="{WIDTH - right + 16}" y="{y - 9}" width="14" height="4" fill="{colour}"/>')
        parts.append(_text(WIDTH - right + 36, y - 3, name))
    return _page(height, title, parts)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    return math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _round_up(value: float) -> float:
    step = 10.0 ** math.floor(math.log10(value or 1)) / 2
    return math.ceil(value / step) * step


def _text(
    x: float,
    y: float,
    words: str,
    *,
    size: int = 13,
    anchor: str = "start",
    colour: str = INK,
    weight: str = "400",
) -> str:
    style = f'font-size="{size}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


def _page(height: int, title: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}" font-family="system-ui, sans-serif">'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', *parts, "</svg>", ""])
