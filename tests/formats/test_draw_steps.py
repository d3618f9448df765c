"""Drawings of Dagu DAGs: handlers stand apart, and nothing hostile gets through."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from provisioning.core.dagu.declared import DagFile
from provisioning.formats.dagu.files import read_dag
from provisioning.formats.draw.notation import dot, mermaid
from provisioning.formats.draw.steps import steps_document, steps_picture, words_for
from provisioning.formats.draw.svg import layout, svg
from provisioning.formats.draw.tree import tree

HOSTILE = 'a"]; x --> y\n\x1b[31m<script>&\\\u202e{{'
HOSTILE_NAME = "".join(filter(str.isprintable, HOSTILE))  # names with controls are refused


def dag(document: dict[str, object]) -> DagFile:
    reading = read_dag(json.dumps(document).encode(), file="etl.yaml")
    assert reading.dag is not None, reading.faults
    return reading.dag


def step(name: str, *needs: str, **more: object) -> dict[str, object]:
    return {"name": name, "command": "true", "depends": list(needs), **more}


FULL = dag(
    {
        "steps": [step("a"), step("b", "a"), step("c")],
        "handlerOn": {event: {"command": f"echo {event}"} for event in ("exit", "success", "init", "failure", "cancel")},
    }
)


def test_init_comes_before_what_waits_for_nothing_and_other_handlers_stand_below() -> None:
    drawn = steps_picture(FULL)
    assert [box.id for box in drawn.boxes] == [
        *("on init", "a", "b", "c", "on success", "on failure", "on abort", "on exit"),
    ]
    assert [(edge.tail, edge.head) for edge in drawn.edges] == [(0, 1), (1, 2), (0, 3)]
    assert drawn.layers[-1] == drawn.apart == (4, 5, 6, 7)
    assert sorted(index for layer in drawn.layers for index in layer) == list(range(8))


def test_handlers_are_the_lowest_row_of_a_picture_and_a_group_of_their_own() -> None:
    drawn = steps_picture(FULL)
    places, *_ = layout(drawn)
    assert min(places[index].y for index in drawn.apart) > max(places[index].y for index in range(4))
    assert "subgraph apart [handlers]\n    f4\n    f5\n    f6\n    f7\n  end" in mermaid(drawn)
    assert 'subgraph cluster_apart { label="handlers"; style=dashed; f4; f5; f6; f7; }' in dot(drawn)


@pytest.mark.parametrize("draw", [tree, svg, dot, mermaid])
def test_hostile_names_and_commands_stay_text(draw: object) -> None:
    assert callable(draw)
    hostile = dag({"steps": [step(HOSTILE_NAME, command=HOSTILE), step("b" * 255, HOSTILE_NAME, command="x" * 100_000)]})
    text = draw(steps_picture(hostile))
    assert not any(ord(char) < 32 and char != "\n" for char in text)
    assert "\u202e" not in text
    assert "<script" not in text or draw in {tree, dot}
    assert len(text) < 20_000


def test_the_svg_is_well_formed_and_names_the_dag() -> None:
    root = ElementTree.fromstring(svg(steps_picture(dag({"steps": [step(HOSTILE_NAME)]}))))
    assert root[0].text == "the steps of etl and what they wait for"


def test_what_is_done_is_one_short_line() -> None:
    long = dag({"steps": [step("a", command="echo \t " + "word " * 50_000)]})
    words = words_for(long.steps[0].doing)
    assert words.startswith("echo word word")
    assert len(words) <= 120
    assert steps_document(long)["steps"][0]["does"] == words  # type: ignore[index]
