"""Results on stdout, messages on stderr. Nothing a user or a server named can move the cursor or change colours."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from provisioning.formats.draw.escape import visible, width
from provisioning_cli import grid
from provisioning_cli.terminal import colored, colored_stream

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

NAME_WIDTH = 36  # columns that the first column keeps in a narrow terminal
CELL_LIMIT = 2000  # characters of one cell
UNBOUND = 10_000  # columns of a pipe: tables are not cut there
LINE_BREAK = re.compile(r"\r\n?|\n")
HIDDEN = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

STYLES: Mapping[str, str] = {
    **dict.fromkeys(("completed", "succeeded", "unchanged", "healthy", "ok", "yes", "valid"), "green"),
    **dict.fromkeys(("failed", "timed_out", "unreachable", "error", "no", "invalid"), "red"),
    **dict.fromkeys(("changed", "interrupted", "warning", "partial", "reset", "retry_wait"), "yellow"),
    **dict.fromkeys(("running", "dispatched", "create", "verify"), "cyan"),
    **dict.fromkeys(("blocked", "skipped", "cancelled"), "magenta"),
    **dict.fromkeys(("pending", "ready", "created", "queued"), "bright_black"),
}
"""Words that are shown in a colour where they fill a cell."""

CODES: Mapping[str, str] = {
    "red": "31",
    "green": "32",
    "yellow": "33",
    "magenta": "35",
    "cyan": "36",
    "bright_black": "90",
    "bold": "1",
    "bold green": "1;32",
}
"""Colours as terminals want them."""


def to_json(document: object) -> str:
    """Return JSON for programs and terminals alike: readable, and every character that could act on a terminal escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    return HIDDEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def to_json_line(document: object) -> str:
    """Return JSON as `to_json`, on one line."""
    text = json.dumps(document, ensure_ascii=False, default=str)
    return HIDDEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def cell(value: object) -> str:
    """Return a value as one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{visible(str(key))}={cell(one)}" for key, one in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(cell(one) for one in value)
    return visible(LINE_BREAK.sub(" ↵ ", str(value).rstrip("\r\n")), CELL_LIMIT)


def table(
    rows: Iterable[Mapping[str, object]], columns: Sequence[str], *, empty: str = "nothing to show", spare: Sequence[str] = ()
) -> str:
    """Return rows as a table with an index; without rows, the text `empty`.

    Where the terminal is too narrow the columns in `spare` go first, in their order, and `…` stands for them; then long
    cells are folded.
    """
    cells = [{column: cell(row.get(column)) for column in columns} for row in rows]
    if not cells:
        return f"{empty}\n"
    head = ["#", *_fitting(cells, columns, spare)]
    lines = [[str(index), *(record.get(column, "…") for column in head[1:])] for index, record in enumerate(cells)]
    widths = grid.widths([head, *lines])
    if grid.grid_width(widths) <= screen_columns():
        return grid.grid(head, lines, widths, _in_cell if colored() else grid.unpainted)
    return _folded(head, lines, min(widths[1], NAME_WIDTH, screen_columns() // 2))


def _folded(head: Sequence[str], lines: Sequence[Sequence[str]], least: int) -> str:
    """Return a table that is wider than the screen; its first column keeps at least so many columns."""
    made = _new_table()
    made.add_column(head[0], justify="right", header_style="bold green", style="bold green", no_wrap=True)
    for number, column in enumerate(head[1:]):
        made.add_column(column, header_style="bold green", overflow="fold", min_width=None if number else least)
    for index, *texts in lines:
        made.add_row(index, *map(_painted, texts))
    return _rendered(made)


def _fitting(cells: Sequence[Mapping[str, str]], wanted: Sequence[str], spare: Sequence[str]) -> list[str]:
    shown = list(wanted)
    for column in spare:
        if 4 + len(str(len(cells))) + sum(_widest(cells, one) + 3 for one in shown) <= screen_columns():
            break
        shown.remove(column)
    return shown if len(shown) == len(wanted) else [*shown, "…"]


def _widest(cells: Sequence[Mapping[str, str]], column: str) -> int:
    return max(width(column), *(width(record.get(column, "")) for record in cells))


def record(facts: Mapping[str, object]) -> str:
    """Return one thing's facts, a line each."""
    made = _new_table(header=False)
    made.add_column("", style="bold green", no_wrap=True)
    made.add_column("", overflow="fold")
    for name, value in facts.items():
        made.add_row(name.replace("_", " "), _painted(cell(value)))
    return _rendered(made)


def _new_table(*, header: bool = True) -> Table:
    from rich.box import ROUNDED
    from rich.table import Table

    return Table(box=ROUNDED, show_header=header, border_style="bright_black")


def _painted(text: str) -> Text:
    from rich.text import Text

    return Text(text, style=STYLES.get(text, ""))


def screen_columns() -> int:
    """Return how wide a line may be."""
    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else UNBOUND


def _rendered(renderable: object) -> str:
    from rich.console import Console

    rendered = io.StringIO()  # or the console would write to the terminal's stream, which may be full
    console = Console(
        file=rendered,
        width=screen_columns(),
        force_terminal=colored(),
        no_color=not colored(),
        color_system="standard" if colored() else None,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    console.print(renderable, crop=False)
    return "".join(f"{line.rstrip()}\n" for line in rendered.getvalue().splitlines())


def paint(text: str, style: str, stream: object = None) -> str:
    """Return text in a colour, where the stream (stdout if None) takes colours. `style` is a word of `STYLES` or a colour."""
    return _in_color(text, style) if colored_stream(sys.stdout if stream is None else stream) else text


def _in_color(text: str, style: str) -> str:
    code = CODES.get(STYLES.get(style, style))
    return f"\x1b[{code}m{text}\x1b[0m" if code else text


def _in_cell(text: str, part: grid.Part) -> str:
    style = {grid.Part.EDGE: "bright_black", grid.Part.HEAD: "bold green"}.get(part) or STYLES.get(text, "")
    return _in_color(text, style)


def write(text: str) -> None:
    """Print a result. Raises BrokenPipeError when nobody reads any more, StoreError when it cannot be stored."""
    from provisioning.errors import StoreError

    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StoreError(f"the result could not be printed: {(error.strerror or str(error)).lower()}") from error


def message(text: str) -> None:
    """Print a message. A terminal that is gone is no reason to fail."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def count(number: int, noun: str, plural: str = "") -> str:
    """Return `1 step`, `2 steps`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
