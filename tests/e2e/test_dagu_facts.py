"""Facts about runs of Dagu files, each under its number, on the real engine. Those about reading are beside the readers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.daguruns import DaguRuns, Ran, approve, leap, stop

from provisioning.errors import ConfigError, NotFoundError

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


# ---------------------------------------------------------------- outputs and references


def test_d26_outputs_reach_everything_below_and_nothing_else(dagu: DaguRuns) -> None:
    steps = (
        "{id: one, run: echo 7, output: X}",
        '{id: two, run: "echo [$X]", depends: one}',
        '{id: three, run: "echo [$X]", depends: two}',
        '{id: late, run: "sleep 0", depends: one}',
        '{id: beside, run: "echo [$X]", preconditions: "sleep 0"}',
    )
    ran = dagu.run("type: graph\nsteps:\n" + "".join(f"  - {step}\n" for step in steps))

    assert [ran.stdout(step) for step in ("two", "three", "beside")] == ["[7]\n", "[7]\n", "[]\n"]


def test_d27_fields_of_a_json_output(dagu: DaguRuns) -> None:
    first = (
        """{name: read the configuration, command: 'echo ''{"host": "db", "port": 5432, "rows": [{"id": 4}]}''', output: C}"""
    )
    second = "{name: use it, command: 'echo ${C.host}:${C.port} ${C.rows[0].id}', output: USED}"

    assert dagu.run(chain(first, second)).outputs["USED"] == "db:5432 4"


def test_d28_a_step_can_be_asked_by_its_id(dagu: DaguRuns) -> None:
    first = "{id: a, run: 'echo hello; exit 42', continue_on: failed}"
    asked = "echo ${a.exitCode} ${a.stdout} ${a.stderr}; cat ${a.stdout}"
    ran = dagu.run("type: graph\nsteps:\n" + f"  - {first}\n  - {{id: b, run: '{asked}', depends: a}}\n")
    code, out, err, text = ran.stdout("b").split()

    assert (code, text) == ("42", "hello")
    assert out.endswith(".out")
    assert err.endswith(".err")


@pytest.mark.parametrize("reference", ["${nobody.stdout}", "${a.nothing}", "${a.output}"])
def test_d28_what_nobody_knows_stays_as_it_is_written(dagu: DaguRuns, reference: str) -> None:
    mail = f"  - {{id: b, action: mail.send, with: {{from: a@b.c, to: x@y.z, subject: 'S {reference}'}}, depends: a}}\n"
    dagu.run("smtp: {host: mail, port: 25}\ntype: graph\nsteps:\n  - {id: a, run: echo 1}\n" + mail)

    assert [letter.subject for letter in dagu.mailer.sent] == [f"S {reference}"]


@pytest.mark.parametrize(
    ("reference", "text"),
    [("${a.output:0:3}", "abc"), ("${X:2:2}", "cd"), ("${a.output}", "abcdef"), ("<${EMPTY}>", "<>"), ("<${e.output}>", "<>")],
)
def test_d29_slices_and_empty_outputs(dagu: DaguRuns, reference: str, text: str) -> None:
    steps = "  - {id: a, run: echo abcdef, output: X}\n  - {id: e, run: 'true', output: EMPTY}\n"
    mail = f"  - {{id: m, action: mail.send, with: {{from: a@b.c, to: x@y.z, subject: '{reference}'}}, depends: [a, e]}}\n"
    dagu.run("smtp: {host: mail, port: 25}\ntype: graph\nsteps:\n" + steps + mail)

    assert [letter.subject for letter in dagu.mailer.sent] == [text]


# ---------------------------------------------------------------- parameters and variables


@pytest.mark.parametrize(
    ("declared", "given", "printed"),
    [
        ("{A: 1, B: two words}", [], "1 two words"),
        ("[A=1, {B: 2}]", ["B=3"], "1 3"),
        ("'A=1 B=\"x y\"'", ["A=0"], "0 x y"),
    ],
)
def test_d30_named_parameters(dagu: DaguRuns, declared: str, given: list[str], printed: str) -> None:
    assert dagu.run(f"params: {declared}\n" + chain("echo $A $B"), *given).stdout("cmd_1") == f"{printed}\n"


@pytest.mark.parametrize(("given", "printed"), [([], "foo bar"), (["x"], "x bar"), (["x", "y z"], "x y z")])
def test_d30_parameters_by_their_place(dagu: DaguRuns, given: list[str], printed: str) -> None:
    assert dagu.run("params: foo bar\n" + chain("echo $1 $2"), *given).stdout("cmd_1") == f"{printed}\n"


def test_d30_an_unknown_name_is_refused_where_there_are_names(dagu: DaguRuns) -> None:
    with pytest.raises(ConfigError) as caught:
        dagu.run("params: [A=1]\n" + chain("echo $A"), "C=1")

    assert "A" in caught.value.faults[0].message
    assert dagu.run("params: [one]\n" + chain("echo $C"), "C=1").stdout("cmd_1") == "1\n"


@pytest.mark.parametrize("env", ["{A: '1', B: '${A}=2'}", "[{A: '1'}, {B: '${A}=2'}]", "['A=1', 'B=${A}=2']"])
def test_d31_variables_may_use_earlier_ones(dagu: DaguRuns, env: str) -> None:
    assert dagu.run(f"env: {env}\n" + chain("echo $A $B")).stdout("cmd_1") == "1 1=2\n"


def test_d32_of_two_env_files_the_later_one_wins_and_both_lie_in_the_working_folder(dagu: DaguRuns, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "a.env").write_text("ONE=1\nTWO=1\n", "utf-8")
    (work / "b.env").write_text("TWO=2\n", "utf-8")
    dagu.write("a.env", "ONE=wrong\n")

    ran = dagu.run(f"working_dir: {work}\ndotenv: [a.env, b.env, missing.env]\n" + chain("echo $ONE $TWO"))

    assert ran.stdout("cmd_1") == "1 2\n"


def test_d33_what_the_engine_says_of_a_run(dagu: DaguRuns) -> None:
    names = ["DAG_NAME", "DAG_RUN_ID", "DAG_RUN_STEP_NAME", "DAG_RUN_LOG_FILE", "DAG_RUN_STEP_STDOUT_FILE"]
    names += ["DAG_RUN_STEP_STDERR_FILE", "DAG_RUN_WORK_DIR", "DAG_PARAMS_JSON"]
    ran = dagu.run("params: [A=1]\n" + chain(f"{{name: say, command: 'for n in {' '.join(names)}; do printenv $n; done'}}"))

    said = ran.stdout("say").splitlines()
    assert len(said) == len(names)
    assert said[:3] == ["main", "run-1", "say"]
    assert (said[-2], said[-1]) == (str(dagu.dags), '{"A":"1"}')


def test_d33_where_a_step_writes_may_be_a_reference(dagu: DaguRuns, tmp_path: Path) -> None:
    step = "{name: say, command: echo hello; echo oh >&2, env: {D: out}, stdout: '$D-${DAG_RUN_STEP_NAME}', stderr: '${D}.err'}"
    dagu.run(f"working_dir: {tmp_path}\n" + chain(step))

    assert [(tmp_path / name).read_text("utf-8") for name in ("out-say", "out.err")] == ["hello\n", "oh\n"]


# ---------------------------------------------------------------- other DAGs

GREETS = "---\nname: child\nparams: [WHO=you]\nsteps:\n  - {command: 'echo hello $WHO', output: GREETING}\n"


def test_d34_another_document_of_the_file_can_be_called(dagu: DaguRuns) -> None:
    steps = chain("{name: sub, call: child, params: WHO=me, output: SUB}", "echo ${SUB.outputs.GREETING}")
    ran = dagu.run(steps + GREETS)

    assert ends(ran) == (S, [S, S])
    assert ran.stdout("cmd_2") == "hello me\n"
    assert [(one.status.value, dict(one.detail.outputs)) for one in ran.inside] == [(S, {"GREETING": "hello me"})]


def test_d34_a_dag_that_is_not_there_fails_the_step_by_name(dagu: DaguRuns) -> None:
    ran = dagu.run(chain("{name: sub, call: nobody}", "echo 2"))

    assert ends(ran) == (F, [F, A])
    assert "nobody" in ran.error("sub")


@pytest.mark.parametrize(
    ("parallel", "said"),
    [
        ("[a, b, c]", {"a", "b", "c"}),
        ("[{WHO: x}, {WHO: y}, {WHO: z}]", {"x", "y", "z"}),
        ("'${LIST}'", {"p", "q", "r"}),
        ("'${WORDS}'", {"u", "v", "w"}),
    ],
)
def test_d35_each_item_is_a_run_of_its_own(dagu: DaguRuns, parallel: str, said: set[str]) -> None:
    who = "WHO=${ITEM.WHO}" if "WHO" in parallel else "WHO=${ITEM}"
    env = """env: [{LIST: '["p", "q", "r"]'}, {WORDS: u v w}]\n"""
    ran = dagu.run(env + chain(f"{{name: sub, call: child, params: '{who}', parallel: {parallel}, output: ALL}}") + GREETS)

    assert ends(ran) == (S, [S])
    assert {str(one.detail.outputs["GREETING"]) for one in ran.inside} == {f"hello {one}" for one in said}
    assert '"total": 3' in str(ran.outputs["ALL"]) or '"total":3' in str(ran.outputs["ALL"])


def test_d35_one_bad_item_fails_the_step_but_not_the_others(dagu: DaguRuns) -> None:
    child = "---\nname: child\nsteps:\n  - {command: 'test $1 != b'}\n"
    ran = dagu.run(chain("{name: sub, call: child, parallel: [a, b, c]}") + child)

    assert ends(ran) == (F, [F])
    assert sorted(one.status.value for one in ran.inside) == [F, S, S]


# ---------------------------------------------------------------- order and names


def test_d37_a_nested_list_runs_side_by_side(dagu: DaguRuns) -> None:
    sides = [f"touch {a}; while [ ! -e {b} ]; do sleep 0.01; done" for a, b in (("left", "right"), ("right", "left"))]
    ran = dagu.run("type: chain\nsteps:\n  - echo 1\n  -\n" + "".join(f"    - {one}\n" for one in sides) + "  - echo 4\n")

    assert ends(ran) == (S, [S, S, S, S])
    assert (ran.order[0], ran.order[-1]) == ("cmd_1", "cmd_4")


def test_d38_steps_without_names_are_called_by_their_place(dagu: DaguRuns) -> None:
    assert list(dagu.run(chain("echo 1", "{id: own, command: x=1}", "echo 3")).steps) == ["cmd_1", "own", "cmd_3"]


@pytest.mark.parametrize(
    "steps",
    [
        "[{id: 1a, name: x, run: touch ran}]",
        "[{id: env, name: x, run: touch ran}]",
        "[{id: a, run: touch ran}, {id: a, name: b, run: touch ran}]",
        "[{id: a, run: touch ran}, {name: a, run: touch ran}]",
        "[{id: a, run: touch ran}, {id: b, run: touch ran, depends: A}]",
        "[{id: a, run: touch ran, depends: b}, {id: b, run: touch ran, depends: a}]",
    ],
)
def test_d39_what_cannot_be_right_is_refused_before_anything_runs(dagu: DaguRuns, steps: str) -> None:
    with pytest.raises(ConfigError) as caught:
        dagu.run(f"type: graph\nsteps: {steps}\n")

    assert all(fault.line for fault in caught.value.faults)
    assert not (dagu.dags / "ran").exists()


# ---------------------------------------------------------------- where definitions come from (the rows without a coordinator)


def test_d40_a_document_of_the_file_comes_before_a_file(dagu: DaguRuns) -> None:
    dagu.write("child.yaml", "steps: ['exit 1']\n")

    assert ends(dagu.run(chain("{name: sub, call: child}") + GREETS)) == (S, [S])


def test_d40_a_file_is_found_by_its_name(dagu: DaguRuns) -> None:
    dagu.write("other.yaml", "steps:\n  - {command: echo here, output: AT}\n")
    ran = dagu.run(chain("{name: sub, call: other}"))

    assert [dict(one.detail.outputs) for one in ran.inside] == [{"AT": "here"}]


def test_d40_not_found_and_broken_are_told_apart(dagu: DaguRuns) -> None:
    dagu.write("broken.yaml", "steps: 7\n")
    missing = dagu.run(chain("{name: sub, call: missing}"))
    with pytest.raises(NotFoundError):
        dagu.catalogue.load("missing")
    broken = DaguRuns(dagu.home).run(chain("{name: sub, call: broken}"))

    assert ends(missing) == ends(broken) == (F, [F])
    assert "no DAG" in missing.error("sub")
    assert "not a valid DAG" in broken.error("sub")


def test_every_fact_has_a_test() -> None:
    tests = Path(__file__).parent.parent
    files = (Path(__file__), tests / "formats" / "dagu" / "test_facts.py")
    numbers = {
        int(found) for file in files for found in re.findall(r"^def test_d([0-9]{2})_", file.read_text("utf-8"), re.MULTILINE)
    }

    assert numbers == set(range(1, 41))
