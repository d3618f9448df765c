"""`dag show` of Dagu files: the same drawings as for formulas."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.calls import Caller
from support.cost import counted
from support.daguhome import dag_folder

from provisioning.codec import decode
from provisioning.core.model import Workflow

ETL = """\
description: fetches and loads
schedule: "30 2 * * *"
handler_on:
  init:
    command: echo begin
  failure:
    command: echo failed
  exit:
    command: echo bye
steps:
  - name: fetch
    command: curl -fsS http://x/y
  - name: parse
    command: python parse.py
    depends: fetch
    continue_on:
      failure: true
  - name: load
    executor: http
    command: POST http://a/b
    depends: [parse]
"""


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    return dag_folder(tmp_path / "dags", etl=ETL)


def test_the_tree_has_steps_what_they_do_and_the_handlers(engine: Caller, dags: Path) -> None:
    assert engine("--dags", str(dags), "show", "etl").out.splitlines() == [
        "● on init     shell  echo begin",
        "│",
        "● fetch       shell  curl -fsS http://x/y",
        "│",
        "● parse       shell  python parse.py",
        "│",
        "● load        http   POST http://a/b",
        "● on failure  shell  echo failed",
        "● on exit     shell  echo bye",
    ]


@pytest.mark.parametrize("form", ["tree", "table", "mermaid", "dot", "svg", "json"])
def test_every_format_names_every_step_and_handler(engine: Caller, dags: Path, form: str) -> None:
    answer = engine("--dags", str(dags), "show", "etl", "--format", form)
    assert answer.code == 0
    for name in ("fetch", "parse", "load", "failure", "exit"):
        assert name in answer.out
    if form == "svg":
        ElementTree.fromstring(answer.out)
    as_json = engine("--dags", str(dags), "show", "etl", "--format", form, "-o", "json").json
    assert as_json["steps" if form == "json" else "content"]


def test_json_has_what_every_step_waits_for(engine: Caller, dags: Path) -> None:
    document = engine("--dags", str(dags), "show", "etl", "-o", "json").json
    assert (document["dag"], document["type"], document["schedule"]) == ("etl", "graph", ["30 2 * * *"])
    assert [(step["name"], step["kind"], step["depends_on"], step["continues"]) for step in document["steps"]] == [
        ("fetch", "shell", [], False),
        ("parse", "shell", ["fetch"], True),
        ("load", "http", ["parse"], False),
    ]
    assert [one["event"] for one in document["handlers"]] == ["init", "failure", "exit"]


def test_what_goes_on_after_a_failure_is_a_dashed_line(engine: Caller, dags: Path) -> None:
    assert "f2 -. done .-> f3" in engine("--dags", str(dags), "show", "etl", "--format", "mermaid").out
    assert 'f2 -> f3 [label="done", style=dashed]' in engine("--dags", str(dags), "show", "etl", "--format", "dot").out


@pytest.mark.parametrize(
    ("step", "kind", "does"),
    [
        ("script: |\n      #!/bin/sh\n\n      make all\n      make install", "shell", "make all"),
        ("command: [echo a, echo b]", "shell", "echo a; echo b"),
        ("executor: {type: docker, config: {image: 'alpine:3'}}\n    command: id", "docker", "alpine:3: id"),
        ("executor: {type: ssh, config: {host: web-0, user: u}}\n    command: uptime", "ssh", "web-0: uptime"),
        ("executor: jq\n    command: .a\n    script: '{}'", "jq", ".a"),
        ("run: other\n    params: X=1", "dag", "other"),
        ("run: other\n    parallel: [a, b]", "dag", "other for each item"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_a_step_does_is_said_in_a_few_words(engine: Caller, dags: Path, step: str, kind: str, does: str) -> None:
    dag_folder(dags, one=f"steps:\n  - name: a\n    {step}\n")
    shown = engine("--dags", str(dags), "show", "one", "-o", "json").json["steps"][0]
    assert (shown["kind"], shown["does"]) == (kind, does)


def test_a_dag_is_exported_as_the_workflow_that_the_engine_runs(cli: Caller, dags: Path) -> None:
    file = str(dags / "etl.yaml")
    workflow = decode(cli("dag", "export", file, "--format", "workflow").out, Workflow)
    assert (workflow.name, {"fetch", "parse", "load"} <= {step.id for step in workflow.steps}) == ("etl", True)
    for form in ("mermaid", "dot"):
        assert cli("dag", "export", file, "--format", form).out == cli("dag", "show", file, "--format", form).out


@pytest.mark.parametrize("words", [("export",), ("export", "--format", "toml"), ("plan",)], ids=" ".join)
def test_what_there_is_only_for_formulas_is_a_plain_error(cli: Caller, dags: Path, words: tuple[str, ...]) -> None:
    answer = cli("dag", *words, str(dags / "etl.yaml"))
    assert (answer.code, answer.out) == (2, "")
    assert "hint: " in answer.err


def test_a_broken_dag_is_not_drawn(engine: Caller, dags: Path) -> None:
    dag_folder(dags, broken="steps:\n  - name: a\n    command: x\n    depends: b\n")
    answer = engine("--dags", str(dags), "show", "broken", "-o", "json")
    assert (answer.code, answer.json["error"]["exit_code"]) == (3, 3)
    assert answer.json["error"]["faults"][0]["line"] == 4


def test_provisioning_draws_dagu_files_and_formulas_as_before(cli: Caller, sample: Path, dags: Path) -> None:
    drawn = cli("dag", "show", str(dags / "etl.yaml")).out
    assert "parse" in drawn
    assert cli("dag", "show", "--dags", str(dags), "etl").out == drawn
    assert cli("-w", str(sample), "dag", "show", str(dags / "etl.yaml")).out == drawn
    assert "base" in cli("-w", str(sample), "dag", "show").out


@pytest.mark.parametrize("form", ["tree", "mermaid", "json"])
def test_ten_times_the_steps_cost_ten_times_as_much(engine: Caller, tmp_path: Path, form: str) -> None:
    costs = []
    for count in (200, 2_000):
        steps = "".join(f"  - name: s{one}\n    command: echo {one}\n" for one in range(count))
        folder = dag_folder(tmp_path / f"dags{count}", long=f"type: chain\nsteps:\n{steps}")
        engine("--dags", str(folder), "show", "long", "--format", form)
        with counted() as cost:
            assert f"s{count - 1}" in engine("--dags", str(folder), "show", "long", "--format", form).out
        costs.append(cost.lines)
    assert costs[1] < 11.5 * costs[0]
