"""Whatever a file holds: it is read or refused with places, in time and memory that grow with its size and no faster."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cost import counted

from provisioning.formats.dagu import steps
from provisioning.formats.dagu.files import read_base, read_dag

WORDS = (
    *(
        "name: ",
        "steps:\n",
        "  - ",
        "- ",
        "command: ",
        "run: ",
        "depends: ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ": ",
        "\n",
        "    ",
        "a",
        "b",
    ),
    *("id: ", "type: ", "chain", "parallel: ", "env: ", "A=1", "params: ", "schedule: ", '"0 0 * * *"', "null", "true", "3"),
    *(
        "---\n",
        "call: ",
        "with: ",
        "action: ",
        "http.request",
        "handlerOn: ",
        "exit: ",
        "retryPolicy: ",
        "foreach: ",
        "items: ",
    ),
    *("routes: ", "${x.y}", "`x`"),
)
texts = st.lists(st.sampled_from(WORDS), max_size=40).map("".join).map(str.encode) | st.binary(max_size=60)


@given(texts)
def test_any_bytes_are_a_dag_or_are_refused_with_places(data: bytes) -> None:
    for read in (read_dag(data, file="x.yaml"), read_base(data, file="base.yaml")):
        assert (read.dag is None) == bool(read.faults)
        for fault in read.faults:
            assert fault.line >= 1
            assert fault.column >= 1
            assert fault.message.isprintable()
        for note in read.notes:
            assert note.line >= 1
            assert note.message.isprintable()


def named(count: int) -> str:
    return "steps:\n" + "".join(
        f"  - name: s{n}\n    command: echo {n}\n    depends: [s{max(n - 1, 0)}]\n" if n else "  - {name: s0, command: x}\n"
        for n in range(count)
    )


def taken(count: int) -> str:
    return "type: graph\nsteps:\n" + "  - x\n" * count + "".join(f"  - {{name: cmd_{n}, command: y}}\n" for n in range(count))


def wrong(count: int) -> str:
    return "steps:\n" + "".join(f"  - {{name: s{n}, command: y, comand: z, depends: t{n}}}\n" for n in range(count))


def circle(count: int) -> str:
    return "steps:\n" + "".join(f"  - {{name: s{n}, command: y, depends: s{(n + 1) % count}}}\n" for n in range(count))


@pytest.mark.parametrize("make", [named, taken, wrong, circle])
def test_twice_the_steps_cost_twice_the_work(make: Callable[[int], str]) -> None:
    costs = []
    for count in (400, 800):
        data = make(count).encode()
        with counted() as cost:
            read_dag(data, file="x.yaml")
        costs.append(cost.lines)
    assert costs[1] < 2.4 * costs[0]


def test_ten_thousand_steps_are_read() -> None:
    read = read_dag(named(10_000).encode(), file="x.yaml")

    assert read.faults == ()
    assert read.dag is not None
    assert len(read.dag.steps) == 10_000


def test_fifty_megabytes_are_refused_without_a_look() -> None:
    data = b"#" * 50_000_000
    with counted() as cost:
        read = read_dag(data, file="x.yaml")

    assert [fault.code for fault in read.faults] == ["too_large"]
    assert cost.lines < 100


def test_steps_have_a_limit_over_all_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "STEPS_MOST", 10)
    document = "---\nname: {}\nsteps: [a, b, c, d]\n"
    two, three = ("".join(document.format(f"d{n}") for n in range(count)).encode() for count in (2, 3))

    assert read_dag(two, file="x.yaml").faults == ()
    assert [fault.code for fault in read_dag(three, file="x.yaml").faults] == ["too_large"]


def test_groups_that_wait_for_groups_have_a_limit() -> None:
    group = "  - [" + ", ".join(["x"] * 1500) + "]\n"
    read = read_dag(f"type: chain\nsteps:\n{group}{group}".encode(), file="x.yaml")

    assert [fault.code for fault in read.faults] == ["too_large"]


def test_many_documents_have_a_limit() -> None:
    read = read_dag(b"---\nname: x\nsteps: [x]\n" * 1100, file="x.yaml")

    assert "too_large" in {fault.code for fault in read.faults}
