"""Figures as bars in one self-contained SVG file, readable on light and dark ground."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDE, LEFT, RIGHT = 760, 210, 110
BAR, GAP, HEAD, GROUP = 18, 8, 40, 34
STYLE = """\
  .ground { fill: #ffffff }
  text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
  .value { paint-order: stroke; stroke: #ffffff; stroke-width: 4px }
  .title { font-weight: 700; font-size: 15px }
  .group { font-weight: 700 }
  .faint { fill: #57606a; font-size: 11px }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .ours { fill: #1c7ed6 }
  .theirs { fill: #adb5bd }
  @media (prefers-color-scheme: dark) { .ground { fill: #16181d } text { fill: #e6edf3 } .value { stroke: #16181d }
    .faint { fill: #a9b4c0 }
    .grid { stroke: #343a46 } .theirs { fill: #6c7683 } .ours { fill: #4dabf7 } }"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One line of the chart."""

    label: str
    value: float
    shown: str  # beside its end
    ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Bars below a heading."""

    heading: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Bars begin at `begin`: zero, or on a logarithmic scale the least value that the eye is to see as nothing."""

    title: str
    axis: str
    groups: tuple[Group, ...]
    begin: float = 0.0
    logarithmic: bool = False


def svg(chart: Chart) -> str:
    """Return the document."""
    high = HEAD + sum(_head(group) + len(group.bars) * (BAR + GAP) for group in chart.groups) + 40
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {high}" width="{WIDE}" height="{high}">',
        f"<title>{escape(chart.title)}</title>",
        f"<style>\n{STYLE}\n</style>",
        f'<rect class="ground" width="{WIDE}" height="{high}"/>',
        f'<text class="title" x="16" y="26">{escape(chart.title)}</text>',
        *_grid(chart, high),
        *_groups(chart),
        f'<text class="faint" x="{LEFT}" y="{high - 10}">{escape(chart.axis)}</text>',
        "</svg>",
    ]
    return "\n".join(body) + "\n"


def _groups(chart: Chart) -> Iterator[str]:
    y = HEAD
    for group in chart.groups:
        yield f'<text class="group" x="16" y="{y + 22}">{escape(group.heading)}</text>'
        y += _head(group)
        for bar in group.bars:
            x = _place(chart, bar.value)
            look = "ours" if bar.ours else "theirs"
            yield f'<text x="{LEFT - 10}" y="{y + 14}" text-anchor="end">{escape(bar.label)}</text>'
            yield f'<rect class="{look}" x="{LEFT}" y="{y}" width="{x - LEFT:.1f}" height="{BAR}" rx="3"/>'
            yield f'<text class="value" x="{x + 8:.1f}" y="{y + 14}">{escape(bar.shown)}</text>'
            y += BAR + GAP


def _head(group: Group) -> int:
    return GROUP if group.heading else GROUP // 2


def _grid(chart: Chart, high: int) -> Iterator[str]:
    for value in _marks(chart):
        x = _place(chart, value)
        yield f'<path class="grid" d="M{x:.1f} {HEAD + 8}V{high - 40}"/>'
        yield f'<text class="faint" x="{x:.1f}" y="{high - 26}" text-anchor="middle">{value:g}</text>'


def _marks(chart: Chart) -> Sequence[float]:
    """Return where lines are drawn: powers of ten and their halves, or about five even steps."""
    most = _most(chart)
    if chart.logarithmic:
        marks = [digit * 10.0**power for power in range(-3, 7) for digit in (1, 2, 5)]
        return [mark for mark in marks if chart.begin <= mark <= most]
    step = 10.0 ** math.floor(math.log10(most / 2))
    step *= next(times for times in (1, 2, 5, 10) if most / (step * times) <= 6)
    return [step * number for number in range(int(most / step) + 1)]


def _place(chart: Chart, value: float) -> float:
    """Return a value's x in pixels."""
    share = value / _most(chart)
    if chart.logarithmic:
        share = math.log(max(value, chart.begin) / chart.begin) / math.log(_most(chart) / chart.begin)
    return LEFT + share * (WIDE - LEFT - RIGHT)


def _most(chart: Chart) -> float:
    return max(bar.value for group in chart.groups for bar in group.bars)
