"""Pictures of DAGs in the notation that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from provisioning_cli.context import App

if TYPE_CHECKING:
    from provisioning.formats.draw.picture import Picture

DRAWINGS = ("tree", "table", "mermaid", "dot", "svg", "json")


def emit_drawing(app: App, drawn: Picture, form: str, *, table: Callable[[Picture], str], empty: str) -> None:
    """Print a picture as one of `DRAWINGS`, but JSON. `table` makes the table, `empty` is the tree of nothing."""
    text = table(drawn) if form == "table" else _drawing(drawn, form, empty)
    app.emit({"format": form, "content": text}, lambda: text)


def _drawing(drawn: Picture, form: str, empty: str) -> str:
    if form == "tree":
        from provisioning.formats.draw.tree import tree
        from provisioning_cli import output

        return tree(drawn, output.screen_columns(), output.paint) if drawn.boxes else empty
    if form == "svg":
        from provisioning.formats.draw.svg import svg

        return svg(drawn)
    from provisioning.formats.draw import notation

    return notation.mermaid(drawn) if form == "mermaid" else notation.dot(drawn)
