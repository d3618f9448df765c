"""`dag-engine`: the same help, options, errors and exit codes as `provisioning`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.calls import Caller
from support.daguhome import PLAIN, dag_folder

from provisioning_cli.dagu import ALIASES, VERBS, WHERE
from provisioning_cli.engine_main import NAME, dag_engine
from provisioning_cli.main import call

HEAVY = (
    *("rich", "paramiko", "asyncio", "networkx", "jsonschema", "jinja2", "sqlite3", "msgspec", "yaml", "nickel", "json"),
    *("difflib", "zoneinfo", "provisioning.formats", "provisioning.operations", "provisioning.core", "provisioning.settings"),
)


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    return dag_folder(tmp_path / "dags", etl=PLAIN, etc=PLAIN)


def test_help_loads_nothing_heavy_and_no_command() -> None:
    code = (
        "import sys\nfrom provisioning_cli.engine_main import NAME, dag_engine\nfrom provisioning_cli.main import call\n"
        "assert call(['--help'], root=dag_engine, name=NAME) == 0\nprint(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    bare = subprocess.run(
        [sys.executable, "-c", "import click, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    loaded = set(done.stderr.split()) - set(bare.stdout.split())
    assert not [name for name in loaded if name.startswith(HEAVY)]
    commands = {f"provisioning_cli.{where.partition(':')[0]}" for where in WHERE.values()}
    assert not loaded & commands


def test_every_verb_has_a_place_and_is_called_like_it() -> None:
    assert set(VERBS) == set(WHERE)
    assert set(ALIASES.values()) <= set(VERBS)
    context = click.Context(dag_engine)
    for name in dag_engine.list_commands(context):
        command = dag_engine.get_command(context, name)
        assert command is not None
        assert command.name == name


@pytest.mark.parametrize("verb", [*VERBS, "completion"])
def test_every_command_has_help_and_the_common_options(engine: Caller, verb: str) -> None:
    answer = engine(verb, "--help")
    assert answer.code == 0
    assert answer.out.startswith(f"Usage: dag-engine {verb} ")
    for option in ("--dags", "--dagu-home", "--output", "--quiet"):
        assert option in answer.out
    assert "--workspace" not in answer.out


@pytest.mark.parametrize(
    "words",
    [
        ("-o", "json", "--dags", "{}", "list"),
        ("--dags", "/nowhere", "list", "--dags", "{}", "-o", "json"),
        ("-o", "table", "list", "--output=json", "--dags={}"),
    ],
    ids=" ".join,
)
def test_common_options_stand_anywhere_and_the_innermost_wins(engine: Caller, dags: Path, words: tuple[str, ...]) -> None:
    assert [one["name"] for one in engine(*(word.format(dags) for word in words)).json["dags"]] == ["etc", "etl"]


@pytest.mark.parametrize(
    ("words", "code", "near"),
    [
        (("lst",), 2, "did you mean 'list'"),
        (("list", "--labl", "x"), 2, "--label"),
        (("show",), 2, "missing argument"),
        (("show", "etll"), 4, "did you mean etl?"),
        (("show", "no.yaml"), 4, "no file no.yaml"),
        (("show", "../etl"), 2, "a path that ends in .yaml or .yml"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_errors_have_their_exit_code_and_the_nearest_name(
    engine: Caller, dags: Path, words: tuple[str, ...], code: int, near: str
) -> None:
    answer = engine("--dags", str(dags), *words)
    assert (answer.code, answer.out) == (code, "")
    assert near in answer.err
    as_json = engine("--dags", str(dags), "-o", "json", *words)
    assert (as_json.code, as_json.json["error"]["exit_code"], as_json.err) == (code, code, "")


def test_a_name_of_another_folder_is_refused_in_json_as_well(engine: Caller) -> None:
    answer = engine("show", "../../etc/x", "-o", "json")
    assert answer.json["error"]["code"] == "usage"
    assert '"../../etc/x"' in answer.json["error"]["message"]


def test_quiet_leaves_results_and_errors(engine: Caller, dags: Path) -> None:
    assert "etl" in engine("-q", "--dags", str(dags), "list").out
    assert "no DAG" in engine("-q", "--dags", str(dags), "show", "x").err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "nushell"])
def test_its_completion_is_its_own(engine: Caller, shell: str) -> None:
    script = engine("completion", shell).out
    assert "dag-engine" in script
    assert "_DAG_ENGINE_COMPLETE" in script
    assert "_PROVISIONING_COMPLETE" not in script


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("dag-engine va", {"validate"}),
        ("dag-engine show et", {"etc", "etl"}),
        ("dag-engine validate etl et", {"etc", "etl"}),
    ],
)
def test_names_of_dags_are_completed(
    dags: Path, words: str, found: set[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVISIONING_DAGU_DAGS", str(dags))
    monkeypatch.setenv("_DAG_ENGINE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert call([], root=dag_engine, name=NAME) == 0
    lines = [line.split(",", 1) for line in capsys.readouterr().out.splitlines()]
    assert {name for kind, name in lines if kind == "plain"} == found


@pytest.mark.parametrize(
    ("word", "printed"), [("et", '[{"value": "etc", "description": ""}, {"value": "etl", "description": ""}]'), ("./f", "null")]
)
def test_nushell_is_given_names_or_asked_for_files(
    dags: Path, word: str, printed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVISIONING_DAGU_DAGS", str(dags))
    monkeypatch.setenv("_DAG_ENGINE_COMPLETE", "nushell_complete")
    monkeypatch.setenv("PROVISIONING_SPANS", f'["dag-engine", "show", "{word}"]')
    assert call([], root=dag_engine, name=NAME) == 0
    assert capsys.readouterr().out.strip() == printed


def test_it_runs_as_a_program(dags: Path) -> None:
    words = [sys.executable, "-m", "provisioning_cli.engine_main"]
    done = subprocess.run([*words, "list", str(dags)], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "etl.yaml" in done.stdout
    assert subprocess.run([*words, "show", "x"], capture_output=True, check=False, timeout=120).returncode == 4
