"""Tables that fit look as rich draws them, for a fraction of the work."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table
from rich.text import Text
from support.cost import counted

from provisioning_cli import grid, output

CELLS = st.text(st.sampled_from("ab Z09-_./,…✔日本é"), max_size=12)
COLOR = re.compile("\x1b\\[[0-9;]*m")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def by_rich(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    table = Table(box=ROUNDED)
    for number, name in enumerate(head):
        table.add_column(Text(name), justify="left" if number else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    drawn = io.StringIO()
    Console(file=drawn, width=1000, markup=False, highlight=False, emoji=False).print(table)
    return drawn.getvalue()


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=12))
def test_a_grid_is_what_rich_draws(cells: list[tuple[str, str, str]]) -> None:
    head = ["#", "step", "状态", "x"]
    rows = [[str(index), *row] for index, row in enumerate(cells)]

    widths = grid.widths([head, *rows])
    drawn = grid.grid(head, rows, widths, grid.unpainted)

    assert drawn == by_rich(head, rows)
    assert max(map(len, drawn.splitlines())) <= grid.grid_width(widths)


def test_on_a_terminal_known_words_and_the_frame_have_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    rows = [{"name": "red", "state": "failed"}, {"name": "succeeded-not", "state": "succeeded"}]
    plain = output.table(rows, ["name", "state"])
    monkeypatch.setattr(sys, "stdout", Terminal())

    painted = output.table(rows, ["name", "state"])

    assert COLOR.sub("", painted) == plain
    assert "\x1b[31mfailed\x1b[0m" in painted
    assert "\x1b[32msucceeded\x1b[0m" in painted
    assert " red " in painted  # a name is no style
    assert "\x1b[1;32mstate\x1b[0m" in painted


def test_a_table_that_fits_costs_a_fraction_of_what_rich_takes_and_no_more_per_row_when_it_grows() -> None:
    def cost_of(work: Callable[[], object]) -> int:
        work()  # whatever is loaded or remembered
        with counted() as cost:
            work()
        return cost.lines

    rows = [["0", f"cp-{number:05}/kubernetes", "succeeded"] for number in range(800)]
    records = [{"step": row[1], "state": row[2]} for row in rows]
    small = cost_of(lambda: output.table(records[:400], ["step", "state"]))
    large = cost_of(lambda: output.table(records, ["step", "state"]))

    assert large < 2.2 * small
    assert 5 * large < cost_of(lambda: by_rich(["#", "step", "state"], rows))
