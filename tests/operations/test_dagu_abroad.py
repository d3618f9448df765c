"""Dagu runs whose steps are on other machines than their files: where definitions come from, and what comes with them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.abroad import Post, abroad_at, error_of
from support.daguhome import dag_folder
from support.definitions import Direct, answering

from provisioning.adapters.memory.definitions import FakeCoordinator
from provisioning.core.dagu.definitions import Answer, Wanted
from provisioning.core.dagu.params import Given
from provisioning.core.dagu.report import RunReport
from provisioning.core.ports import Request
from provisioning.settings import DaguSettings

PARENT = "steps:\n  - {name: sub, call: child}\n"
SAYS = "steps:\n  - {command: echo @WHOSE at $AT, output: SAID}\n"


def says(whose: str) -> str:
    return SAYS.replace("@WHOSE", whose)


def outputs(ran: RunReport) -> dict[str, object]:
    return dict(ran.detail.outputs)


# ---------------------------------------------------------------- the eight rows of where a definition comes from


def local(folder: Path, kind: str) -> Path | None:
    """Return the worker's own folder: with the DAG, without it, broken, or none at all."""
    if kind == "none":
        return None
    files = {"hit": {"child": says("local")}, "missing": {"other": says("other")}, "broken": {"child": "steps: 7\n"}}
    return dag_folder(folder / "worker" / "dags", **files[kind])


def remote(folder: Path, kind: str) -> Direct | FakeCoordinator | None:
    """Return the coordinator: one that has the DAG, has it not, fails, or none."""
    if kind == "absent":
        return None
    if kind == "error":
        return FakeCoordinator(silent=True)
    files = {"child": says("remote")} if kind == "hit" else {"other": says("other")}
    return Direct(answering(dag_folder(folder / "coordinator" / "dags", **files)))


ROWS = [
    *(pytest.param("hit", kind, "local", id=f"1-{kind}") for kind in ("hit", "empty", "error", "absent")),
    pytest.param("missing", "hit", "remote", id="2"),
    *(pytest.param("missing", kind, 'no DAG "child" in', id=f"3-{kind}") for kind in ("empty", "error", "absent")),
    *(pytest.param("broken", kind, "child.yaml is not a valid DAG", id=f"4-{kind}") for kind in ("hit", "absent")),
    pytest.param("none", "hit", "remote", id="5"),
    pytest.param("none", "empty", "was not found, neither here nor by a coordinator", id="6"),
    pytest.param("none", "error", "was not to be had: nobody has answered", id="7"),
    pytest.param("none", "absent", "cannot be looked up: this worker has no folder of DAGs", id="8"),
]


@pytest.mark.parametrize(("here", "there", "expected"), ROWS)
async def test_d40_the_eight_rows_on_a_worker(tmp_path: Path, here: str, there: str, expected: str) -> None:
    home = dag_folder(tmp_path / "home" / "dags", main=PARENT)
    coordinator = remote(tmp_path, there)
    async with abroad_at(tmp_path, home, Post(name="w1", dags=local(tmp_path, here), coordinator=coordinator)) as it:
        ran = await it.start("main")

    if expected in {"local", "remote"}:
        assert ran.status.value == "succeeded"
        assert outputs(it.inside()[0]) == {"SAID": f"{expected} at w1"}
    else:
        assert ran.status.value == "failed"
        assert expected in error_of(ran, "sub")
        assert it.inside() == []
    if isinstance(coordinator, FakeCoordinator):
        assert bool(coordinator.asked) is (here in {"missing", "none"})


@pytest.mark.parametrize("ref", ["daily/child.yaml", "daily/child"])
@pytest.mark.parametrize(("here", "expected"), [("none", "remote"), ("missing", "remote"), ("hit", "local")])
async def test_d40_a_dag_in_a_folder_of_the_folder_is_asked_for_with_what_lies_beside_it(
    tmp_path: Path, ref: str, here: str, expected: str
) -> None:
    home = dag_folder(tmp_path / "home" / "dags", main=PARENT.replace("child", ref))
    own, far = (dag_folder(tmp_path / who / "dags", other=says("other")) for who in ("worker", "coordinator"))
    for folder, whose in ((own, "local"), (far, "remote")):
        if folder is far or here == "hit":
            dag_folder(folder / "daily", child="steps:\n  - {command: cat words.txt, output: SAID}\n")
            (folder / "daily" / "words.txt").write_text(f"{whose}\n", "utf-8")
    post = Post(name="w1", dags=None if here == "none" else own, coordinator=Direct(answering(far)))
    async with abroad_at(tmp_path, home, post) as it:
        ran = await it.start("main")
        assert ran.status.value == "succeeded", error_of(ran, "sub")
        assert outputs(it.inside()[0]) == {"SAID": expected}


async def test_d40_no_path_leads_out_of_the_coordinators_folder(tmp_path: Path) -> None:
    home = dag_folder(tmp_path / "home" / "dags", main=PARENT.replace("child", "out/child.yaml"))
    far = dag_folder(tmp_path / "coordinator" / "dags", other=says("other"))
    dag_folder(tmp_path / "coordinator", child=says("secret"))
    (far / "out").symlink_to(tmp_path / "coordinator")
    async with abroad_at(tmp_path, home, Post(name="w1", coordinator=Direct(answering(far)))) as it:
        ran = await it.start("main")
        assert "was not found, neither here nor by a coordinator" in error_of(ran, "sub")
        assert it.inside() == []


async def test_d40_a_document_of_the_file_is_before_both(tmp_path: Path) -> None:
    home = dag_folder(tmp_path / "home" / "dags", main=f"{PARENT}---\nname: child\n{says('document')}")
    post = Post(name="w1", dags=local(tmp_path, "hit"), coordinator=remote(tmp_path, "hit"))
    async with abroad_at(tmp_path, home, post) as it:
        await it.start("main")

    assert outputs(it.inside()[0]) == {"SAID": "document at w1"}


async def test_a_coordinator_that_is_away_is_asked_again_where_the_step_is_tried_again(tmp_path: Path) -> None:
    retrying = "steps:\n  - {name: sub, call: child, retry_policy: {limit: 3, interval_sec: 0}}\n"
    home = dag_folder(tmp_path / "home" / "dags", main=retrying)
    away = FakeCoordinator(silent=True)
    async with abroad_at(tmp_path, home, Post(name="w1", coordinator=away)) as it:
        await it.start("main")

    assert len(away.asked) == 4


@pytest.mark.parametrize(
    ("name", "told"), [("missing", "neither here nor"), ("broken", "not a valid DAG"), ("payroll", "may not have")]
)
async def test_not_found_broken_and_refused_are_told_apart_by_the_step(tmp_path: Path, name: str, told: str) -> None:
    home = dag_folder(tmp_path / "home" / "dags", main=PARENT.replace("child", name))
    other = dag_folder(tmp_path / "coordinator" / "dags", broken="steps: 7\n", payroll=says("remote"))
    coordinator = Direct(answering(other, "w1=missing,broken"))
    async with abroad_at(tmp_path, home, Post(name="w1", coordinator=coordinator)) as it:
        ran = await it.start("main")

    assert told in error_of(ran, "sub")


# ---------------------------------------------------------------- what comes with a definition


RICH = """
dotenv: [.env, conf/more.env]
steps:
  - name: all
    command: ./scripts/show.sh
    output: SHOWN
  - name: fn
    function: greet
    output: GREETED
  - name: write
    command: echo mine > left.txt; cat left.txt
"""


def rich(folder: Path) -> Path:
    """A folder whose DAG needs everything that lies around it."""
    dags = dag_folder(folder / "dags", child=RICH, main=PARENT)
    (folder / "base.yaml").write_text("env:\n  - FROM_BASE: base\n", "utf-8")
    (dags / ".env").write_text("FROM_ENV=env\n", "utf-8")
    (dags / "conf").mkdir()
    (dags / "conf" / "more.env").write_text("FROM_MORE=more\n", "utf-8")
    (dags / "functions.toml").write_text('[greet]\ncommand = "cat data/name.txt"\n', "utf-8")
    (dags / "data").mkdir()
    (dags / "data" / "name.txt").write_text("ann\n", "utf-8")
    (dags / "scripts").mkdir()
    (dags / "scripts" / "show.sh").write_text('#!/bin/sh\necho "$FROM_BASE $FROM_ENV $FROM_MORE at $AT"\n', "utf-8")
    (dags / "scripts" / "show.sh").chmod(0o755)
    return dags


async def test_base_env_files_scripts_and_functions_come_with_a_fetched_definition(tmp_path: Path) -> None:
    dags = rich(tmp_path / "coordinator")
    home = dag_folder(tmp_path / "home" / "dags", main=PARENT)
    async with abroad_at(tmp_path, home, Post(name="w1", coordinator=Direct(answering(dags)))) as it:
        ran = await it.start("main")
        inside = it.inside()[0]

    assert ran.status.value == "succeeded"
    assert outputs(inside) == {"SHOWN": "base env more at w1", "GREETED": "ann"}
    assert not (dags / "left.txt").exists()


async def test_a_run_that_is_sent_off_takes_its_folder_along(tmp_path: Path) -> None:
    dags = rich(tmp_path / "home")
    async with abroad_at(tmp_path, dags, Post(name="w1")) as it:
        ran = await it.start("child")

    assert outputs(ran) == {"SHOWN": "base env more at w1", "GREETED": "ann"}
    assert not (dags / "left.txt").exists()
    left = list((tmp_path / "w1").rglob("left.txt"))
    assert [path.read_text("utf-8") for path in left] == ["mine\n"]


async def test_runs_do_not_see_what_others_have_left_in_their_folder(tmp_path: Path) -> None:
    text = "steps:\n  - {command: 'ls; echo x > left.txt', output: LIST}\n"
    home = dag_folder(tmp_path / "home" / "dags", main=text)
    async with abroad_at(tmp_path, home, Post(name="w1")) as it:
        first, second = await it.start("main", run_id="r1"), await it.start("main", run_id="r2")

    assert outputs(first) == outputs(second) == {"LIST": "main.yaml"}


async def test_a_definition_that_has_changed_is_used_anew_and_one_that_has_not_is_not_sent_again(tmp_path: Path) -> None:
    home = dag_folder(tmp_path / "home" / "dags", main=PARENT)
    other = dag_folder(tmp_path / "coordinator" / "dags", child=says("first"))

    class Counting(Direct):
        sent = 0

        async def ask(self, wanted: Wanted) -> tuple[Answer, bytes]:
            answer, data = await super().ask(wanted)
            self.sent += len(data)
            return answer, data

    coordinator = Counting(answering(other))
    async with abroad_at(tmp_path, home, Post(name="w1", coordinator=coordinator)) as it:
        await it.start("main", run_id="r1")
        once = coordinator.sent
        await it.start("main", run_id="r2")
        assert coordinator.sent == once
        dag_folder(other, child=says("second"))
        await it.start("main", run_id="r3")

    assert [outputs(one)["SAID"] for one in it.inside()] == ["first at w1", "first at w1", "second at w1"]
    assert coordinator.sent > once


# ---------------------------------------------------------------- where runs go


CHAIN = {
    "main": "steps:\n  - {name: b, call: b}\n",
    "b": "worker_selector: {zone: b}\nsteps:\n  - {command: echo $AT, output: AT_B}\n  - {name: c, call: c}\n",
    "c": "@C\nsteps:\n  - {command: echo $AT, output: AT_C}\n",
}


@pytest.mark.parametrize(
    ("selector", "mode", "at"),
    [
        pytest.param("", "local", "wb", id="nothing said: where its parent is"),
        pytest.param("worker_selector: local", "distributed", "wb", id="local"),
        pytest.param("worker_selector: {zone: c}", "local", "wc", id="labels"),
        pytest.param('worker_selector: {zone: "${ZONE}"}', "local", "wc", id="labels by reference"),
    ],
)
async def test_a_worker_starts_runs_at_others(tmp_path: Path, selector: str, mode: str, at: str) -> None:
    """Three workers, none of them with a folder: each DAG of the chain runs where it belongs, and so do its steps."""
    home = dag_folder(tmp_path / "home" / "dags", main=CHAIN["main"])
    files = {"b": f"env: [ZONE: c]\n{CHAIN['b']}", "c": CHAIN["c"].replace("@C", selector)}
    coordinator = Direct(answering(dag_folder(tmp_path / "coordinator" / "dags", **files)))
    posts = [Post(name=f"w{zone}", labels={"zone": zone}, coordinator=coordinator) for zone in "abc"]
    settings = DaguSettings(default_execution_mode=mode)
    async with abroad_at(tmp_path, home, *posts, settings=settings) as it:
        ran = await it.start("main")
        inside = {one.detail.summary.workflow: outputs(one) for one in it.inside()}

    assert ran.status.value == "succeeded"
    assert inside["b"]["AT_B"] == "wb"
    assert inside["c"] == {"AT_C": at}


async def test_the_selector_of_a_step_is_before_that_of_the_dag(tmp_path: Path) -> None:
    main = "steps:\n  - {name: sub, call: child, worker_selector: {zone: b}}\n"
    home = dag_folder(tmp_path / "home" / "dags", main=main, child=f"worker_selector: {{zone: a}}\n{says('x')}")
    posts = [Post(name=f"w{zone}", labels={"zone": zone}, dags=home) for zone in "ab"]
    async with abroad_at(tmp_path, home, *posts) as it:
        await it.start("main")

    assert outputs(it.inside()[0]) == {"SAID": "x at wb"}


async def test_a_step_whose_run_no_worker_can_take_fails_and_a_run_by_hand_waits(tmp_path: Path) -> None:
    child = f"worker_selector: {{zone: c}}\n{says('x')}"
    home = dag_folder(tmp_path / "home" / "dags", main=PARENT, child=child)
    async with abroad_at(tmp_path, home, Post(name="wa", labels={"zone": "a"}, dags=home)) as it:
        ran = await it.start("main")
        assert "of child failed: no worker with zone=c is there; there are wa (zone=a)" in error_of(ran, "sub")
        assert ran.status.value == "failed"
        waiting = asyncio.create_task(it.start("child", run_id="r2"))
        while "r2" not in it.runner.open_runs():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.002)
        assert it.runner.open_runs()["r2"].active == 0
        await it.join(Post(name="wc", labels={"zone": "c"}))
        assert outputs(await waiting) == {"SAID": "x at wc"}


@pytest.mark.parametrize("params", ["[ZONE: a]", "ZONE=a"], ids=["declared", "as one text"])
async def test_the_parameters_of_a_run_may_choose_its_worker(tmp_path: Path, params: str) -> None:
    text = f'params: {params}\nworker_selector: {{zone: "$ZONE"}}\n{says("x")}'
    home = dag_folder(tmp_path / "home" / "dags", main=text)
    posts = [Post(name=f"w{zone}", labels={"zone": zone}) for zone in "ab"]
    async with abroad_at(tmp_path, home, *posts) as it:
        ran = [await it.start("main", run_id="r1"), await it.start("main", Given(name="ZONE", value="b"), run_id="r2")]

    assert [outputs(one)["SAID"] for one in ran] == ["x at wa", "x at wb"]


async def test_all_steps_of_a_run_are_at_one_worker(tmp_path: Path) -> None:
    steps = "".join(f"  - {{name: s{number}, command: echo $AT >> who.txt}}\n" for number in range(12))
    last = "  - {name: end, command: sort -u who.txt, output: WHO}\n"
    home = dag_folder(tmp_path / "home" / "dags", main=f"type: chain\nsteps:\n{steps}{last}")
    async with abroad_at(tmp_path, home, *(Post(name=f"w{number}") for number in range(4))) as it:
        ran = await it.start("main")

    assert outputs(ran)["WHO"] in {f"w{number}" for number in range(4)}


async def test_a_run_whose_worker_is_gone_goes_on_elsewhere_with_its_files(tmp_path: Path) -> None:
    text = """
type: chain
steps:
  - {name: one, command: echo $AT, output: FIRST}
  - {name: hold, action: human.task, with: {prompt: go on?}}
  - {name: two, command: 'cat table.txt; echo at $AT', output: SECOND}
"""
    home = dag_folder(tmp_path / "home" / "dags", main=text)
    (home / "table.txt").write_text("table\n", "utf-8")
    async with abroad_at(tmp_path, home, Post(name="w0"), Post(name="w1")) as it:
        running = asyncio.create_task(it.start("main"))
        while "r1" not in it.runner.open_runs() or not it.runner.open_runs()["r1"].waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        first = it.runner.open_runs()["r1"].steps["one"].worker
        await it.gone(first)
        data = {"kind": "approval", "name": "hold", "payload": None}
        await it.runner.ask(Request(run="r1", kind="open_gate", actor="ann", data=data))
        ran = await running

    other = "w1" if first == "w0" else "w0"
    assert outputs(ran) == {"FIRST": first, "SECOND": f"table\nat {other}"}


# ---------------------------------------------------------------- loops, items, documents


async def test_a_loop_and_a_document_of_the_file_share_the_folder_of_their_run(tmp_path: Path) -> None:
    text = """
type: chain
steps:
  - {name: write, command: echo from-the-parent > shared.txt}
  - name: loop
    foreach: {items: [a, b], as: item, steps: [{name: read, run: 'cat shared.txt; echo $item at $AT', output: READ}]}
  - {name: doc, call: inner}
---
name: inner
steps:
  - {command: cat shared.txt, output: SEEN}
"""
    home = dag_folder(tmp_path / "home" / "dags", main=text)
    async with abroad_at(tmp_path, home, Post(name="w0"), Post(name="w1"), Post(name="w2")) as it:
        ran = await it.start("main")
        inside = [outputs(one) for one in it.inside()]

    assert ran.status.value == "succeeded", error_of(ran, "loop")
    read = sorted(str(one["READ"]) for one in inside if "READ" in one)
    assert [text.split(" at ")[0] for text in read] == ["from-the-parent\na", "from-the-parent\nb"]
    assert len({text.split(" at ")[1] for text in read}) == 1
    assert {"SEEN": "from-the-parent"} in inside


async def test_items_spread_over_the_workers_where_that_is_asked_for(tmp_path: Path) -> None:
    main = "steps:\n  - {name: all, call: child, parallel: {items: [1, 2, 3, 4, 5, 6, 7, 8], max_concurrent: 8}}\n"
    home = dag_folder(
        tmp_path / "home" / "dags", main=main, child="steps:\n  - {command: 'sleep 0.05; echo $AT', output: AT}\n"
    )
    posts = [Post(name=f"w{number}", dags=home) for number in range(4)]
    distributed = DaguSettings(default_execution_mode="distributed")
    async with abroad_at(tmp_path, home, *posts, settings=distributed) as it:
        await it.start("main")

    assert {outputs(one)["AT"] for one in it.inside()} == {"w0", "w1", "w2", "w3"}


async def test_runs_of_a_dag_whose_folder_has_changed_each_have_their_own_files(tmp_path: Path) -> None:
    home = dag_folder(tmp_path / "home" / "dags", main=PARENT, child="steps:\n  - {command: cat x.txt, output: X}\n")
    (home / "x.txt").write_text("first\n", "utf-8")
    async with abroad_at(tmp_path, home, Post(name="w1", dags=home)) as it:
        await it.start("main", run_id="r1")
        (home / "x.txt").write_text("second\n", "utf-8")
        await it.start("main", run_id="r2")

    assert [outputs(one) for one in it.inside()] == [{"X": "first"}, {"X": "second"}]
