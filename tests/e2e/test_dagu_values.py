"""What texts of Dagu files become in a run: which value wins, what is replaced where, and what reaches programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.daguruns import DaguRuns, Ran


@pytest.fixture
def dagu(tmp_path: Path) -> DaguRuns:
    return DaguRuns(tmp_path, environment={"V": "inherited", "ONLY_HERE": "yes"})


def chain(*steps: str) -> str:
    return "type: chain\nsteps:\n" + "".join(f"  - {step}\n" for step in steps)


def said(ran: Ran, step: str = "cmd_1") -> str:
    assert ran.steps[step] == "succeeded", ran.error(step)
    return ran.stdout(step).rstrip("\n")


SAY = "{name: cmd_1, command: 'echo $V'}"
PARAMS, ENV, DOTENV = "params: [V=param]\n", "env: {V: env}\n", "dotenv: v.env\n"
SECRETS = "secrets: [{name: V, provider: file, key: v.txt}]\n"


@pytest.mark.parametrize(
    ("head", "step", "wins"),
    [
        ("", SAY, "inherited"),
        (PARAMS, SAY, "param"),
        (PARAMS + ENV, SAY, "env"),
        (PARAMS + ENV + DOTENV, SAY, "dotenv"),
        (PARAMS + ENV + DOTENV + SECRETS, SAY, "***"),
        (PARAMS + ENV, SAY.replace("name", "env: {V: own}, name"), "own"),
    ],
)
def test_what_is_said_nearer_to_the_step_wins(dagu: DaguRuns, head: str, step: str, wins: str) -> None:
    dagu.write("v.env", "V=dotenv\n")
    dagu.write("v.txt", "from the vault")

    assert said(dagu.run(head + chain(step))) == wins


def test_an_output_wins_over_what_the_dag_says(dagu: DaguRuns) -> None:
    assert said(dagu.run(ENV + chain("{name: a, command: echo new, output: V}", SAY))) == "new"


def test_programs_inherit_everything(dagu: DaguRuns) -> None:
    assert said(dagu.run(chain("echo $ONLY_HERE"))) == "yes"


def test_a_value_may_be_anything_that_a_variable_can_hold(dagu: DaguRuns) -> None:
    hard = "a 'b' \"c\" $HOME `date` \\ ; & | *\nsecond line"
    ran = dagu.run("params: [V=x]\n" + chain("""'printf %s "$V"'"""), f"V={hard}")

    assert said(ran) == hard


def test_text_of_others_is_no_program(dagu: DaguRuns) -> None:
    ran = dagu.run("params: [V=x]\n" + chain("echo $V"), "V=a; touch broken")

    assert said(ran) == "a; touch broken"
    assert not (dagu.dags / "broken").exists()


def test_parameters_are_there_as_json(dagu: DaguRuns) -> None:
    ran = dagu.run("params: [A=1, B=x y]\n" + chain("echo $DAG_PARAMS_JSON"), "B=z")

    assert json.loads(said(ran)) == {"A": "1", "B": "z"}


@pytest.mark.parametrize(
    "name", ["DAG_EXECUTION_LOG_PATH", "DAG_REQUEST_ID", "DAG_STEP_LOG_PATH", "DAG_RUN_LOG_FILE", "DAG_RUN_ID"]
)
def test_older_names_of_what_the_engine_says_are_there_too(dagu: DaguRuns, name: str) -> None:
    assert said(dagu.run(chain(f"printenv {name}")))


def test_a_whole_item_may_be_parameters(dagu: DaguRuns) -> None:
    child = "---\nname: child\nparams: [A=0, B=0]\nsteps: [{name: x, command: 'echo $A-$B', output: GOT}]\n"
    ran = dagu.run(
        chain("{name: sub, call: child, parallel: ['A=1 B=2', 'B=4'], output: ALL}", "{command: 'echo $ALL', output: J}")
        + child
    )
    document = json.loads(str(ran.outputs["J"]))

    assert document["summary"] == {"total": 2, "succeeded": 2, "failed": 0}
    assert [one["GOT"] for one in document["outputs"]] == ["1-2", "0-4"]
    assert [one["status"] for one in document["results"]] == ["succeeded", "succeeded"]


def test_results_of_parallel_runs_are_in_the_order_of_the_items(dagu: DaguRuns) -> None:
    child = "---\nname: child\nsteps: [{name: x, command: 'echo $1', output: GOT}]\n"
    ran = dagu.run(
        chain("{name: sub, call: child, parallel: [c, a, b], output: ALL}", "echo ${ALL.outputs[0].GOT}${ALL.outputs[2].GOT}")
        + child
    )

    assert said(ran, "cmd_2") == "cb"


@pytest.mark.parametrize("quoted", ["'$V'", "'${V}'"])
def test_single_quotes_are_the_shells_in_files_of_today(dagu: DaguRuns, quoted: str) -> None:
    text = f'env: {{V: x}}\nsteps:\n  - id: cmd_1\n    run: "echo {quoted}"\n'

    assert said(dagu.run(text)) == quoted.strip("'")


def test_commands_in_values_are_evaluated_once(dagu: DaguRuns) -> None:
    ran = dagu.run("env: [{V: '`echo x >>count; wc -l <count`'}]\n" + chain("echo $V", "echo $V"))

    assert (said(ran), said(ran, "cmd_2")) == ("1", "1")


def test_a_command_in_a_value_that_fails_fails_the_run_before_any_step(dagu: DaguRuns) -> None:
    ran = dagu.run("env: [{V: '`exit 4`'}]\n" + chain("echo 1"))

    assert (ran.status, ran.steps) == ("failed", {"cmd_1": "not_started"})


def test_env_of_a_later_line_may_use_a_parameter_and_a_default_may_use_env(dagu: DaguRuns) -> None:
    assert said(dagu.run("env: [{D: '${A}2'}]\nparams: [A=1]\n" + chain("echo $D"))) == "12"
    assert said(DaguRuns(dagu.home / "b").run("env: [{D: '2'}]\nparams: ['A=${D}1']\n" + chain("echo $A"))) == "21"


def test_a_working_folder_may_be_a_reference_and_is_made(dagu: DaguRuns) -> None:
    ran = dagu.run("env: {D: made}\nworking_dir: ${D}/deep\n" + chain("pwd"))

    assert said(ran) == str(dagu.dags / "made" / "deep")


def test_a_structured_output_that_is_not_there_fails_the_step(dagu: DaguRuns) -> None:
    step = "{id: a, run: 'echo no json', output: {V: {from: stdout, decode: json, select: .v}}}"
    ran = dagu.run(f"steps:\n  - {step}\n")

    assert ran.steps == {"a": "failed"}
    assert "V" in ran.error("a")


def test_output_of_several_lines_keeps_them(dagu: DaguRuns) -> None:
    ran = dagu.run(chain("{command: 'printf \"a\\nb\\n\\n\"', output: O}", 'echo "$O"'))

    assert ran.outputs["O"] == "a\nb"
    assert said(ran, "cmd_2") == "a\nb"


@pytest.mark.parametrize(("limit", "status"), [(4, "failed"), (5, "succeeded")])
def test_an_output_may_be_as_long_as_it_says_and_no_longer(dagu: DaguRuns, limit: int, status: str) -> None:
    assert dagu.run(f"max_output_size: {limit}\n" + chain("{command: printf 12345, output: O}")).status == status
