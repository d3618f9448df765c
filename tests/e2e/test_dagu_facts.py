"""Facts about runs of Dagu files, each under its number, on the real engine. Those about reading are beside the readers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.daguruns import DaguRuns, Ran, approve, leap, stop

S, F, A, K, N, P = "succeeded", "failed", "aborted", "skipped", "not_started", "partially_succeeded"


@pytest.fixture
def dagu(tmp_path: Path) -> DaguRuns:
    return DaguRuns(tmp_path)


def ends(ran: Ran) -> tuple[str, list[str]]:
    return ran.status, list(ran.steps.values())


def chain(*steps: str) -> str:
    """Steps one after the other, in the words of Dagu 2.0."""
    return "type: chain\nsteps:\n" + "".join(f"  - {step}\n" for step in steps)


# ---------------------------------------------------------------- failures and what goes on


def test_d01_what_comes_after_a_failure_is_aborted(dagu: DaguRuns) -> None:
    assert ends(dagu.run(chain("echo 1", "echo 2", "exit 1", "echo 4"))) == (F, [S, S, F, A])


def test_d02_a_failure_does_not_stop_another_branch(dagu: DaguRuns) -> None:
    steps = "{id: one, run: echo 1}", "{id: two, run: exit 1}", "{id: three, run: echo 3, depends: one}"
    ran = dagu.run(chain(*steps, "{id: four, run: echo 4, depends: three}").replace("type: chain\n", ""))

    assert ends(ran) == (F, [S, F, S, S])


def test_d03_a_failure_that_may_continue_makes_it_partial(dagu: DaguRuns) -> None:
    assert ends(dagu.run(chain("echo 1", "{command: exit 1, continue_on: failed}", "echo 3"))) == (P, [S, F, S])


@pytest.mark.parametrize("codes", ["3", '"3"', "[3]", '[1, "3"]'])
def test_d04_an_exit_code_may_continue_in_every_form(dagu: DaguRuns, codes: str) -> None:
    ran = dagu.run(chain(f"{{command: exit 3, continue_on: {{exit_code: {codes}}}}}", "echo 2"))

    assert ends(ran) == (P, [F, S])


def test_d04_another_exit_code_may_not(dagu: DaguRuns) -> None:
    assert ends(dagu.run(chain("{command: exit 4, continue_on: {exit_code: [3]}}", "echo 2"))) == (F, [F, A])


@pytest.mark.parametrize(
    ("command", "output", "goes_on"),
    [
        ("echo no rows here; exit 1", "no rows", True),
        ("echo no rows here; exit 1", "rows$", False),
        ("echo rows 17; exit 1", "re:^rows [0-9]+$", True),
        ("echo rows; exit 1", ["nothing", "rows"], True),
        ("echo no rows >&2; exit 1", "no rows", False),
    ],
)
def test_d05_what_it_printed_may_continue_but_not_what_came_as_an_error(
    dagu: DaguRuns,
    command: str,
    output: object,
    goes_on: bool,  # noqa: FBT001 - a table
) -> None:
    ran = dagu.run(chain(f"{{command: {command!r}, continue_on: {{output: {json.dumps(output)}}}}}", "echo 2"))

    assert ends(ran) == ((P, [F, S]) if goes_on else (F, [F, A]))


def test_d06_a_failure_can_count_as_a_success(dagu: DaguRuns) -> None:
    ran = dagu.run(chain("{command: exit 1, continue_on: {exit_code: [1], mark_success: true}}", "echo 2"))

    assert ends(ran) == (S, [S, S])


def test_d07_where_no_step_succeeded_the_run_did_not(dagu: DaguRuns) -> None:
    assert ends(dagu.run(chain("{command: exit 1, continue_on: {failure: true}}"))) == (F, [F])


def test_d07_unless_the_failure_counts_as_a_success(dagu: DaguRuns) -> None:
    assert ends(dagu.run(chain("{command: exit 1, continue_on: {failure: true, mark_success: true}}"))) == (S, [S])


# ---------------------------------------------------------------- preconditions


def test_d08_what_needs_a_skipped_step_is_skipped(dagu: DaguRuns) -> None:
    assert ends(dagu.run(chain('{command: echo 1, preconditions: "false"}', "echo 2", "echo 3"))) == (S, [K, K, K])


def test_d08_unless_it_may_go_on(dagu: DaguRuns) -> None:
    ran = dagu.run(chain('{command: echo 1, preconditions: "false", continue_on: skipped}', "echo 2"))

    assert ends(ran) == (S, [K, S])


@pytest.mark.parametrize(("expected", "step"), [("north", S), ("south", K), ("nor", K)])
def test_d09_a_text_has_to_be_what_is_expected(dagu: DaguRuns, expected: str, step: str) -> None:
    condition = f'{{condition: "$WHERE", expected: {expected}}}'

    assert ends(dagu.run("env: {WHERE: north}\n" + chain(f"{{command: x=1, preconditions: [{condition}]}}"))) == (S, [step])


@pytest.mark.parametrize(("command", "step"), [("test 1 = 1", S), ("test 1 = 2", K)])
def test_d10_without_an_expectation_it_is_a_command(dagu: DaguRuns, command: str, step: str) -> None:
    steps = f"{{command: x=1, preconditions: [{{condition: {command}}}]}}"

    assert ends(dagu.run(chain(steps))) == (S, [step])


@pytest.mark.parametrize(("word", "step"), [("abc and def", S), ("abc and de", K)])
def test_d11_a_pattern_over_what_an_earlier_step_printed(dagu: DaguRuns, word: str, step: str) -> None:
    condition = '{condition: "${SAID}", expected: "re:^abc.*def$"}'
    ran = dagu.run(chain(f"{{command: echo {word}, output: SAID}}", f"{{command: x=1, preconditions: [{condition}]}}"))

    assert ends(ran) == (S, [S, step])


@pytest.mark.parametrize(
    ("condition", "step"),
    [
        ('{condition: "a", expected: "a", negate: true}', K),
        ('{condition: "a", expected: "b", negate: true}', S),
        ('{condition: "true", negate: true}', K),
        ('{condition: "false", negate: true}', S),
    ],
)
def test_d11_negate_turns_it_round(dagu: DaguRuns, condition: str, step: str) -> None:
    assert ends(dagu.run(chain(f"{{command: x=1, preconditions: [{condition}]}}"))) == (S, [step])


def test_d11_negate_turns_the_whole_dag_round(dagu: DaguRuns) -> None:
    assert ends(dagu.run('preconditions: [{condition: "true", negate: true}]\n' + chain("echo 1"))) == (A, [N])


HANDLERS = "handler_on:\n" + "".join(
    f"  {event}: {{command: 'echo {event}:$DAG_RUN_STATUS'}}\n" for event in ("init", "success", "failure", "abort", "exit")
)


def test_d12_a_dag_whose_precondition_does_not_hold_is_aborted_without_an_error(dagu: DaguRuns) -> None:
    ran = dagu.run(HANDLERS + 'preconditions: "false"\n' + chain("echo 1"))

    assert ends(ran) == (A, [N])
    assert ran.report.detail.exit_code == 0
    assert ran.order == ["(abort)", "(exit)"]


# ---------------------------------------------------------------- again


def test_d13_a_step_that_keeps_failing_is_tried_as_often_as_it_says(dagu: DaguRuns) -> None:
    ran = dagu.run(chain("{command: exit 1, retry_policy: {limit: 2, interval_sec: 30}}", "echo 2"))

    assert ends(ran) == (F, [F, A])
    assert ran.attempts["cmd_1"] == 3
    assert ran.pauses("cmd_1") == [30, 30]


COUNT = "n=$(cat n 2>/dev/null || echo 0); n=$((n+1)); echo $n >n"


def test_d14_the_try_that_succeeds_is_the_output(dagu: DaguRuns) -> None:
    command = f"{COUNT}; echo try $n; test $n -eq 3"
    ran = dagu.run(chain(f"{{command: '{command}', output: TRY, retry_policy: {{limit: 5, interval_sec: 1}}}}"))

    assert ends(ran) == (S, [S])
    assert (ran.attempts["cmd_1"], ran.outputs) == (3, {"TRY": "try 3"})


def test_d15_the_output_of_a_failed_step_is_there(dagu: DaguRuns) -> None:
    ran = dagu.run(
        chain("{command: echo half; exit 1, output: HALF, continue_on: failed}", "{command: 'echo $HALF', output: B}")
    )

    assert ends(ran) == (P, [F, S])
    assert ran.outputs == {"HALF": "half", "B": "half"}


def test_d16_only_some_exit_codes_are_tried_again(dagu: DaguRuns) -> None:
    policy = "retry_policy: {limit: 5, interval_sec: 1, exit_code: [42]}"
    ran = dagu.run(chain(f"{{command: '{COUNT}; test $n -gt 1 && exit 1; exit 42', {policy}}}"))

    assert ends(ran) == (F, [F])
    assert (ran.attempts["cmd_1"], ran.record("cmd_1").exit_code) == (2, 1)


def test_d17_a_step_that_takes_too_long_has_failed_for_good(dagu: DaguRuns) -> None:
    step = "{command: echo ready; sleep 1000, timeout_sec: 60, retry_policy: {limit: 3, interval_sec: 1}}"
    ran = dagu.run(chain(step, "echo 2"), printed={"ready": leap(61)})

    assert ends(ran) == (F, [F, A])
    assert (ran.attempts["cmd_1"], ran.record("cmd_1").exit_code) == (1, 124)
    assert "60 s" in ran.error("cmd_1")


def test_d18_a_dag_that_takes_too_long_has_failed_and_its_handlers_run(dagu: DaguRuns) -> None:
    ran = dagu.run("timeout_sec: 60\n" + HANDLERS + chain("echo ready; sleep 1000", "echo 2"), printed={"ready": leap(61)})

    assert ends(ran) == (F, [A, A])
    assert ran.order == ["(init)", "cmd_1", "(failure)", "(exit)"]
    assert ran.stdout("(failure)") == "failure:failed\n"


def test_d19_a_stop_aborts_what_runs_and_leaves_the_rest_alone(dagu: DaguRuns) -> None:
    ran = dagu.run(HANDLERS + chain("echo ready; sleep 1000", "echo 2"), printed={"ready": stop})

    assert ends(ran) == (A, [A, N])
    assert ran.order == ["(init)", "cmd_1", "(abort)", "(exit)"]


def test_d20_a_repetition_has_an_end(dagu: DaguRuns) -> None:
    ran = dagu.run(chain("{command: echo x, repeat_policy: {repeat: true, limit: 3, interval_sec: 5}}"))

    assert ends(ran) == (S, [S])
    assert (ran.attempts["cmd_1"], ran.pauses("cmd_1")) == (3, [5, 5])


@pytest.mark.parametrize(
    ("command", "policy", "rounds"),
    [
        ("test $n -ge 3", "repeat: until, exit_code: [0]", 3),
        ("test $n -ge 3", "exit_code: [1]", 3),
        ("test $n -ge 3", "repeat: while, exit_code: [1]", 3),
        ("true", 'repeat: until, condition: "false", limit: 4', 4),
        ("true", 'condition: "test $(cat n) -lt 3"', 3),
        ("true", 'condition: "`cat n`", expected: "3"', 3),
    ],
)
def test_d21_what_ends_a_repetition(dagu: DaguRuns, command: str, policy: str, rounds: int) -> None:
    ran = dagu.run(chain(f"{{command: '{COUNT}; {command}', repeat_policy: {{{policy}}}}}"))

    assert ends(ran) == (S, [S])
    assert ran.attempts["cmd_1"] == rounds


# ---------------------------------------------------------------- handlers


def test_d23_the_end_chooses_its_handlers(dagu: DaguRuns) -> None:
    ran = dagu.run(HANDLERS + chain("echo 1"))

    assert ran.order == ["(init)", "cmd_1", "(success)", "(exit)"]
    assert ran.handlers == {"init": S, "success": S, "failure": N, "abort": N, "exit": S}
    assert [ran.stdout(f"({event})") for event in ("init", "success", "exit")] == [
        "init:running\n",
        "success:succeeded\n",
        "exit:succeeded\n",
    ]


def test_d23_a_failure_chooses_others(dagu: DaguRuns) -> None:
    ran = dagu.run(HANDLERS + chain("exit 1"))

    assert (ran.status, ran.order) == (F, ["(init)", "cmd_1", "(failure)", "(exit)"])


def test_d23_a_failing_exit_handler_fails_the_run(dagu: DaguRuns) -> None:
    ran = dagu.run("handler_on: {exit: {command: exit 3}}\n" + chain("echo 1"))

    assert (ends(ran), ran.handlers) == ((F, [S]), {"exit": F})


def test_d24_where_the_first_handler_fails_nothing_begins(dagu: DaguRuns) -> None:
    ran = dagu.run("handler_on: {init: {command: exit 1}, exit: {command: echo bye}}\n" + chain("echo 1", "echo 2"))

    assert (ends(ran), ran.handlers) == ((A, [N, N]), {"init": F, "exit": S})


def test_d24_a_first_handler_that_is_skipped_changes_nothing(dagu: DaguRuns) -> None:
    ran = dagu.run('handler_on: {init: {command: exit 1, preconditions: "false"}}\n' + chain("echo 1"))

    assert (ends(ran), ran.handlers) == ((S, [S]), {"init": K})


def test_d25_steps_do_not_know_how_the_run_stands(dagu: DaguRuns) -> None:
    ran = dagu.run(chain('echo "[$DAG_RUN_STATUS]"'))

    assert ran.stdout("cmd_1") == "[]\n"


def test_d25_handlers_know_outputs_and_the_first_one_cannot(dagu: DaguRuns) -> None:
    handlers = "handler_on: {init: {command: 'echo [$X]'}, exit: {command: 'echo [$X]'}}\n"
    ran = dagu.run(handlers + chain("{command: echo 7, output: X}"))

    assert (ran.stdout("(init)"), ran.stdout("(exit)")) == ("[]\n", "[7]\n")


def test_d25_the_handler_of_waiting_is_told_what_waits(dagu: DaguRuns) -> None:
    steps = "steps:\n" + "".join(f"  - {{name: {one}, type: hitl, config: {{prompt: ok}}}}\n" for one in ("a", "b"))
    handler = "handler_on: {wait: {command: 'echo $DAG_WAITING_STEPS $DAG_RUN_STATUS'}}\n"
    ran = dagu.run(f"type: graph\n{handler}{steps}", waiting=[approve("a"), approve("b")])

    assert ends(ran) == (S, [S, S])
    assert ran.stdout("(wait)").startswith("a,b waiting\n")


def test_every_fact_has_a_test() -> None:
    tests = Path(__file__).parent.parent
    files = (*Path(__file__).parent.glob("test_dagu_facts*.py"), tests / "formats" / "dagu" / "test_facts.py")
    numbers = {
        int(found) for file in files for found in re.findall(r"^def test_d([0-9]{2})_", file.read_text("utf-8"), re.MULTILINE)
    }

    assert numbers == set(range(1, 41))
