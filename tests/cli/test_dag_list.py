"""`dag list`: every DAG file of a folder, also broken ones, with schedule, next start and last run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from support.calls import Caller
from support.cost import counted
from support.daguhome import PLAIN, dag_folder, ran

from provisioning.core.dagu.statuses import RunStatus
from provisioning.core.model import RunState
from provisioning.operations.dagu.listing import status_of
from provisioning.operations.dagu.places import find_places

NIGHTLY = f'schedule: "TZ=UTC 30 2 * * *"\ntags: nightly, team=data\n{PLAIN}'


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    return dag_folder(tmp_path / "dags", etl=NIGHTLY, report=f"name: monthly\n{PLAIN}")


def test_a_row_has_schedule_next_run_tags_status_and_file(engine: Caller, dags: Path) -> None:
    lines = engine("list", str(dags)).out.splitlines()
    assert [cell.strip() for cell in lines[1].split("│")[1:-1]] == [
        *("#", "name", "schedule", "next run", "tags", "status", "suspended", "file"),
    ]
    cells = [cell.strip() for cell in lines[3].split("│")[1:-1]]
    assert cells[:3] + cells[4:] == ["0", "etl", "TZ=UTC 30 2 * * *", "nightly, team=data", "", "", "etl.yaml"]
    assert cells[3].endswith("02:30 UTC")


def test_json_has_the_same_facts(engine: Caller, dags: Path) -> None:
    document = engine("list", str(dags), "-o", "json").json
    etl, monthly = document["dags"]
    assert document["folder"] == str(dags)
    assert (etl["name"], etl["labels"], etl["schedule"]["start"]) == (
        "etl",
        {"nightly": "", "team": "data"},
        ["TZ=UTC 30 2 * * *"],
    )
    assert datetime.fromisoformat(etl["next_run"]).strftime("%H:%M") == "02:30"
    assert (etl["status"], etl["last_run"], etl["suspended"], etl["valid"], etl["steps"]) == (None, None, False, True, 1)
    assert (monthly["name"], monthly["file"], monthly["next_run"]) == ("monthly", "report.yaml", None)


def folder_argument(dags: Path) -> list[str]:
    return ["list", str(dags)]


def option_of_the_command(dags: Path) -> list[str]:
    return ["list", "--dags", str(dags)]


def option_of_the_root(dags: Path) -> list[str]:
    return ["--dags", str(dags), "list"]


def home(dags: Path) -> list[str]:
    return ["list", "--dagu-home", str(dags.parent)]


def dagus_word(dags: Path) -> list[str]:
    return ["ls", str(dags)]


@pytest.mark.parametrize("words", [folder_argument, option_of_the_command, option_of_the_root, home, dagus_word])
def test_the_folder_is_said_in_any_way(engine: Caller, dags: Path, words: Callable[[Path], list[str]]) -> None:
    assert [one["name"] for one in engine(*words(dags), "-o", "json").json["dags"]] == ["etl", "monthly"]


def test_the_folder_may_be_a_setting_or_dagus_variable(engine: Caller, dags: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine("list").out.startswith("no DAG files in ")
    monkeypatch.setenv("DAGU_HOME", str(dags.parent))
    assert "monthly" in engine("list").out
    other = dag_folder(dags.parent / "other", only=PLAIN)
    monkeypatch.setenv("PROVISIONING_DAGU_DAGS", str(other))
    assert [one["name"] for one in engine("list", "-o", "json").json["dags"]] == ["only"]


def test_provisioning_lists_the_same(engine: Caller, cli: Caller, dags: Path) -> None:
    assert cli("dag", "list", str(dags)).out == cli("dag", "ls", str(dags)).out == engine("list", str(dags)).out


def test_broken_files_are_listed_with_their_first_fault(engine: Caller, dags: Path) -> None:
    (dags / "bad.yaml").write_text("steps:\n  - comand: x\n    command: y\n")
    answer = engine("list", str(dags))
    assert answer.code == 0
    assert '2:5: found the key "comand", which means nothing here' in answer.out
    assert "monthly" in answer.out
    bad = engine("list", str(dags), "-o", "json").json["dags"][0]
    assert (bad["valid"], bad["faults"][0]["line"], bad["faults"][0]["hint"]) == (False, 2, 'did you mean "command"?')


def test_a_suspended_dag_has_no_next_run(engine: Caller, dags: Path) -> None:
    (dags.parent / "suspend").mkdir()
    (dags.parent / "suspend/etl.suspend").write_text("")
    etl = engine("list", str(dags), "-o", "json").json["dags"][0]
    assert (etl["suspended"], etl["next_run"]) == (True, None)


async def test_the_status_is_that_of_the_newest_run_in_dagus_words(engine: Caller, dags: Path) -> None:
    data = find_places(dags=str(dags)).data
    await ran(data, "etl", run="0001", state="succeeded")
    await ran(data, "etl", run="0002", state="partial")
    await ran(data, "etl", run="0003", state="failed", kind="python")
    await ran(data, "report", run="0004", state="failed")
    etl, monthly = engine("list", str(dags), "-o", "json").json["dags"]
    assert (etl["status"], etl["last_run"]["run_id"]) == ("partially_succeeded", "0002")
    assert monthly["status"] is None, "runs belong to the name that the DAG gives itself"


async def test_what_ran_last_comes_first_on_request(engine: Caller, dags: Path) -> None:
    data = find_places(dags=str(dags)).data
    dag_folder(dags, aa=PLAIN)
    await ran(data, "monthly", run="0001")
    order = [one["name"] for one in engine("list", str(dags), "--sort-last", "-o", "json").json["dags"]]
    assert order == ["monthly", "aa", "etl"]
    backwards = [one["name"] for one in engine("list", str(dags), "--sort-last", "--reverse", "-o", "json").json["dags"]]
    assert backwards == order[::-1]


@pytest.mark.parametrize(
    ("label", "names"), [("nightly", ["etl"]), ("TEAM=Data", ["etl"]), ("team", ["etl"]), ("team=web", []), ("none", [])]
)
def test_labels_narrow_the_list(engine: Caller, dags: Path, label: str, names: list[str]) -> None:
    for option in ("--label", "--tag"):
        assert [one["name"] for one in engine("list", str(dags), option, label, "-o", "json").json["dags"]] == names


@pytest.mark.parametrize("state", RunState)
def test_every_state_of_a_run_has_a_word_of_dagu(state: RunState) -> None:
    assert status_of(state) in RunStatus


def test_a_folder_that_is_not_there_is_not_found(engine: Caller, tmp_path: Path) -> None:
    answer = engine("list", str(tmp_path / "no"))
    assert (answer.code, answer.out) == (4, "")
    assert "there is no folder" in answer.err
    assert engine("list", "").code == 2


def test_looking_writes_nothing(engine: Caller, dags: Path, clean_environment: Path) -> None:
    before = sorted(clean_environment.rglob("*"))
    for words in (("list",), ("validate",), ("show", "etl")):
        assert engine("--dags", str(dags), *words).code == 0
    assert sorted(clean_environment.rglob("*")) == before
    assert sorted(path.name for path in dags.iterdir()) == ["etl.yaml", "report.yaml"]


def test_listing_three_times_the_files_costs_three_times_as_much(engine: Caller, tmp_path: Path) -> None:
    costs = []
    for count in (100, 300):
        folder = dag_folder(tmp_path / f"dags{count}", **{f"dag{number}": NIGHTLY for number in range(count)})
        engine("list", str(folder))
        with counted() as cost:
            assert f"dag{count - 1}" in engine("list", str(folder)).out
        costs.append(cost.lines)
    assert costs[1] < 3.3 * costs[0]
