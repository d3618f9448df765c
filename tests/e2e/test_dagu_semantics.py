"""How the parts of Dagu files work together in a run: again and stop, handlers and retries, DAGs inside DAGs."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.daguruns import DaguRuns, Live, Ran, approve, reject, stop

from provisioning.core.requests import Extent

S, F, A, K, N, P = "succeeded", "failed", "aborted", "skipped", "not_started", "partially_succeeded"
COUNTS = "echo x >>$DAG_RUN_STEP_NAME.runs"


@pytest.fixture
def dagu(tmp_path: Path) -> DaguRuns:
    return DaguRuns(tmp_path)


def ends(ran: Ran) -> tuple[str, list[str]]:
    return ran.status, list(ran.steps.values())


def chain(*steps: str) -> str:
    return "type: chain\nsteps:\n" + "".join(f"  - {step}\n" for step in steps)


def runs(dagu: DaguRuns, *steps: str) -> list[int]:
    """How often each step has run in all."""
    files = [dagu.dags / f"{step}.runs" for step in steps]
    return [len(file.read_text("utf-8").splitlines()) if file.exists() else 0 for file in files]


def is_alive(pid: int) -> bool:
    """Whether a process goes on; one that has ended may still wait for its parent."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text("utf-8").rpartition(")")[2].split()[0] not in {"Z", "X"}


# ---------------------------------------------------------------- once more

ABC = chain(
    f"{{name: a, command: '{COUNTS}'}}",
    f"{{name: b, command: '{COUNTS}; test -e fixed'}}",
    f"{{name: c, command: '{COUNTS}'}}",
)


def test_a_retry_repeats_what_failed_and_all_below_it_in_the_same_run(dagu: DaguRuns) -> None:
    first = dagu.run(ABC)
    (dagu.dags / "fixed").touch()
    again = dagu.retry()

    assert (ends(first), ends(again)) == ((F, [S, F, A]), (S, [S, S, S]))
    assert runs(dagu, "a", "b", "c") == [1, 2, 1]
    assert first.report.detail.run_id == again.report.detail.run_id


def test_a_retry_of_one_step_leaves_what_is_below_it(dagu: DaguRuns) -> None:
    (dagu.dags / "fixed").touch()
    dagu.run(ABC)
    dagu.retry("b", Extent.ALONE)
    assert runs(dagu, "a", "b", "c") == [1, 2, 1]

    dagu.retry("b", Extent.BELOW)
    assert runs(dagu, "a", "b", "c") == [1, 3, 2]


def test_outputs_of_what_succeeded_are_there_in_a_retry(dagu: DaguRuns) -> None:
    dagu.run(chain("{command: echo 7, output: X}", "{command: 'test -e fixed && echo $X', output: Y}"))
    (dagu.dags / "fixed").touch()

    assert dagu.retry().outputs == {"X": "7", "Y": "7"}


def test_a_retry_does_not_repeat_what_succeeded_inside_a_sub_dag(dagu: DaguRuns) -> None:
    dagu.run("steps: [{name: sub, call: child}]\n" + ABC.replace("type", "---\nname: child\ntype", 1))
    (dagu.dags / "fixed").touch()
    again = dagu.retry()

    assert ends(again) == (S, [S])
    assert runs(dagu, "a", "b", "c") == [1, 2, 1]
    assert [one.status.value for one in again.inside] == [S]


# ---------------------------------------------------------------- stop


@pytest.mark.parametrize(
    "policy",
    ["retry_policy: {limit: 9, interval_sec: 9999}", "repeat_policy: {repeat: until, exit_code: 0, interval_sec: 9999}"],
)
def test_a_stop_does_not_wait_for_the_end_of_a_pause(dagu: DaguRuns, policy: str) -> None:
    ran = dagu.run(chain(f"{{command: exit 1, {policy}}}", "echo 2"), pausing=[stop])

    assert ends(ran) == (A, [A, N])
    assert ran.attempts["cmd_1"] == 1


def test_a_stop_ends_the_runs_inside_too(dagu: DaguRuns) -> None:
    child = "---\nname: child\nhandler_on: {abort: {command: touch told}}\nsteps: ['echo ready; sleep 1000']\n"

    async def stops(live: Live) -> None:
        await stop(Live(live.loop, live.runner))

    ran = dagu.run(chain("{name: sub, call: child}") + child, printed={"ready": stops})

    assert ends(ran) == (A, [A])
    assert [one.status.value for one in ran.inside] == [A]
    assert (dagu.dags / "told").exists()


def test_a_stopped_run_where_every_step_is_fine_has_succeeded(dagu: DaguRuns) -> None:
    ran = dagu.run("handler_on: {success: {command: 'echo ready; sleep 0.05'}}\n" + chain("echo 1"), printed={"ready": stop})

    assert ends(ran) == (S, [S])


def test_a_stop_reaches_what_a_step_left_in_the_background(dagu: DaguRuns) -> None:
    ran = dagu.run(chain("sh -c 'sleep 1000 & echo $! >child; echo ready; wait'"), printed={"ready": stop})

    child = int((dagu.dags / "child").read_text("utf-8"))
    assert ends(ran) == (A, [A])
    assert not is_alive(child)


# ---------------------------------------------------------------- policies together


def test_what_the_filter_of_a_retry_rejects_counts_as_a_failure_all_the_same(dagu: DaguRuns) -> None:
    policies = "retry_policy: {limit: 1, interval_sec: 1, exit_code: [9]}, continue_on: {failure: true, mark_success: true}"

    assert ends(dagu.run(chain(f"{{command: exit 1, {policies}}}")))[1] == [F]


def test_a_spent_retry_may_count_as_a_success(dagu: DaguRuns) -> None:
    policies = "retry_policy: {limit: 1, interval_sec: 1}, continue_on: {failure: true, mark_success: true}"

    assert ends(dagu.run(chain(f"{{command: exit 1, {policies}}}"))) == (S, [S])


def test_a_repetition_goes_on_after_a_failure_until_it_has_what_it_waits_for(dagu: DaguRuns) -> None:
    step = "{command: 'echo x >>n; test $(wc -l <n) -ge 3', repeat_policy: {repeat: until, exit_code: [0], interval_sec: 2}}"
    ran = dagu.run(chain(step))

    assert ends(ran) == (S, [S])
    assert ran.attempts["cmd_1"] == 3


def test_the_end_of_a_repetition_that_failed_is_a_failure(dagu: DaguRuns) -> None:
    assert ends(dagu.run(chain("{command: exit 1, repeat_policy: {repeat: until, exit_code: [0], limit: 2}}"))) == (F, [F])


def test_a_precondition_is_judged_once_not_at_each_try(dagu: DaguRuns) -> None:
    step = "{command: exit 1, preconditions: 'echo x >>judged', retry_policy: {limit: 2, interval_sec: 1}}"
    dagu.run(chain(step))

    assert (dagu.dags / "judged").read_text("utf-8") == "x\n"


def test_a_program_that_is_killed_has_the_exit_code_that_shells_give_it(dagu: DaguRuns) -> None:
    ran = dagu.run(chain("{exec: {command: sh, args: [-c, 'kill -9 $$']}, continue_on: {exit_code: [137]}}", "echo 2"))

    assert ends(ran) == (P, [F, S])
    assert ran.record("exec_1" if "exec_1" in ran.steps else next(iter(ran.steps))).exit_code == 137


# ---------------------------------------------------------------- handlers


def test_a_handler_whose_precondition_does_not_hold_is_skipped(dagu: DaguRuns) -> None:
    ran = dagu.run('handler_on: {exit: {command: exit 1, preconditions: "false"}}\n' + chain("echo 1"))

    assert (ends(ran), ran.handlers) == ((S, [S]), {"exit": K})


def test_the_failure_handler_waits_until_there_are_no_more_retries_of_the_run(dagu: DaguRuns) -> None:
    handlers = "handler_on: {failure: {command: echo f >>told}, exit: {command: echo e >>told}}\n"
    ran = dagu.run("retry_policy: {limit: 2, interval_sec: 60}\n" + handlers + chain("exit 1"))

    assert (ran.status, ran.attempts["cmd_1"]) == (F, 3)
    assert (dagu.dags / "told").read_text("utf-8").splitlines()[-2:] == ["f", "e"]
    assert (dagu.dags / "told").read_text("utf-8").count("f") == 1


def test_handlers_of_the_base_are_not_those_of_a_sub_dag(tmp_path: Path) -> None:
    dagu = DaguRuns(tmp_path, base="handler_on: {exit: {command: 'echo $DAG_NAME >>told'}}\nenv: [B: base]\n")
    ran = dagu.run(chain("{name: sub, call: child}") + "---\nname: child\nsteps: ['echo $B >>said']\n")

    assert ran.status == S
    assert (dagu.dags / "told").read_text("utf-8") == "main\n"
    assert (dagu.dags / "said").read_text("utf-8") == "base\n"


def test_a_condition_of_the_dag_that_nobody_can_judge_fails_the_run(dagu: DaguRuns) -> None:
    ran = dagu.run('preconditions: [{condition: "$(exit 3)", expected: x}]\n' + chain("echo 1"))

    assert ends(ran) == (F, [N])


# ---------------------------------------------------------------- people


def test_a_rejection_aborts_what_is_below_it_and_nothing_else(dagu: DaguRuns) -> None:
    others = "{name: below, command: x=1, depends: ask}, {name: beside, command: x=1}"
    ran = dagu.run(
        f"type: graph\nsteps: [{{name: ask, type: hitl, config: {{prompt: ok}}}}, {others}]\n",
        waiting=[reject("ask", "not today")],
    )

    assert ends(ran) == ("rejected", ["rejected", A, S])
    assert "not today" in ran.error("ask")


def test_an_approval_without_what_is_required_fails(dagu: DaguRuns) -> None:
    asks = "{name: ask, type: hitl, config: {prompt: ok, input: [WHO], required: [WHO]}}"

    assert ends(dagu.run(chain(asks), waiting=[approve("ask")])) == (F, [F])


# ---------------------------------------------------------------- DAGs inside DAGs


def test_a_dag_that_starts_itself_ends(dagu: DaguRuns) -> None:
    dagu.write("again.yaml", "steps: [{name: sub, call: again}]\n")
    ran = dagu.run(chain("{name: sub, call: again}"))

    assert ends(ran) == (F, [F])
    assert len(ran.inside) <= 40


@pytest.mark.parametrize(
    ("child", "status"),
    [
        ("steps: ['exit 1']", F),
        ("preconditions: 'false'\nsteps: ['echo 1']", A),
        ("handler_on: {exit: {command: exit 1}}\nsteps: ['echo 1']", F),
        ("steps: [{name: ask, type: hitl, config: {prompt: ok}}]", "rejected"),
    ],
)
def test_a_dag_that_did_not_succeed_fails_the_step_that_called_it(dagu: DaguRuns, child: str, status: str) -> None:
    text = chain("{name: sub, call: child, output: SUB, continue_on: failed}", "echo ${SUB.status}")
    ran = dagu.run(f"{text}---\nname: child\n{child}\n", waiting=[reject("ask")])

    assert ends(ran) == (P, [F, S])
    assert ran.stdout("cmd_2").strip() == status
    assert [one.status.value for one in ran.inside] == [status]


def test_each_round_of_a_repeated_call_is_a_run_of_its_own_and_each_try_is_not(dagu: DaguRuns) -> None:
    child = "---\nname: child\nsteps: ['test -e tried || { touch tried; exit 1; }']\n"
    repeated = dagu.run(chain("{name: sub, call: child, repeat_policy: {repeat: true, limit: 3}, continue_on: failed}") + child)
    tried = DaguRuns(dagu.home / "b").run(chain("{name: sub, call: child, retry_policy: {limit: 2, interval_sec: 1}}") + child)

    assert len(repeated.inside) == 1  # it failed: what repeats while it succeeds ends there
    assert (ends(tried), len(tried.inside)) == ((S, [S]), 1)


def test_a_stop_in_the_first_handler_leaves_all_steps_alone(dagu: DaguRuns) -> None:
    head = "handler_on: {init: {command: 'echo ready; sleep 1000'}, abort: {command: x=1}, exit: {command: x=1}}\n"
    ran = dagu.run(head + chain("echo 1"), printed={"ready": stop})

    assert (ends(ran), ran.handlers) == ((A, [N]), {"init": A, "abort": S, "exit": S})


def test_the_handler_of_waiting_may_fail(dagu: DaguRuns) -> None:
    text = "handler_on: {wait: {command: exit 1}}\n" + chain("{name: ask, type: hitl, config: {prompt: ok}}")

    assert ends(dagu.run(text, waiting=[approve("ask")])) == (S, [S])


def test_a_stop_ends_the_waiting_for_a_person(dagu: DaguRuns) -> None:
    assert ends(dagu.run(chain("{name: ask, type: hitl, config: {prompt: ok}}", "echo 1"), waiting=[stop])) == (A, [N, N])


def test_variables_of_a_dag_are_not_those_of_one_that_it_calls(dagu: DaguRuns) -> None:
    child = "---\nname: child\nsteps: [{command: 'echo [$OWN]', output: SAW}]\n"
    ran = dagu.run("env: {OWN: mine}\n" + chain("{name: sub, call: child}") + child)

    assert [dict(one.detail.outputs) for one in ran.inside] == [{"SAW": "[]"}]


def test_each_item_of_a_loop_has_what_the_dag_has(dagu: DaguRuns) -> None:
    loop = "{id: l, foreach: {items: [1, 2], steps: [{run: 'echo $OWN$item', output: SAW}]}}"
    ran = dagu.run("env: {OWN: mine}\ntype: graph\nsteps:\n  - " + loop + "\n")

    assert sorted(str(one.detail.outputs["SAW"]) for one in ran.inside) == ["mine1", "mine2"]


def test_at_most_so_many_items_run_at_once(dagu: DaguRuns) -> None:
    child = (
        "---\nname: child\nsteps: ['test $(ls | grep -c here) -lt 2; c=$?; touch $1.here; sleep 0.02; rm $1.here; exit $c']\n"
    )
    ran = dagu.run(chain("{name: sub, call: child, parallel: {items: [a, b, c, d, e, f], max_concurrent: 2}}") + child)

    assert ends(ran) == (S, [S])
    assert len(ran.inside) == 6


# ---------------------------------------------------------------- secrets


def test_a_secret_is_shown_nowhere(dagu: DaguRuns) -> None:
    dagu.write("s", "s3cr3t-value")
    head = "secrets: [{name: T, provider: file, key: s}]\n"
    ran = dagu.run(
        head + chain("{command: 'echo $T; echo $T >&2; exit 1', output: O, continue_on: failed}", "{command: 'echo $O'}")
    )

    written = "".join(path.read_text("utf-8", errors="replace") for path in (dagu.home / "logs").rglob("*") if path.is_file())
    assert "s3cr3t-value" not in written + repr(ran.report.document()) + repr(ran.events)
    assert ran.record("cmd_1").stdout == ran.record("cmd_1").stderr == "***\n"
