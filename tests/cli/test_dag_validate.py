"""`dag validate` of Dagu files: all faults with their place, the dialect, and what is ambiguous."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.calls import Caller
from support.daguhome import PLAIN, dag_folder

BROKEN = "steps:\n  - name: a\n    comand: x\n    command: y\n    depends: nobody\n  - name: a\n    command: z\n"
OLD = "handlerOn:\n  cancel:\n    command: echo\nsteps:\n  - name: a\n    command: x\n  - name: b\n    command: y\n"


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    return dag_folder(tmp_path / "dags", broken=BROKEN, etl=PLAIN, old=OLD)


def test_every_fault_is_told_with_place_and_hint(engine: Caller, dags: Path) -> None:
    answer = engine("--dags", str(dags), "validate", "broken", "-o", "json")
    assert answer.code == 3
    assert answer.json["valid"] is False
    assert [(fault["code"], fault["line"], fault["column"]) for fault in answer.json["faults"]] == [
        ("unknown_key", 3, 5),
        ("unknown_step", 5, 14),
        ("duplicate_name", 6, 5),
    ]
    for fault in answer.json["faults"]:
        assert set(fault) == {"code", "severity", "file", "path", "line", "column", "message", "hint"}
        assert (fault["severity"], fault["file"]) == ("error", "broken.yaml")
    assert answer.json["faults"][0]["hint"] == 'did you mean "command"?'


def test_people_read_the_same(engine: Caller, dags: Path) -> None:
    answer = engine("--dags", str(dags), "validate", "broken")
    assert (answer.code, answer.err) == (3, "")
    assert "  broken.yaml:3:5: error: found the key " in answer.out
    assert "broken.yaml: invalid, 3 errors" in answer.out


def test_the_dialect_and_what_told_it_are_said(engine: Caller, dags: Path) -> None:
    document = engine("--dags", str(dags), "validate", "old", "-o", "json").json
    assert (document["valid"], document["dialect"], document["type"]) == (True, "A0", "chain")
    told = document["files"][0]["documents"][0]
    assert [(mark["key"], mark["line"]) for mark in told["marks"]] == [("handlerOn", 1)]
    assert told["because"] == "default"
    text = engine("--dags", str(dags), "validate", "old").out
    assert "old.yaml: valid; dialect A0 (Dagu up to 1.16), told by `handlerOn` in line 1; type chain: " in text


def test_what_is_ambiguous_is_noted(engine: Caller, dags: Path) -> None:
    note = engine("--dags", str(dags), "validate", "old", "-o", "json").json["notes"][0]
    assert (note["code"], note["file"], note["line"]) == ("type_reading", "old.yaml", 1)
    assert "old.yaml:1:1: note: no type is said" in engine("--dags", str(dags), "validate", "old").out


def test_the_setting_for_the_type_is_followed_and_named(engine: Caller, dags: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISIONING_DAGU_DEFAULT_TYPE", "graph")
    document = engine("--dags", str(dags), "validate", "old", "-o", "json").json
    assert document["type"] == "graph"
    assert "dagu.default_type" in document["notes"][0]["message"]


def test_clock_changes_are_told(engine: Caller, dags: Path) -> None:
    dag_folder(dags, night=f'schedule: "TZ=Europe/Berlin 30 2 * * *"\n{PLAIN}', noon=f'schedule: "0 12 * * *"\n{PLAIN}')
    night, noon = engine("--dags", str(dags), "validate", "night", "noon", "-o", "json").json["files"]
    assert [(one["zone"], one["dagu"] in {"skips", "doubles"}) for one in night["clock_changes"]] == [("Europe/Berlin", True)]
    assert noon["clock_changes"] == []


def test_several_files_are_checked_at_once_and_a_folder_is_all_of_it(engine: Caller, dags: Path, tmp_path: Path) -> None:
    some = engine("--dags", str(dags), "validate", "etl", str(dags / "old.yaml"), "-o", "json")
    assert (some.code, [one["name"] for one in some.json["files"]]) == (0, ["etl", "old"])
    assert "dialect" not in some.json
    for words in (("validate", str(dags)), ("--dags", str(dags), "validate")):
        everything = engine(*words, "-o", "json")
        assert (everything.code, [one["valid"] for one in everything.json["files"]]) == (3, [False, True, True])
    assert engine("validate", str(tmp_path / "nothing")).out == "no DAG files\n"


def test_a_dag_is_meant_before_a_folder_of_its_name(engine: Caller, dags: Path, tmp_path: Path) -> None:
    dag_folder(tmp_path / "nothing" / "etl", inner=PLAIN)
    meant = {what: engine("--dags", str(dags), "validate", what, "-o", "json").json["files"] for what in ("etl", "./etl")}
    assert [meant["etl"][0]["name"], meant["./etl"][0]["name"]] == ["etl", "inner"]


def test_each_document_of_a_file_has_its_own_reading(engine: Caller, dags: Path) -> None:
    dag_folder(dags, both=f"{PLAIN}---\nname: second\nsteps:\n  - run: echo a\n")
    documents = engine("--dags", str(dags), "validate", "both", "-o", "json").json["files"][0]["documents"]
    assert [(one["name"], one["dialect"]) for one in documents] == [("both", "any"), ("second", "C")]


def test_a_fault_of_the_base_is_told_once(engine: Caller, dags: Path) -> None:
    (dags / "base.yaml").write_text("stepz: 1\n")
    document = engine("--dags", str(dags), "validate", "etl", "old", "-o", "json").json
    assert [Path(fault["file"]).name for fault in document["faults"]] == ["base.yaml"]
    assert [one["valid"] for one in document["files"]] == [False, False]


@pytest.mark.parametrize(
    ("what", "code"), [("etll", 4), ("no.yaml", 4), ("../../etc/x", 2), ("", 2), ("/etc/passwd", 2)], ids=repr
)
def test_what_is_not_there_or_no_name_is_a_plain_error(engine: Caller, dags: Path, what: str, code: int) -> None:
    answer = engine("--dags", str(dags), "validate", what)
    assert (answer.code, answer.out) == (code, "")
    assert "Traceback" not in answer.err


def test_nothing_of_a_file_reaches_the_terminal(engine: Caller, dags: Path) -> None:
    (dags / "evil.yaml").write_text('"st\\x1b[2Jep": 1\n"\\u202e": 2\nsteps:\n  - "\\x1b]0;x\\a": 3\n')
    for form in ("table", "json"):
        for words in (("validate", "evil"), ("list",), ("show", "evil")):
            answer = engine("--dags", str(dags), "-o", form, *words)
            assert not {"\x1b", "\u202e", "\a"} & set(answer.out + answer.err)


def test_a_bomb_is_refused_in_no_time(engine: Caller, dags: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{number}: &b{number} [{', '.join([f'*b{number - 1}' if number else '*a'] * 10)}]" for number in range(20)]
    (dags / "bomb.yaml").write_text("\n".join(lines))
    began_s = time.process_time()
    answer = engine("--dags", str(dags), "validate", "bomb", "-o", "json")
    assert time.process_time() - began_s < 3
    assert [fault["code"] for fault in answer.json["faults"]] == ["too_large"]
    assert answer.json["faults"][0]["line"] > 1


# ---------------------------------------------------------------- beside formulas


def test_provisioning_checks_dagu_files_by_their_ending(cli: Caller, sample: Path, dags: Path) -> None:
    assert cli("dag", "validate", str(dags / "old.yaml"), "-o", "json").json["dialect"] == "A0"
    assert cli("-w", str(sample), "dag", "validate", str(dags / "broken.yaml")).code == 3
    assert cli("-w", str(sample), "dag", "validate", "-o", "json").json["checked"] == "2 formulas"
    assert "dialect" not in cli("dag", "validate", str(sample / "infra/main/dag.json"), "-o", "json").json
    mixed = cli("dag", "validate", str(dags / "old.yaml"), str(sample / "infra/main/dag.json"))
    assert mixed.code == 2
    assert "not all of them are Dagu's" in mixed.err


def test_a_name_is_dagus_only_where_there_is_no_workspace(cli: Caller, sample: Path, dags: Path) -> None:
    assert cli("dag", "validate", "--dags", str(dags), "old").code == 0
    assert "no file old" in cli("-w", str(sample), "dag", "validate", "--dags", str(dags), "old").err
