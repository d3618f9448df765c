"""A picture as one self-contained SVG file: readable on light and dark ground, no script, no outside reference."""

from __future__ import annotations

from collections.abc import Iterator

from provisioning.core.frozen import dataclass
from provisioning.formats.draw.escape import cut, visible, width, xml
from provisioning.formats.draw.layers import routed
from provisioning.formats.draw.notation import lines
from provisioning.formats.draw.palette import COLORS
from provisioning.formats.draw.picture import Box, Edge, Picture

CHARACTER, LINE, PAD = 7.3, 17, 10  # of the 12 px monospace face
GAP_X, GAP_Y, MARGIN = 28, 46, 16
HIGH = 3 * LINE + 2 * PAD - 4
BEND = 6  # width of the place where a long edge passes a layer
WIDEST = 34  # characters in a box; longer lines are cut, the tooltip has them whole
ROW = 4000  # pixels; a layer that is wider wraps

STYLE = """\
  .box { fill: #f4f4f5; stroke: #868e96; stroke-width: 1.4 }
  .edge { fill: none; stroke: #868e96; stroke-width: 1.4 }
  .soft { stroke-dasharray: 5 4 }
  text { font: 12px ui-monospace, Menlo, Consolas, monospace; fill: #1f2328 }
  .name { font-weight: 700 }
  .faint { fill: #57606a }
  .ground { fill: #ffffff }
  @media (prefers-color-scheme: dark) { .ground { fill: #16181d } .edge { stroke: #9aa4b2 } .plain { fill: #2b3038 }
    .plain ~ text { fill: #e6edf3 } .plain ~ .faint { fill: #a9b4c0 } }"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a box stands, in pixels."""

    x: float
    y: float
    wide: float
    high: float

    @property
    def middle(self) -> float:
        """Where edges arrive and leave."""
        return self.x + self.wide / 2


def svg(drawn: Picture) -> str:
    """Return the drawing as an SVG document."""
    places, paths, wide, high = layout(drawn)
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high:.0f}" width="{wide:.0f}" height="{high:.0f}">',
        f"<title>{xml(drawn.title)}</title>",
        f"<style>\n{STYLE}\n{_state_styles(drawn)}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#868e96"/></marker></defs>',
        f'<rect class="ground" width="{wide:.0f}" height="{high:.0f}"/>',
        *(_edge(edge, [places[at] for at in path]) for edge, path in zip(drawn.edges, paths, strict=True)),
        *(line for index, box in enumerate(drawn.boxes) for line in _box(box, places[index])),
        "</svg>",
    ]
    return "\n".join(body) + "\n"


def layout(drawn: Picture) -> tuple[list[Place], list[tuple[int, ...]], float, float]:
    """Return the places of boxes and bends, for every edge the places it passes, and the size of the whole.

    Places never overlap; the first ones are the boxes, in their order.
    """
    layers, paths = routed(len(drawn.boxes), [(edge.tail, edge.head) for edge in drawn.edges])
    sizes = [_size(box) for box in drawn.boxes]
    sizes += [(BEND, HIGH)] * (sum(map(len, layers)) - len(sizes))
    if drawn.apart:
        layers = (*(tuple(index for index in layer if index not in drawn.apart) for layer in layers), drawn.apart)
    rows = [row for layer in layers for row in _wrapped(layer, sizes)]
    spans = [sum(sizes[index][0] for index in row) + GAP_X * (len(row) - 1) for row in rows]
    wide = max(spans, default=0.0) + 2 * MARGIN
    places = [Place(x=0, y=0, wide=0, high=0)] * len(sizes)
    for number, (row, span) in enumerate(zip(rows, spans, strict=True)):
        x = (wide - span) / 2
        for index in row:
            places[index] = Place(x=x, y=MARGIN + number * (HIGH + GAP_Y), wide=sizes[index][0], high=sizes[index][1])
            x += sizes[index][0] + GAP_X
    return places, paths, wide, 2 * MARGIN + len(rows) * (HIGH + GAP_Y) - (GAP_Y if rows else 0)


def _wrapped(layer: tuple[int, ...], sizes: list[tuple[float, float]]) -> Iterator[list[int]]:
    row: list[int] = []
    span = 0.0
    for index in layer:
        if row and span + sizes[index][0] > ROW:
            yield row
            row, span = [], 0.0
        row.append(index)
        span += sizes[index][0] + GAP_X
    if row:
        yield row


def _size(box: Box) -> tuple[float, float]:
    columns = max(min(width(visible(line)), WIDEST) for line in lines(box)) + 2
    return columns * CHARACTER + 2 * PAD, HIGH


def _state_styles(drawn: Picture) -> str:
    states = sorted({box.state for box in drawn.boxes if box.state in COLORS})
    return "".join(f"  .{state} {{ fill: {COLORS[state].fill}; stroke: {COLORS[state].line} }}\n" for state in states)


def _box(box: Box, at: Place) -> Iterator[str]:
    kind = box.state if box.state in COLORS else "plain"
    yield f"<g><title>{xml(' | '.join(lines(box)))}</title>"
    yield f'<rect class="box {kind}" x="{at.x:.1f}" y="{at.y:.1f}" width="{at.wide:.1f}" height="{at.high:.1f}" rx="8"/>'
    for number, line in enumerate(lines(box)):
        shown = cut(visible(f"{box.symbol} {line}" if number == 0 else line), WIDEST + 2)
        look = "name" if number == 0 else "faint"
        y = at.y + PAD + LINE * number + 11
        yield f'<text class="{look}" x="{at.x + PAD:.1f}" y="{y:.1f}">{xml(shown)}</text>'
    yield "</g>"


def _edge(edge: Edge, path: list[Place]) -> str:
    x, y = path[0].middle, path[0].y + path[0].high
    curve = f"M{x:.1f} {y:.1f}"
    for place in path[1:]:
        last = place is path[-1]
        x2, y2 = place.middle, place.y - (1 if last else 0)
        bend = max(GAP_Y / 2, (y2 - y) / 2)
        curve += f"C{x:.1f} {y + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}"
        x, y = x2, y2 + place.high
        curve += "" if last else f"V{y:.1f}"
    soft = " soft" if edge.label else ""
    return f'<path class="edge{soft}" marker-end="url(#tip)" d="{curve}"/>'
