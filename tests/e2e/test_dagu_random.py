"""DAGs at random: every step ends as the rules say, and the run as its steps make it; against a model of a few lines."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from support.daguruns import DaguRuns

S, F, A, K, P = "succeeded", "failed", "aborted", "skipped", "partially_succeeded"
DOES = {
    "ok": "action: noop",
    "fails": "exec: {command: /nowhere/at/all}",
    "fails, may": "exec: {command: /nowhere/at/all}, continue_on: {failure: true}",
    "fails, counts": "exec: {command: /nowhere/at/all}, continue_on: {exit_code: 127, mark_success: true}",
    "skips": "action: noop, preconditions: [{condition: a, expected: b}]",
    "skips, may": "action: noop, preconditions: [{condition: a, expected: b}], continue_on: {skipped: true}",
}
OWN_END = {"ok": S, "fails": F, "fails, may": F, "fails, counts": S, "skips": K, "skips, may": K}
LETS_GO_ON = {"fails, may", "skips, may"}


@dataclass(frozen=True)
class Graph:
    """Steps in order; each does something and needs some of those before it."""

    does: tuple[str, ...]
    needs: tuple[tuple[int, ...], ...]

    def text(self) -> str:
        lines = [
            f"  - {{name: s{index}, {DOES[does]}, depends: [{', '.join(f's{need}' for need in needs)}]}}\n"
            for index, (does, needs) in enumerate(zip(self.does, self.needs, strict=True))
        ]
        return "type: graph\nsteps:\n" + "".join(lines)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    size = draw(st.integers(1, 8))
    does = tuple(draw(st.sampled_from(sorted(DOES))) for _ in range(size))
    needs = tuple(tuple(sorted(draw(st.sets(st.integers(0, index - 1), max_size=3)))) if index else () for index in range(size))
    return Graph(does, needs)


def expected(graph: Graph) -> dict[str, set[str]]:
    """Return how each step may end. What needs both a failed and a skipped one may be either: both kept it from running."""
    ends: dict[int, set[str]] = {}
    for index, (does, needs) in enumerate(zip(graph.does, graph.needs, strict=True)):
        kept = set().union(*(_keeps(graph.does[need], ends[need]) for need in needs), set())
        ends[index] = kept or {OWN_END[does]}
    return {f"s{index}": end for index, end in ends.items()}


def _keeps(does: str, ends: set[str]) -> set[str]:
    """Return how what needs a step ends because of it; nothing where it may run."""
    ran = ends == {OWN_END[does]}
    if ends == {S} or (ran and does in LETS_GO_ON):
        return set()
    return {K if end == K else A for end in ends}


def verdict(graph: Graph, ends: Mapping[str, str]) -> str:
    """Return how the run ends."""
    failed = [graph.does[int(step[1:])] for step, end in ends.items() if end == F]
    if any(does not in LETS_GO_ON for does in failed):
        return F
    if failed:
        return P if S in ends.values() else F
    return S


@given(graphs())
def test_every_step_and_the_run_end_as_the_rules_say(graph: Graph) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ran = DaguRuns(Path(folder)).run(graph.text())
    wanted = expected(graph)

    assert {step: end for step, end in ran.steps.items() if end not in wanted[step]} == {}, graph.text()
    assert ran.status == verdict(graph, ran.steps), graph.text()
    assert _in_order(graph, ran.order)


def _in_order(graph: Graph, order: Sequence[str]) -> bool:
    """Whether nothing began before what it needs, if that began at all."""
    at = {step: place for place, step in enumerate(order)}
    return all(
        at[f"s{need}"] < at[f"s{index}"]
        for index, needs in enumerate(graph.needs)
        for need in needs
        if {f"s{need}", f"s{index}"} <= set(at)
    )
