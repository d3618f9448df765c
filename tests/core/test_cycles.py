from __future__ import annotations

import networkx
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.cycles import cycles, in_order


@st.composite
def graphs(draw: st.DrawFn) -> list[list[int]]:
    size = draw(st.integers(0, 12))
    return [draw(st.lists(st.integers(0, size - 1), max_size=3)) for _ in range(size)]


def as_networkx(graph: list[list[int]]) -> networkx.DiGraph[int]:
    directed: networkx.DiGraph[int] = networkx.DiGraph()
    directed.add_nodes_from(range(len(graph)))
    directed.add_edges_from((node, edge) for node, edges in enumerate(graph) for edge in edges)
    return directed


@given(graphs())
def test_there_is_one_real_cycle_for_each_cyclic_component(graph: list[list[int]]) -> None:
    found = cycles(graph)
    components = [one for one in networkx.strongly_connected_components(as_networkx(graph)) if len(one) > 1]

    assert sorted(min(component) for component in components) == [cycle[0] for cycle in found]
    for cycle in found:
        assert len(set(cycle)) == len(cycle) > 1
        assert all(after in graph[before] for before, after in zip(cycle, [*cycle[1:], cycle[0]], strict=True))


@given(graphs())
def test_a_node_comes_after_all_it_depends_on_or_not_at_all(graph: list[list[int]]) -> None:
    order = in_order(graph)
    place = {node: index for index, node in enumerate(order)}

    assert all(place[edge] < place[node] for node in order for edge in graph[node])
    assert (len(order) == len(graph)) == networkx.is_directed_acyclic_graph(as_networkx(graph))


def test_a_cycle_of_a_hundred_thousand_is_found_without_recursion() -> None:
    size = 100_000

    assert cycles([[(node + 1) % size] for node in range(size)]) == [list(range(size))]
