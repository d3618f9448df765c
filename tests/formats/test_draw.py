"""Drawings of the DAG: what is shown, that it fits, and that nothing hostile gets through."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.declare import Condition, Dag, Formula, FormulaDep, HealthGate, Node
from provisioning.core.plan import Plan, PlanStep, Selection, StepAction
from provisioning.core.resources import Resource, ResourceBook, ResourceState
from provisioning.formats.draw.escape import cut, visible, width
from provisioning.formats.draw.layers import layered, routed
from provisioning.formats.draw.notation import dot, mermaid, rows
from provisioning.formats.draw.picture import Picture, formula_state, picture
from provisioning.formats.draw.svg import layout, svg
from provisioning.formats.draw.tree import tree

DIAMOND = {"base": [], "cache": ["base"], "db": ["base"], "app": ["cache", "db"]}
HOSTILE = 'a"]; x --> y\n\x1b[31m<script>&\\\u202e{{'


def dag(spec: dict[str, list[str]], *, gated: bool = False) -> Dag:
    gate = HealthGate(check_cmd="true") if gated else None
    return Dag(
        formulas=tuple(
            Formula(
                id=name,
                server=f"s-{number % 3}",
                nodes=(Node(id="redis", taskserv="redis"),),
                depends_on=tuple(FormulaDep(formula_id=dep) for dep in deps),
                health_gate=gate,
            )
            for number, (name, deps) in enumerate(spec.items())
        )
    )


def big(count: int) -> Dag:
    return dag({f"f{number}": [f"f{number - step}" for step in (1, 7, 40) if number >= step] for number in range(count)})


def test_a_diamond_is_drawn_with_lanes_that_join() -> None:
    assert tree(picture(dag(DIAMOND))).splitlines() == [
        "●   base   s-0  redis",
        "├─╮",
        "│ ● cache  s-1  redis",
        "│ │",
        "● │ db     s-2  redis",
        "├─╯",
        "●   app    s-0  redis",
    ]


def test_formulas_without_dependencies_are_not_joined_by_a_line() -> None:
    drawn = tree(picture(dag({"one": [], "two": []})))
    assert drawn == "● one  s-0  redis\n● two  s-1  redis\n"


def test_a_chain_is_one_lane() -> None:
    drawn = tree(picture(dag({"one": [], "two": ["one"]}, gated=True)))
    assert drawn == "● one  s-0  redis + gate\n│\n● two  s-1  redis + gate\n"


def test_a_graph_too_wide_for_its_lanes_names_what_is_needed_instead() -> None:
    spec: dict[str, list[str]] = {f"leaf-{number}": [] for number in range(30)}
    drawn = tree(picture(dag(spec | {"top": list(spec)})), 60)
    assert "after leaf-" in drawn
    assert all(width(line) <= 60 for line in drawn.splitlines())


def test_no_line_is_wider_than_the_terminal() -> None:
    names = {"wide-" + "名" * 60: [], "b" * 128: ["wide-" + "名" * 60]}
    for columns in (20, 40, 80, 200):
        assert all(width(line) <= columns for line in tree(picture(dag(names)), columns).splitlines())


def test_colours_do_not_change_where_lines_are_cut() -> None:
    book = recorded(ResourceState.FAILED)
    drawn = picture(dag(DIAMOND), None, book)
    painted = tree(drawn, 30, lambda text, _state: f"\x1b[31m{text}\x1b[0m")
    assert painted.replace("\x1b[31m", "").replace("\x1b[0m", "").split() == tree(drawn, 30).split()


def recorded(state: ResourceState, **more: str) -> ResourceBook:
    resource = Resource(state=state, **more)  # type: ignore[arg-type]
    return ResourceBook(lineage="x", servers={server: {"redis": resource} for server in ("s-0", "s-1", "s-2")})


@pytest.mark.parametrize(
    ("states", "changed", "shown"),
    [
        pytest.param(["completed", "completed"], False, "completed", id="all completed"),
        pytest.param(["completed", "completed"], True, "changed", id="completed, but inputs differ"),
        pytest.param(["completed", "pending"], False, "pending", id="not all yet"),
        pytest.param(["completed", "failed", "blocked"], False, "failed", id="failed wins"),
        pytest.param(["interrupted", "blocked"], False, "interrupted", id="interrupted before blocked"),
        pytest.param(["pending", "blocked"], False, "blocked", id="blocked before pending"),
        pytest.param([], False, "pending", id="nothing in it"),
    ],
)
def test_a_formula_shows_the_state_that_most_needs_attention(states: list[str], *, changed: bool, shown: str) -> None:
    assert formula_state(states, changed=changed) == shown


def test_changed_nodes_are_known_from_the_plan() -> None:
    step = PlanStep(
        id="base/redis",
        formula="base",
        server="s-0",
        taskserv="redis",
        kind="node",
        action=StepAction.CHANGED,
        because="",
        runs=False,
    )
    plan = Plan(infra="demo", selection=Selection(everything=True), steps=(step,))
    drawn = picture(dag(DIAMOND), plan, recorded(ResourceState.COMPLETED))
    assert [box.state for box in drawn.boxes] == ["changed", "completed", "completed", "completed"]


def test_rows_have_every_fact() -> None:
    spec = Dag(
        formulas=(
            Formula(id="a", server="s", nodes=(Node(id="n", taskserv="n"),)),
            Formula(id="b", server="t", depends_on=(FormulaDep(formula_id="a", condition=Condition.FINISHED),)),
        )
    )
    assert rows(picture(spec))[1] == {
        "id": "b",
        "server": "t",
        "state": None,
        "nodes": [],
        "completed": 0,
        "gate": False,
        "depends_on": [{"formula_id": "a", "condition": "finished"}],
        "layer": 1,
        "blocker": None,
    }


def test_unknown_dependencies_and_cycles_do_not_stop_a_drawing() -> None:
    broken = picture(dag({"a": ["b"], "b": ["a"], "c": ["nobody"], "d": ["d"]}))
    assert sorted(index for layer in broken.layers for index in layer) == [0, 1, 2, 3]
    for text in (tree(broken), svg(broken), dot(broken), mermaid(broken)):
        assert "c" in text


@pytest.mark.parametrize("draw", [tree, svg, dot, mermaid])
def test_hostile_names_stay_text(draw: object) -> None:
    assert callable(draw)
    text = draw(picture(dag({HOSTILE: [], "b" * 10_000: [HOSTILE]})))
    assert not any(ord(char) < 32 and char != "\n" for char in text)
    assert "\u202e" not in text
    assert len(text) < 20_000


def test_hostile_names_cannot_leave_their_quotes() -> None:
    drawn = picture(dag({HOSTILE: []}))
    assert mermaid(drawn).count('"]') == 1
    assert 'a\\"]' in dot(drawn)
    assert "<script" not in svg(drawn)


def test_svg_is_well_formed_and_has_every_formula() -> None:
    drawn = picture(dag({HOSTILE: [], **DIAMOND}), None, recorded(ResourceState.FAILED))
    root = ElementTree.fromstring(svg(drawn))
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for name in DIAMOND:
        assert any(name in text for text in texts)
    assert "prefers-color-scheme: dark" in svg(drawn)


def test_boxes_never_overlap() -> None:
    drawn = picture(big(120))
    places, _, wide, high = layout(drawn)
    boxes = sorted(places, key=lambda place: (place.y, place.x))
    for left, right in pairwise(boxes):
        assert left.y != right.y or left.x + left.wide <= right.x
    assert all(place.x >= 0 and place.x + place.wide <= wide and place.y + place.high <= high for place in places)


def test_a_long_edge_goes_around_the_boxes_between() -> None:
    layers, paths = routed(3, [(0, 1), (1, 2), (0, 2)])
    assert paths[2] == (0, 3, 2)
    assert sorted(layers[1]) == [1, 3]


@given(
    st.integers(1, 30).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))))
    )
)
def test_everything_stands_below_what_it_needs(case: tuple[int, list[tuple[int, int]]]) -> None:
    count, pairs = case
    edges = sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]})
    layers = layered(count, edges)
    depth = {vertex: number for number, members in enumerate(layers) for vertex in members}
    assert sorted(depth) == list(range(count))
    assert all(depth[tail] < depth[head] for tail, head in edges)


@pytest.mark.parametrize("draw", [tree, svg, dot, mermaid])
def test_the_same_dag_gives_the_same_drawing(draw: object) -> None:
    assert callable(draw)
    assert draw(picture(big(60))) == draw(picture(big(60)))


def test_a_thousand_formulas_are_drawn_in_no_time() -> None:
    started = time.process_time()
    drawn: Picture = picture(big(1000))
    for text in (tree(drawn), svg(drawn), dot(drawn), mermaid(drawn), json.dumps(rows(drawn))):
        assert "f999" in text
    assert time.process_time() - started < 3


def test_ten_thousand_formulas_side_by_side_cost_no_more_than_in_a_row() -> None:
    roots: dict[str, list[str]] = {f"f{number}": [] for number in range(10_000)}
    started = time.process_time()
    assert "after f0, f1," in tree(picture(dag(roots | {"top": list(roots)})), 200)
    assert time.process_time() - started < 5


def test_a_chain_of_thousands_with_long_edges_gets_no_places_for_them() -> None:
    edges = [(number, number + 1) for number in range(4999)] + [(0, 4999), (1, 4998), (2, 4997), (3, 4996), (4, 4995)]
    layers, paths = routed(5000, edges)
    assert len(layers) == 5000
    assert paths[-1] == (4, 4995)


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [("short", 10, "short"), ("exactly", 7, "exactly"), ("too long", 5, "too …"), ("名前です", 5, "名前…"), ("x", 0, "")],
)
def test_text_is_cut_by_columns(text: str, columns: int, shown: str) -> None:
    assert cut(text, columns) == shown
    assert width(shown) <= columns


def test_controls_become_visible() -> None:
    assert visible("a\x1b[2Jb\nc\u202ed\x9b") == "a�[2Jb�c�d�"
    assert len(visible("x" * 10_000)) == 200
