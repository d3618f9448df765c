"""A picture in the terminal: one line per formula, and beside it lanes that show what waits for what.

    ✔     base   web-0  completed  os + gate
    ├─╮
    │ ✔   cache  web-1  completed  redis
    ├─│─╮
    │ │ ✘ db     web-2  failed     postgres + gate
    │ ├─╯
    │ ○   app    web-3  pending    app

A lane runs down from a formula until everything that waits for it has been drawn. The line above a formula joins the
lanes of what it waits for: `├` goes on below, `╯` and `╰` end there; a lane that is only crossed stays `│`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import field

from provisioning.core.frozen import dataclass
from provisioning.formats.draw.escape import cut, visible, width
from provisioning.formats.draw.picture import Box, Picture

Paint = Callable[[str, str], str]
"""(text, state) -> the text as it is printed; its width must stay the same."""

UP, RIGHT, DOWN, LEFT = 1, 2, 4, 8
STROKES = {
    UP | DOWN: "│",
    RIGHT | LEFT: "─",
    UP | RIGHT: "╰",
    UP | LEFT: "╯",
    DOWN | RIGHT: "╭",
    DOWN | LEFT: "╮",
    UP | DOWN | RIGHT: "├",
    UP | DOWN | LEFT: "┤",
    UP | RIGHT | LEFT: "┴",
    DOWN | RIGHT | LEFT: "┬",
    UP | DOWN | RIGHT | LEFT: "┼",
}
NAME_LIMIT = 40
LANES_SHARE = 0.5  # of the width; a graph that is wider is written as a list with the names of what is needed


def plain(text: str, _state: str) -> str:
    """Paint nothing."""
    return text


def tree(drawn: Picture, columns: int = 100, paint: Paint = plain) -> str:
    """Return the drawing, no line wider than `columns`."""
    room = int(columns * LANES_SHARE)
    lines = _Lanes(drawn).within(room)
    if lines is not None:
        return _text(drawn, lines, columns, paint)
    deepest = 2 * len(drawn.layers)
    lines = [_Line(lanes="  " * number if deepest <= room else "", box=box) for number, box in _by_layer(drawn)]
    return _text(drawn, lines, columns, paint, needs=drawn.needs())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    lanes: str
    box: int | None = None  # None: a line between formulas


@dataclass(slots=True)
class _Lanes:
    """The lanes while the drawing is made: `open[i]` is the formula whose lane runs in column i, or None."""

    drawn: Picture
    open: list[int | None] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)  # for each formula: how many that wait for it are not drawn yet

    def within(self, columns: int) -> list[_Line] | None:
        """Return the lines, or None when more lanes are open at once than fit: a wide graph would cost its width per line."""
        lines = []
        for line in self._lines():
            if len(line.lanes) > columns:
                return None
            lines.append(line)
        return lines

    def _lines(self) -> Iterator[_Line]:
        needs = self.drawn.needs()
        self.waiting = [0] * len(needs)
        for edge in self.drawn.edges:
            self.waiting[edge.tail] += 1
        for _, box in _by_layer(self.drawn):
            yield from self._formula(box, needs[box])

    def _formula(self, box: int, needs: Sequence[int]) -> Iterator[_Line]:
        for tail in needs:
            self.waiting[tail] -= 1
        wanted = set(needs)
        joined = {column for column, tail in enumerate(self.open) if tail is not None and tail in wanted}
        ended = {column for column in joined if not self.waiting[self.open[column] or 0]}
        column = self._column(ended)
        if joined:
            yield _Line(lanes=self._join(joined, ended, column))
        for gone in ended:
            self.open[gone] = None
        self.open[column] = box
        marks = [
            self.drawn.boxes[box].symbol if at == column else " " if lane is None else "│" for at, lane in enumerate(self.open)
        ]
        if not self.waiting[box]:
            self.open[column] = None
        self._trim()
        yield _Line(lanes=" ".join(marks), box=box)

    def _column(self, ended: set[int]) -> int:
        """Return the leftmost lane that ends here, else the first that is free."""
        if ended:
            return min(ended)
        if None not in self.open:
            self.open.append(None)
        return self.open.index(None)

    def _join(self, joined: set[int], ended: set[int], column: int) -> str:
        first, last = min(joined | {column}), max(joined | {column})
        cells: list[str] = []
        for at, lane in enumerate(self.open):
            strokes = (RIGHT if first <= at < last else 0) | (LEFT if first < at <= last else 0)
            strokes |= (UP if at in joined else 0) | (DOWN if at == column or at in joined - ended else 0)
            crossed = lane is not None and at not in joined
            cells.append("│" if crossed else STROKES.get(strokes, " "))
            cells.append("─" if first <= at < last else " ")
        return "".join(cells).rstrip()

    def _trim(self) -> None:
        while self.open and self.open[-1] is None:
            self.open.pop()


def _by_layer(drawn: Picture) -> list[tuple[int, int]]:
    return [(number, box) for number, members in enumerate(drawn.layers) for box in members]


def _text(drawn: Picture, lines: list[_Line], columns: int, paint: Paint, needs: list[list[int]] | None = None) -> str:
    lanes = max((len(line.lanes) for line in lines), default=0)
    names = max((min(width(visible(box.id)), NAME_LIMIT) for box in drawn.boxes), default=0)
    servers = max((min(width(visible(box.server)), NAME_LIMIT) for box in drawn.boxes), default=0)
    done: list[str] = []
    for line in lines:
        if line.box is None:
            done.append(line.lanes)
            continue
        box = drawn.boxes[line.box]
        parts = [(f"{line.lanes:<{lanes}} ", ""), (_pad(box.id, names), box.state), ("  " + _pad(box.server, servers), "")]
        if box.state:
            parts.append((f"  {box.state:<11}", box.state))
        after = "" if needs is None else _after([drawn.boxes[tail].id for tail in needs[line.box]])
        parts.append((f"  {_contents(box)}{after}", ""))
        done.append(_fitted(parts, columns, paint))
    return "\n".join(done) + "\n"


def _pad(text: str, columns: int) -> str:
    fitted = cut(visible(text), columns)
    return fitted + " " * (columns - width(fitted))


def _contents(box: Box) -> str:
    nodes = ", ".join(visible(name) for name in box.nodes)
    share = f"{box.completed}/{len(box.nodes)} " if box.state and 0 < box.completed < len(box.nodes) else ""
    return f"{share}{nodes}{' + gate' if box.gated else ''}"


def _after(names: list[str]) -> str:
    return f"  after {', '.join(visible(name) for name in names)}" if names else ""


def _fitted(parts: list[tuple[str, str]], columns: int, paint: Paint) -> str:
    """Paint the parts one by one, so that cutting counts columns and never cuts an escape sequence."""
    left, done = columns, ""
    for text, state in parts:
        fitted = cut(text, left)
        left -= width(fitted)
        done += paint(fitted, state) if state else fitted
        if fitted != text:
            break
    return done.rstrip()
