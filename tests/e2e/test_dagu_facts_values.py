"""Facts about Dagu files from D26 on: what steps know of one another, parameters, other DAGs, names; on the real engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.daguruns import DaguRuns, Ran

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
