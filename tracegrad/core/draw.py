"""Graphs as SVG pictures and as DOT text, without any program beside Python."""

from __future__ import annotations

import colorsys
import html
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tracegrad.core import layout as layered
from tracegrad.core.layout import MARGIN, Arrow, Layout, Place, Point

__all__ = ["Box", "dot", "layout", "svg"]

_CHAR, _LINE = 7.3, 15.0  # one 12 px monospace character: its width, and the height of a line
_PAD_X, _PAD_Y = 10.0, 6.0
_LONGEST_LABEL = 36
_INK = "#7a7a7a"  # readable on white and on black

_COLOURS = {  # role: fill, outline
    "input": ("#cfe3ff", "#3b78c9"),
    "constant": ("#e6e6e6", "#8a8a8a"),
    "map": ("#d6f2d0", "#4b9a3c"),
    "view": ("#f3f0d7", "#a39a3f"),
    "reduce": ("#ffe0bd", "#cf7d1f"),
    "index": ("#f5e1c9", "#a4733a"),
    "contract": ("#e6d6f7", "#8450bd"),
    "loop": ("#cdeef0", "#2f8f95"),
    "cond": ("#d8e6ee", "#527a92"),
    "custom": ("#f7d9e8", "#b8497f"),
    "opaque": ("#d3c8c2", "#7b5c4b"),
    "backward": ("#fbd3d0", "#c9453c"),
    "output": ("#2f4b6e", "#1d3048"),
    # the dynamic graph, in the colours that torchviz made known; its nodes are grey
    "leaf tensor": ("#add8e6", "#5b9bb5"),
    "saved tensor": ("#ffc266", "#c77f1a"),
    "output tensor": ("#caff70", "#86b33f"),
}
_OTHER = ("#ececec", "#777777")
_LIGHT_TEXT = {"output"}


@dataclass(frozen=True, slots=True)
class Box:
    """One node of a drawing.

    Parameters
    ----------
    id
        What arrows call it.
    label
        Its text; may have several lines.
    role
        Its colour: input, constant, map, view, reduce, index, contract, loop, cond, custom, opaque, backward or
        output; in dynamic graphs leaf tensor, saved tensor or output tensor; any other word is grey.
    tooltip
        Shown when the pointer rests on it.
    cluster
        The group it belongs to, shown as a coloured band around the group's boxes and arrows.
    """

    id: int
    label: str
    role: str
    tooltip: str = ""
    cluster: str | None = None


# --- text ------------------------------------------------------------------------------------------------------------


def _lines(label: str) -> list[str]:
    return [line if len(line) <= _LONGEST_LABEL else line[: _LONGEST_LABEL - 1] + "…" for line in label.splitlines()] or [""]


def _columns_of(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _size(box: Box) -> tuple[float, float]:
    lines = _lines(box.label)
    return max(map(_columns_of, lines)) * _CHAR + 2 * _PAD_X, len(lines) * _LINE + 2 * _PAD_Y


def layout(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> Layout:
    """Place boxes, large enough for their labels, so that arrows point downward and few of them cross.

    Parameters
    ----------
    boxes
        The nodes; ids are not negative and differ.
    arrows
        Pairs of ids; a pair may occur more than once.

    Raises
    ------
    ValueError
        When ids repeat or are negative, an arrow joins an unknown box, or the arrows form a cycle.
    """
    sizes = {box.id: _size(box) for box in boxes}
    if len(sizes) < len(boxes):
        raise ValueError("box ids must differ")
    return layered.layout(sizes, arrows)


def _safe(text: str) -> str:
    """Escape text for XML, which has no place for most control characters at all."""
    return html.escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", "�", text))


# --- SVG and DOT -----------------------------------------------------------------------------------------------------


def _path(points: Sequence[Point]) -> str:
    """Write a polyline as a curve that is vertical at every point."""
    (x, y), *rest = points
    parts = [f"M{x:.1f} {y:.1f}"]
    for nx, ny in rest:
        if abs(nx - x) < 0.05:
            parts.append(f"V{ny:.1f}")
        else:
            middle = (y + ny) / 2
            parts.append(f"C{x:.1f} {middle:.1f} {nx:.1f} {middle:.1f} {nx:.1f} {ny:.1f}")
        x, y = nx, ny
    return "".join(parts)


def _hue(number: int) -> str:
    turn = (0.56 + 0.382 * number) % 1  # the golden angle keeps neighbours apart
    return "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(turn, 0.5, 0.7))


def _rect(place: Place, attributes: str = "") -> str:
    left, top = place.x - place.width / 2, place.y - place.height / 2
    size = f'width="{place.width:.1f}" height="{place.height:.1f}"'
    return f'<rect x="{left:.1f}" y="{top:.1f}" {size} rx="7"{attributes}/>'


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{_safe(text)}</text>'


def _draw_box(box: Box, place: Place) -> list[str]:
    fill, outline = _COLOURS.get(box.role, _OTHER)
    ink = "#ffffff" if box.role in _LIGHT_TEXT else "#1a1a1a"
    lines = _lines(box.label)
    first = place.y - (len(lines) - 1) * _LINE / 2 + 4
    tooltip = "\n".join(filter(None, (box.tooltip or box.label, box.cluster)))
    return [
        f"<g><title>{_safe(tooltip)}</title>",
        _rect(place, f' fill="{fill}" stroke="{outline}"'),
        *(_text(place.x, first + i * _LINE, line, f' text-anchor="middle" fill="{ink}"') for i, line in enumerate(lines)),
        "</g>",
    ]


def _legend(boxes: Sequence[Box], clusters: Sequence[str], width: float) -> tuple[list[str], float, float]:
    """Draw the roles and clusters that occur, in lines no wider than the drawing; also its width and height."""
    roles = {box.role for box in boxes}
    ordered = [role for role in _COLOURS if role in roles] + sorted(roles - _COLOURS.keys())
    entries = [(role, *_COLOURS.get(role, _OTHER), 1.0) for role in ordered]
    entries += [(_lines(cluster)[0], _hue(i), _hue(i), 0.35) for i, cluster in enumerate(clusters)]
    parts: list[str] = []
    x, y, widest = MARGIN, 0.0, 0.0
    for name, fill, outline, opacity in entries:
        length = 22 + _columns_of(name) * _CHAR
        if x > MARGIN and x + length > max(width, 360.0) - MARGIN:
            x, y = MARGIN, y + 20
        swatch = Place(x + 8, y + 8, 16, 12)
        parts.append(_rect(swatch, f' fill="{fill}" stroke="{outline}" opacity="{opacity}"').replace('rx="7"', 'rx="3"'))
        parts.append(_text(x + 22, y + 12, name, f' fill="{_INK}"'))
        x += length + 16
        widest = max(widest, x)
    return parts, widest, y + 20 if entries else 0.0


def svg(boxes: Sequence[Box], arrows: Sequence[Arrow], title: str = "") -> str:
    """Draw a graph as a self-contained SVG picture, readable on light and dark pages.

    Parameters
    ----------
    boxes, arrows
        As for :func:`layout`.
    title
        Written above the drawing.

    Returns
    -------
    str
        The text of an SVG file.

    Raises
    ------
    ValueError
        As for :func:`layout`.

    Examples
    --------
    >>> picture = svg([Box(0, "x", "input"), Box(1, "tanh", "map")], [(0, 1)], "tanh")
    >>> picture.startswith("<svg"), picture.count("<rect")
    (True, 4)
    """
    found = layout(boxes, arrows)
    cluster_of = {box.id: box.cluster for box in boxes}
    clusters = list(dict.fromkeys(box.cluster for box in boxes if box.cluster is not None))
    body: list[str] = []
    for number, cluster in enumerate(clusters):
        colour = _hue(number)
        body.append(f'<g opacity="0.28" fill="{colour}" stroke="{colour}" stroke-width="14" stroke-linejoin="round">')
        body.append(f"<title>{_safe(cluster)}</title>")
        body += [_rect(found.places[box.id]) for box in boxes if box.cluster == cluster]
        body += [
            f'<path d="{_path(route)}" fill="none"/>'
            for (source, target), route in zip(arrows, found.routes, strict=True)
            if cluster_of[source] == cluster_of[target] == cluster
        ]
        body.append("</g>")
    body.append(f'<g fill="none" stroke="{_INK}" stroke-width="1.3">')
    body += [f'<path d="{_path(route)}" marker-end="url(#tip)"/>' for route in found.routes]
    body.append("</g>")
    for box in boxes:
        body += _draw_box(box, found.places[box.id])

    legend, legend_width, legend_height = _legend(boxes, clusters, found.width)
    head = 30.0 if title else 0.0
    width = max(found.width, legend_width, len(title) * 9.0 + 2 * MARGIN)
    height = head + legend_height + found.height
    fonts = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    tip = f'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto" fill="{_INK}"'
    left, top = max(0.0, (width - found.width) / 2), head + legend_height
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{fonts}" font-size="12">',
        f"<title>{_safe(title)}</title>",
        f'<defs><marker id="tip" {tip}><path d="M0 0.5L8 4L0 7.5z"/></marker></defs>',
        _text(MARGIN, 22, title, f' font-size="15" font-weight="bold" fill="{_INK}"'),
        f'<g transform="translate(0 {head + 6:.0f})">',
        *legend,
        "</g>",
        f'<g transform="translate({left:.1f} {top:.1f})">',
        *body,
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def dot(boxes: Sequence[Box], arrows: Sequence[Arrow], title: str = "") -> str:
    r"""Write a graph as DOT text, for other programs to draw.

    Parameters
    ----------
    boxes, arrows, title
        As for :func:`svg`.

    Examples
    --------
    >>> print(dot([Box(0, "x", "input"), Box(1, "tanh", "map")], [(0, 1)]))
    digraph "" {
      node [shape=box, style="rounded,filled", fontname="monospace"];
      0 [label="x", fillcolor="#cfe3ff", color="#3b78c9", tooltip="x"];
      1 [label="tanh", fillcolor="#d6f2d0", color="#4b9a3c", tooltip="tanh"];
      0 -> 1;
    }
    <BLANKLINE>
    """
    lines = [f"digraph {_quoted(title)} {{", '  node [shape=box, style="rounded,filled", fontname="monospace"];']
    groups: dict[str | None, list[Box]] = defaultdict(list)
    for box in boxes:
        groups[box.cluster].append(box)
    for number, (cluster, members) in enumerate(groups.items()):
        indent = "  "
        if cluster is not None:
            lines.append(f"  subgraph cluster_{number} {{ label={_quoted(cluster)};")
            indent = "    "
        lines += [f"{indent}{_dot_box(box)}" for box in members]
        if cluster is not None:
            lines.append("  }")
    lines += [f"  {source} -> {target};" for source, target in arrows]
    return "\n".join([*lines, "}", ""])


def _dot_box(box: Box) -> str:
    fill, outline = _COLOURS.get(box.role, _OTHER)
    ink = ', fontcolor="#ffffff"' if box.role in _LIGHT_TEXT else ""
    tooltip = _quoted(box.tooltip or box.label)
    return f'{box.id} [label={_quoted(box.label)}, fillcolor="{fill}", color="{outline}"{ink}, tooltip={tooltip}];'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
