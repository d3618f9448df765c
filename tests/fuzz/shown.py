"""Targets: what is shown. Any names and any output, in every notation and on a terminal."""

from __future__ import annotations

import json
from pathlib import Path

from fuzz.shapes import drawn_well, safe_for_a_terminal, strict_json
from fuzz.target import Check, Target
from fuzz.words import TEXTS, damaged, noise, values
from hypothesis import strategies as st

from provisioning.core.text import plain_text
from provisioning.formats.draw.escape import cut, visible, width
from provisioning.formats.draw.layers import layered
from provisioning.formats.draw.picture import SYMBOLS, Box, Edge, Picture
from provisioning_cli import output

wild = st.sampled_from(
    (*TEXTS, "\ud800", "a\udfffb", "]]>", "<script>", "&amp;", '"]', "-->", "\\N", "\\", "end", "#quot;", "`")
) | st.text(st.characters(exclude_categories=()), max_size=12)
boxes = st.builds(
    Box,
    id=wild,
    server=wild,
    nodes=st.lists(wild, max_size=3).map(tuple),
    gated=st.booleans(),
    state=st.sampled_from(tuple(SYMBOLS)),
    blocker=wild,
)


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """Boxes of any names, with edges that may form cycles."""
    made = draw(st.lists(boxes, min_size=1, max_size=7))
    places = st.integers(0, len(made) - 1)
    pairs = draw(st.lists(st.tuples(places, places).filter(lambda pair: pair[0] != pair[1]), max_size=9, unique=True))
    conditions = st.sampled_from(("healthy", "completed", "finished"))
    edges = tuple(
        Edge(tail=tail, head=head, condition=draw(conditions)) for tail, head in sorted(pairs, key=lambda pair: pair[1])
    )
    forward = [(tail, head) for tail, head in pairs if tail < head]
    kept = tuple(edge for edge in edges if (edge.tail, edge.head) in forward)
    touched = {index for pair in forward for index in pair}
    apart = tuple(index for index in range(len(made)) if index not in touched and draw(st.booleans()))
    inner = tuple(tuple(index for index in layer if index not in apart) for layer in layered(len(made), forward))
    layers = (*(layer for layer in inner if layer), *([apart] if apart else []))
    return Picture(boxes=tuple(made), edges=kept, layers=layers, apart=apart, title=draw(wild))


def drawings(_folder: Path) -> Check:
    """SVG, Mermaid, DOT, tree and rows of a picture can be parsed, and hold nothing but what their notation allows."""

    def check(drawn: Picture) -> str:
        drawn_well(drawn)
        return "accepted"

    return check


def printed(_folder: Path) -> Check:
    """Tables, records and JSON of any values: safe for a terminal, and JSON that says the same."""

    def check(example: tuple[list[dict[str, object]], dict[str, object], int]) -> str:
        rows, facts, columns = example
        text = output.table(rows, ["a", "b"], spare=["b"]) + output.record(facts) + output.cell(facts)
        safe_for_a_terminal(text)
        assert strict_json(output.to_json(rows)) == json.loads(json.dumps(rows))
        for value in facts.values():
            assert width(cut(visible(str(value)), columns)) <= max(columns, 0)
        return "accepted"

    return check


def program_output(_folder: Path) -> Check:
    """What a program printed: no control code is left, nothing but controls is lost, and doing it twice changes nothing."""

    def check(data: bytes) -> str:
        text = plain_text(data)
        for char in set(text):
            assert char in "\n\t" or not (ord(char) < 32 or 0x7F <= ord(char) < 0xA0), repr(char)
        assert plain_text(text) == text
        return "accepted"

    return check


CODES = (
    b"\x1b",
    b"\x1b[",
    b"\x1b]0;",
    b"\x07",
    b"\x1b\\",
    b"\xc2\x9b",
    b"\xc2\x9d",
    b"\x9b",
    b"31m",
    b"\r",
    b"\x1bP",
    b"\n",
    b"text",
    b"\x1b[" * 50,
)
TARGETS = (
    Target(name="drawings", examples=pictures(), prepare=drawings, quick=50, refuses=False),
    Target(
        name="printed",
        examples=st.tuples(
            st.lists(st.fixed_dictionaries({"a": values | wild, "b": wild}), max_size=3),
            st.dictionaries(st.sampled_from(("name", "key_path")), values | wild | st.dictionaries(wild, wild, max_size=2)),
            st.integers(0, 30),
        ),
        prepare=printed,
        quick=60,
        refuses=False,
    ),
    Target(
        name="program-output",
        examples=st.lists(st.sampled_from(CODES), max_size=12).map(b"".join) | damaged(noise, CODES),
        prepare=program_output,
        quick=60,
        refuses=False,
    ),
)
