"""Every core and medium key of a DAG changes what comes of it, in every spelling."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support.calls import Caller
from support.dagukeys import (
    Flip,
    Scene,
    after_a_while,
    boxed,
    ends,
    fresh,
    kept,
    letters,
    listed,
    logins,
    logs,
    run,
    said,
    scheduled,
    selectors,
    side_by_side,
    stopped,
    turns,
)
from support.daguruns import DaguRuns, approve

from provisioning.errors import ConfigError

CORE = (
    "name description labels type schedule params env dotenv working_dir steps handler_on preconditions max_active_steps "
    "timeout_sec hist_retention_days hist_retention_runs"
)
MEDIUM = (
    "group skip_if_successful catchup_window overlap_policy secrets shell shell_args defaults max_active_runs queue delay_sec "
    "max_clean_up_time_sec max_output_size retry_policy log_dir log_output smtp mail_on error_mail info_mail wait_mail "
    "container ssh worker_selector"
)

S, F, A, K, N, P = "succeeded", "failed", "aborted", "skipped", "not_started", "partially_succeeded"
ONE = "steps: [{name: a, command: echo x}]\n"
KEPT = "hist_retention_days: 99999\n"
HOURLY = 'schedule: "0 * * * *"\n'
SMTP = "smtp: {host: mail.lan, port: 25}\n"
FAILS = "steps: [{name: a, command: exit 1}]\n"
CLEANS = """steps:
  - name: a
    script: |
      trap 'echo told; until test -e go; do sleep 0.01; done; touch cleaned; exit' TERM
      echo ready
      while :; do sleep 0.02; done
"""
WAITS = "steps: [{name: a, command: 'echo ready; until test -e go; do sleep 0.01; done'}]\n"


def steps(*commands: str) -> str:
    return "steps:\n" + "".join(f"  - {{name: {name}, command: '{one}'}}\n" for name, one in zip("abc", commands, strict=False))


def say(text: str) -> str:
    return steps(f"echo {text}")


FLIPS = [
    Flip(
        keys=["name"],
        before=say("$DAG_NAME"),
        after="name: other\n" + say("$DAG_NAME"),
        see=run(said()),
        seen=("main", "other"),
    ),
    Flip(keys=["description"], before=ONE, after="description: d\n" + ONE, see=listed("description"), seen=("", "d")),
    Flip(keys=["group"], before=ONE, after="group: g\n" + ONE, see=listed("group"), seen=("", "g")),
    Flip(
        keys=["labels"],
        before=ONE,
        after="labels: [A, b=C]\n" + ONE,
        see=listed("labels"),
        seen=({}, {"a": "", "b": "c"}),
        older=["tags: A, b=C\n" + ONE, "Tags: [a, {b: c}]\n" + ONE],
    ),
    Flip(
        keys=["type"],
        before="type: chain\n" + steps("exit 1", "echo x"),
        after="type: graph\n" + steps("exit 1", "echo x"),
        see=run(ends),
        seen=((F, [F, A]), (F, [F, S])),
    ),
    Flip(
        keys=["schedule"],
        before=ONE,
        after=HOURLY + ONE,
        see=listed("next_run"),
        seen=(False, True),
        older=['schedule: {start: ["0 * * * *"]}\n' + ONE, 'schedule: ["0 * * * *"]\n' + ONE],
    ),
    Flip(
        keys=["skip_if_successful"],
        before=HOURLY + ONE,
        after="skip_if_successful: true\n" + HOURLY + ONE,
        see=scheduled(succeeded=True),
        seen=(["start"], []),
    ),
    Flip(
        keys=["catchup_window"],
        before=HOURLY + ONE,
        after="catchup_window: 6h\n" + HOURLY + ONE,
        see=scheduled(late=timedelta(minutes=30)),
        seen=([], ["start"]),
    ),
    Flip(
        keys=["overlap_policy"],
        before="overlap_policy: skip\n" + HOURLY + ONE,
        after="overlap_policy: all\n" + HOURLY + ONE,
        see=scheduled(going=True),
        seen=([], ["start"]),
    ),
    Flip(
        keys=["params"],
        before=say("[$A]"),
        after="params: [A=1]\n" + say("[$A]"),
        see=run(said()),
        seen=("[]", "[1]"),
        older=["params: A=1\n" + say("[$A]"), "params: {A: 1}\n" + say("[$A]")],
    ),
    Flip(
        keys=["env"],
        before=say("[$A]"),
        after="env: {A: 1}\n" + say("[$A]"),
        see=run(said()),
        seen=("[]", "[1]"),
        older=["env: [A=1]\n" + say("[$A]"), "env: [{A: 1}]\n" + say("[$A]")],
    ),
    Flip(
        keys=["dotenv"],
        before=say("[$A]"),
        after="dotenv: a.env\n" + say("[$A]"),
        see=lambda scene, text: scene.dagu.write("a.env", "A=1\n") and run(said())(scene, text),
        seen=("[]", "[1]"),
    ),
    Flip(
        keys=["secrets"],
        before="env: {A: top-secret}\n" + say("[$A]"),
        after="secrets: [{name: A, provider: file, key: a.txt}]\n" + say("[$A]"),
        see=lambda scene, text: scene.dagu.write("a.txt", "top-secret") and run(said())(scene, text),
        seen=("[top-secret]", "[***]"),
    ),
    Flip(
        keys=["working_dir"],
        before=say("${PWD##*/}"),
        after="working_dir: below\n" + say("${PWD##*/}"),
        see=run(said()),
        seen=("dags", "below"),
        older=["dir: below\n" + say("${PWD##*/}")],
    ),
    Flip(
        keys=["shell"], before=say("$0"), after="shell: /bin/bash\n" + say("$0"), see=run(said()), seen=("/bin/sh", "/bin/bash")
    ),
    Flip(
        keys=["shell_args"],
        before="shell: sh\n" + steps("false; echo on"),
        after="shell: sh\nshell_args: [-e]\n" + steps("false; echo on"),
        see=run(ends),
        seen=((S, [S]), (F, [F])),
        older=["shell: sh -e\n" + steps("false; echo on"), "shell: [sh, -e]\n" + steps("false; echo on")],
    ),
    Flip(
        keys=["steps"],
        before="steps: [{name: a, command: echo x}]\n",
        after="steps: [{name: a, command: echo x}, {name: b, command: echo x}]\n",
        see=run(ends),
        seen=((S, [S]), (S, [S, S])),
        older=["steps: {a: {command: echo x}, b: {command: echo x}}\n"],
    ),
    Flip(
        keys=["handler_on"],
        before=ONE,
        after="handler_on: {exit: {command: exit 1}}\n" + ONE,
        see=run(ends),
        seen=((S, [S]), (F, [S])),
    ),
    Flip(
        keys=["preconditions"],
        before='preconditions: "true"\n' + ONE,
        after='preconditions: "false"\n' + ONE,
        see=run(ends),
        seen=((S, [S]), (A, [N])),
        older=[
            'precondition: "false"\n' + ONE,
            "precondition: {condition: a, expected: b}\n" + ONE,
            'preconditions: [{command: "false"}]\n' + ONE,
        ],
    ),
    Flip(
        keys=["defaults"],
        before=steps("exit 1", "echo x"),
        after="defaults: {continue_on: {failure: true}}\n" + steps("exit 1", "echo x"),
        see=run(ends),
        seen=((F, [F, A]), (P, [F, S])),
    ),
    Flip(
        keys=["max_active_steps"],
        before="type: graph\n" + steps("echo x", "echo y"),
        after="type: graph\nmax_active_steps: 1\n" + steps("echo x", "echo y"),
        see=run(side_by_side),
        seen=(True, False),
        older=["maxActiveRuns: 1\n" + steps("echo x", "echo y") + "  - {name: c, dir: ., command: echo z, depends: a}\n"],
    ),
    Flip(
        keys=["max_active_runs"],
        before=ONE,
        after="max_active_runs: 1\n" + ONE,
        see=turns,
        seen=(3, 1),
        camel=False,  # alone it is of a time when it meant steps
        older=["type: graph\nmaxActiveRuns: 1\nsteps: [{id: a, command: echo x}]\n"],
    ),
    Flip(keys=["queue"], before=ONE, after="queue: mine\n" + ONE, see=turns, seen=(3, 1)),
    Flip(
        keys=["timeout_sec"], before=WAITS, after="timeout_sec: 60\n" + WAITS, see=after_a_while(61), seen=((S, [S]), (F, [A]))
    ),
    Flip(
        keys=["delay_sec"],
        before="type: graph\n" + steps("echo x", "echo y"),
        after="type: graph\ndelay_sec: 50\n" + steps("echo x", "echo y"),
        see=run(lambda ran: [round(slept) for slept in ran.slept if slept > 1], leaps=True),
        seen=([], [50]),
    ),
    Flip(
        keys=["max_clean_up_time_sec"],
        before=CLEANS,
        after="max_clean_up_time_sec: 100\n" + CLEANS,
        see=stopped(7),
        seen=(False, True),
    ),
    Flip(
        keys=["max_output_size"],
        before="steps: [{name: a, command: echo 1234567890, output: X}]\n",
        after="max_output_size: 5\nsteps: [{name: a, command: echo 1234567890, output: X}]\n",
        see=run(ends),
        seen=((S, [S]), (F, [F])),
    ),
    Flip(
        keys=["retry_policy"],
        before=steps("test -e a || { touch a; exit 1; }"),
        after="retry_policy: {limit: 1, interval_sec: 60}\n" + steps("test -e a || { touch a; exit 1; }"),
        see=run(ends),
        seen=((F, [F]), (S, [S])),
    ),
    Flip(keys=["hist_retention_days"], before=KEPT + ONE, after="hist_retention_days: 0\n" + ONE, see=kept, seen=(3, 0)),
    Flip(keys=["hist_retention_runs"], before=KEPT + ONE, after="hist_retention_runs: 2\n" + ONE, see=kept, seen=(3, 2)),
    Flip(keys=["log_dir"], before=ONE, after="log_dir: HERE/mine\n" + ONE, see=logs, seen=(False, True)),
    Flip(
        keys=["log_output"],
        before=steps("echo out; echo err >&2"),
        after="log_output: merged\n" + steps("echo out; echo err >&2"),
        see=run(said()),
        seen=("out", "out\nerr"),
    ),
    Flip(
        keys=["smtp"],
        before="steps: [{name: a, type: mail, with: {from: a@b.c, to: x@y.z, subject: s}}]\n",
        after=SMTP + "steps: [{name: a, type: mail, with: {from: a@b.c, to: x@y.z, subject: s}}]\n",
        see=letters,
        seen=([], [("mail.lan", "s", 0)]),
    ),
    Flip(
        keys=["mail_on", "error_mail"],
        before=SMTP + "error_mail: {from: a@b.c, to: x@y.z, prefix: '[E]'}\n" + FAILS,
        after=SMTP + "mail_on: {failure: true}\nerror_mail: {from: a@b.c, to: x@y.z, prefix: '[E]'}\n" + FAILS,
        see=letters,
        seen=([], [("mail.lan", "[E] main: failure", 0)]),
    ),
    Flip(
        keys=["mail_on", "info_mail"],
        before=SMTP + "mail_on: {success: true}\n" + ONE,
        after=SMTP + "mail_on: {success: true}\ninfo_mail: {from: a@b.c, to: [x@y.z]}\n" + ONE,
        see=letters,
        seen=([], [("mail.lan", "main: success", 0)]),
    ),
    Flip(
        keys=["ssh"],
        before="steps: [{name: a, type: ssh, with: {host: h}, command: x}]\n",
        after="ssh: {user: ann, port: 2222}\nsteps: [{name: a, type: ssh, with: {host: h}, command: x}]\n",
        see=logins,
        seen=([("", "h", 0)], [("ann", "h", 2222)]),
        older=["ssh: {user: ann, port: 2222}\nsteps: [{name: a, executor: {type: ssh, config: {ip: h}}, command: x}]\n"],
    ),
    Flip(
        keys=["container"],
        before=ONE,
        after="container: {image: alpine}\n" + ONE,
        see=boxed,
        seen=((S, []), (S, [("run", True), ("exec", False), ("rm", False)])),
    ),
    Flip(
        keys=["worker_selector"],
        before=ONE,
        after="worker_selector: {gpu: 'yes'}\n" + ONE,
        see=selectors,
        seen=([{}], [{"gpu": "yes"}]),
    ),
]
SPELT = [
    pytest.param(flip, text, id=f"{'+'.join(flip.keys)}-{number}")
    for flip in FLIPS
    for number, text in enumerate(flip.spellings, start=1)
]


@pytest.fixture
def scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Scene:
    return Scene(DaguRuns(tmp_path), Caller(capsys))


@pytest.mark.parametrize(("flip", "text"), SPELT)
def test_a_key_changes_what_comes_of_a_dag(scene: Scene, flip: Flip, text: str) -> None:
    assert (flip.see(fresh(scene, 1), flip.before), flip.see(fresh(scene, 2), text)) == flip.seen
    assert flip.seen[0] != flip.seen[1]


def test_whoever_is_waited_for_gets_a_letter(scene: Scene) -> None:
    asks = "steps: [{name: a, type: hitl, config: {prompt: ok}}]\n"
    scene.dagu.run(SMTP + "mail_on: {wait: true}\nwait_mail: {from: a@b.c, to: x@y.z}\n" + asks, waiting=[approve("a")])

    assert [letter.subject for letter in scene.dagu.mailer.sent] == ["main: wait"]


def test_every_core_and_medium_key_is_covered() -> None:
    covered = {key for flip in FLIPS for key in flip.keys} | {"wait_mail"}

    assert covered == {*CORE.split(), *MEDIUM.split()}


def test_a_file_without_steps_is_refused(scene: Scene) -> None:
    with pytest.raises(ConfigError):
        scene.dagu.load("name: x\n")
