"""A picture as Mermaid, as DOT, and as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator

from provisioning.formats.draw import escape
from provisioning.formats.draw.palette import COLORS
from provisioning.formats.draw.picture import Box, Edge, Picture


def rows(drawn: Picture) -> list[dict[str, object]]:
    """Return one record per formula, in declaration order: the facts of every drawing."""
    needs: list[list[dict[str, str]]] = [[] for _ in drawn.boxes]
    for edge in drawn.edges:
        needs[edge.head].append({"formula_id": drawn.boxes[edge.tail].id, "condition": edge.condition})
    layer = {index: number for number, members in enumerate(drawn.layers) for index in members}
    return [
        {
            "id": box.id,
            "server": box.server,
            "state": box.state or None,
            "nodes": list(box.nodes),
            "completed": box.completed,
            "gate": box.gated,
            "depends_on": needs[index],
            "layer": layer[index],
            "blocker": box.blocker or None,
        }
        for index, box in enumerate(drawn.boxes)
    ]


def mermaid(drawn: Picture) -> str:
    """Return a Mermaid flowchart. Ids are positions, so names may hold anything."""
    return "\n".join(["flowchart TD", *_mermaid_lines(drawn)]) + "\n"


def _mermaid_lines(drawn: Picture) -> Iterator[str]:
    for index, box in enumerate(drawn.boxes):
        label = "<br/>".join(escape.mermaid(line) for line in lines(box))
        shown = f":::{box.state}" if box.state else ""
        yield f'  f{index}["{label}"]{shown}'
    if drawn.apart:
        yield from ("  subgraph apart [handlers]", *(f"    f{index}" for index in drawn.apart), "  end")
    for edge in drawn.edges:
        yield f"  f{edge.tail} {_mermaid_arrow(edge)} f{edge.head}"
    for state in sorted({box.state for box in drawn.boxes if box.state}):
        yield f"  classDef {state} fill:{COLORS[state].fill},stroke:{COLORS[state].line},color:#111"


def _mermaid_arrow(edge: Edge) -> str:
    return f"-. {edge.label} .->" if edge.label else "-->"


def dot(drawn: Picture) -> str:
    """Return a DOT digraph. Ids are positions, so names may hold anything."""
    return "\n".join(["digraph dag {", *_dot_lines(drawn), "}"]) + "\n"


def _dot_lines(drawn: Picture) -> Iterator[str]:
    yield "  rankdir=TB;"
    yield '  node [shape=box, style="rounded,filled", fillcolor="#f4f4f5", fontname="sans-serif"];'
    for index, box in enumerate(drawn.boxes):
        label = "\\n".join(escape.dot(line) for line in lines(box))
        color = f', color="{COLORS[box.state].line}", fillcolor="{COLORS[box.state].fill}"' if box.state else ""
        yield f'  f{index} [label="{label}"{color}];'
    if drawn.apart:
        members = " ".join(f"f{index};" for index in drawn.apart)
        yield f'  subgraph cluster_apart {{ label="handlers"; style=dashed; {members} }}'
    for edge in drawn.edges:
        label = f' [label="{edge.label}", style=dashed]' if edge.label else ""
        yield f"  f{edge.tail} -> f{edge.head}{label};"


def lines(box: Box) -> list[str]:
    """Return what stands in a box: name, server and state, nodes and gate."""
    place = box.server if not box.state else f"{box.server}: {box.state}"
    return [box.id, place, ", ".join([*box.nodes, *(["gate"] if box.gated else [])])]
