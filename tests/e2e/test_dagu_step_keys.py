"""Every core and medium key of a step changes what comes of it, in every spelling."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.calls import Caller
from support.dagukeys import (
    Flip,
    Scene,
    See,
    after_a_while,
    boxed,
    ends,
    faults,
    fresh,
    letters,
    run,
    said,
    selectors,
    shown,
    stopped,
)
from support.daguruns import DaguRuns, Ran

CORE = (
    "name id run command script working_dir env depends preconditions continue_on retry_policy timeout_sec stdout "
    "stderr output call params"
)
MEDIUM = (
    "description action with type config shell shell_args shell_packages repeat_policy signal_on_stop mail_on_error parallel "
    "worker_selector container"
)

S, F, A, K, N, P = "succeeded", "failed", "aborted", "skipped", "not_started", "partially_succeeded"
CHILD = "---\nname: child\nparams: [A=0]\nsteps: [{name: x, command: 'echo got $A', output: GOT}]\n"
SMTP = "smtp: {host: mail.lan}\nerror_mail: {from: a@b.c, to: x@y.z}\n"
FLAKY = "test -e tried || { touch tried; exit 7; }"
WAITS = "echo ready; until test -e go; do sleep 0.01; done"
LISTENS = """steps:
  - name: a
    script: |
      trap 'echo told' TERM
      trap 'touch cleaned; echo told; exit' INT
      echo ready
      while :; do sleep 0.02; done
"""


def one(keys: str) -> str:
    return f"steps: [{{name: a, {keys}}}]\n"


def two(keys: str, first: str = "exit 3") -> str:
    """A step with these keys, and one after it."""
    return f"type: chain\nsteps:\n  - {{name: a, command: {first!r}, {keys}}}\n  - {{name: b, command: echo x}}\n"


def names(ran: Ran) -> object:
    return list(ran.steps)


def inside(ran: Ran) -> object:
    return sorted(str(child.detail.outputs["GOT"]) for child in ran.inside)


def left(name: str) -> See:
    """What a run leaves in a file."""

    def see(scene: Scene, text: str) -> object:
        scene.dagu.run(text)
        path = scene.dagu.dags / name
        return path.read_text("utf-8") if path.exists() else None

    return see


FLIPS = [
    Flip(
        keys=["name"],
        before="steps: [{command: echo x}]\n",
        after=one("command: echo x"),
        see=run(names),
        seen=(["cmd_1"], ["a"]),
    ),
    Flip(
        keys=["id"],
        before="type: graph\nsteps: [{name: a, command: echo x}, {name: b, command: 'echo ${i.exitCode}', depends: a}]\n",
        after="type: graph\nsteps: [{name: a, id: i, command: echo x}, {name: b, command: 'echo ${i.exitCode}', depends: i}]\n",
        see=run(lambda ran: ran.stdout("b").strip().isdigit()),
        seen=(False, True),
    ),
    Flip(
        keys=["description"], before=one("command: x"), after=one("command: x, description: d"), see=shown, seen=([""], ["d"])
    ),
    Flip(
        keys=["run"],
        before=one("run: echo one"),
        after=one("run: [echo one, echo two]"),
        see=run(said()),
        seen=("one", "one\ntwo"),
        older=["steps:\n  - name: a\n    run: |\n      echo one\n      echo two\n"],
    ),
    Flip(
        keys=["run"],
        before="steps: [{name: a, run: echo child, id: i}]\n" + CHILD,
        after="steps: [{name: a, run: child}]\n" + CHILD,
        see=run(lambda ran: len(ran.inside)),
        seen=(0, 1),
        older=[
            "steps: [{name: a, call: child}]\n" + CHILD,
            "steps: [{name: a, action: dag.run, with: {dag: child}}]\n" + CHILD,
        ],
    ),
    Flip(
        keys=["command"],
        before=one("command: echo one"),
        after=one("command: 'echo one; exit 1'"),
        see=run(ends),
        seen=((S, [S]), (F, [F])),
        older=["steps: ['echo one; exit 1']\n".replace("steps", "Steps"), one("command: [sh, -c, 'echo one; exit 1']")],
    ),
    Flip(
        keys=["script"],
        before=one("command: sh"),
        after=one("command: sh, script: echo from a script"),
        see=run(said()),
        seen=("", "from a script"),
        older=[one("script: echo from a script")],
    ),
    Flip(
        keys=["working_dir"],
        before=one("command: 'echo ${PWD##*/}'"),
        after=one("command: 'echo ${PWD##*/}', working_dir: below"),
        see=run(said()),
        seen=("dags", "below"),
        older=[one("command: 'echo ${PWD##*/}', dir: below")],
    ),
    Flip(
        keys=["env"],
        before=one("command: 'echo [$A]'"),
        after=one("command: 'echo [$A]', env: {A: 1}"),
        see=run(said()),
        seen=("[]", "[1]"),
        older=[one("command: 'echo [$A]', env: [A=1]"), one("command: 'echo [$A]', env: [{A: 1}]")],
    ),
    Flip(
        keys=["depends"],
        before="type: graph\nsteps: [{name: a, command: exit 1}, {name: b, command: echo x}]\n",
        after="type: graph\nsteps: [{name: a, command: exit 1}, {name: b, command: echo x, depends: a}]\n",
        see=run(ends),
        seen=((F, [F, S]), (F, [F, A])),
        older=["steps: [{name: a, command: exit 1}, {name: b, command: echo x, depends: [a]}]\n"],
    ),
    Flip(
        keys=["preconditions"],
        before=one("command: echo x, preconditions: 'true'"),
        after=one("command: echo x, preconditions: 'false'"),
        see=run(ends),
        seen=((S, [S]), (S, [K])),
        older=[
            one("command: echo x, precondition: 'false'"),
            one("command: echo x, precondition: {condition: a, expected: b}"),
            one("command: echo x, preconditions: [{command: 'false'}]"),
            one("command: echo x, preconditions: [{condition: 'true', negate: true}]"),
        ],
    ),
    Flip(
        keys=["continue_on"],
        before=two("continue_on: {exit_code: [4]}"),
        after=two("continue_on: {exit_code: [3]}"),
        see=run(ends),
        seen=((F, [F, A]), (P, [F, S])),
        older=[
            two("continue_on: failed"),
            two("continueOn: {failure: true}"),
            two("continueOn: {failed: true}"),
            two("continueOn: {exitCode: 3}"),
            two("continueOn: {output: 'oh'}", "echo oh dear; exit 3"),
        ],
    ),
    Flip(
        keys=["continue_on"],
        before=two("continue_on: {exit_code: 3}"),
        after=two("continue_on: {exit_code: 3, mark_success: true}"),
        see=run(ends),
        seen=((P, [F, S]), (S, [S, S])),
    ),
    Flip(
        keys=["continue_on"],
        before=two("preconditions: 'false'", "echo x"),
        after=two("preconditions: 'false', continue_on: {skipped: true}", "echo x"),
        see=run(ends),
        seen=((S, [K, K]), (S, [K, S])),
        older=[two("preconditions: 'false', continue_on: skipped", "echo x")],
    ),
    Flip(
        keys=["retry_policy"],
        before=one(f"command: '{FLAKY}', retry_policy: {{limit: 1, interval_sec: 9, exit_code: [6]}}"),
        after=one(f"command: '{FLAKY}', retry_policy: {{limit: 1, interval_sec: 9, exit_code: [7]}}"),
        see=run(ends),
        seen=((F, [F]), (S, [S])),
        older=[one(f"command: '{FLAKY}', env: {{N: 1}}, retry_policy: {{limit: '${{N}}', interval_sec: 9}}")],
    ),
    Flip(
        keys=["retry_policy"],
        before=one("command: exit 1, retry_policy: {limit: 3, interval_sec: 2}"),
        after=one("command: exit 1, retry_policy: {limit: 3, interval_sec: 2, backoff: 3, max_interval_sec: 10}"),
        see=run(lambda ran: ran.pauses("a")),
        seen=([2, 2, 2], [2, 6, 10]),
    ),
    Flip(
        keys=["repeat_policy"],
        before=one("command: echo x"),
        after=one("command: echo x, repeat_policy: {repeat: true, limit: 3, interval_sec: 60}"),
        see=run(lambda ran: (ran.attempts["a"], ran.pauses("a"))),
        seen=((1, []), (3, [60, 60])),
        older=[one("command: echo x, repeatPolicy: {repeat: while, condition: 'true', limit: 3, intervalSec: 60}")],
    ),
    Flip(
        keys=["repeat_policy"],
        before=one("command: echo x >>n, repeat_policy: {repeat: until, condition: '`wc -l <n`', expected: '2'}"),
        after=one("command: echo x >>n, repeat_policy: {repeat: until, condition: '`wc -l <n`', expected: '4'}"),
        see=run(lambda ran: ran.attempts["a"]),
        seen=(2, 4),
        older=[one("command: 'echo x >>n; test $(wc -l <n) -lt 4', repeatPolicy: {exitCode: [0]}")],
    ),
    Flip(
        keys=["timeout_sec"],
        before=one(f"command: '{WAITS}'"),
        after=one(f"command: '{WAITS}', timeout_sec: 60"),
        see=after_a_while(61),
        seen=((S, [S]), (F, [F])),
    ),
    Flip(
        keys=["signal_on_stop"],
        before=LISTENS,
        after=LISTENS + "    signal_on_stop: SIGINT\n",
        see=stopped(7),
        seen=(False, True),
    ),
    Flip(
        keys=["mail_on_error"],
        before=SMTP + one("command: exit 1"),
        after=SMTP + one("command: exit 1, mail_on_error: true"),
        see=letters,
        seen=([], [("mail.lan", "main: a failed", 0)]),
    ),
    Flip(
        keys=["stdout"],
        before=one("command: echo x"),
        after=one("command: echo x, stdout: 'o.txt'"),
        see=left("o.txt"),
        seen=(None, "x\n"),
    ),
    Flip(
        keys=["stderr"],
        before=one("command: 'echo x >&2'"),
        after=one("command: 'echo x >&2', stderr: '${DAG_RUN_STEP_NAME}.txt'"),
        see=left("a.txt"),
        seen=(None, "x\n"),
    ),
    Flip(
        keys=["output"],
        before=one("command: echo x"),
        after=one("command: echo x, output: O"),
        see=run(lambda ran: ran.outputs),
        seen=({}, {"O": "x"}),
        older=[
            one("command: echo x, output: $O"),
            one("command: echo x, output: {name: O}"),
            one("command: echo y, output: {O: x}"),
        ],
    ),
    Flip(
        keys=["call", "params"],
        before=one("call: child") + CHILD,
        after=one("call: child, params: {A: 1}") + CHILD,
        see=run(inside),
        seen=(["got 0"], ["got 1"]),
        older=[
            one("run: child, params: A=1") + CHILD,
            one("call: child, params: [A=1]") + CHILD,
            one("action: dag.run, with: {dag: child, params: {A: 1}}") + CHILD,
            one("executor: dag, command: child, params: A=1") + CHILD,
        ],
    ),
    Flip(
        keys=["parallel"],
        before=one("call: child, params: 'A=${ITEM}'") + CHILD,
        after=one("call: child, params: 'A=${ITEM}', parallel: {items: [1, 2], max_concurrent: 1}") + CHILD,
        see=run(lambda ran: len(ran.inside)),
        seen=(1, 2),
        older=[one("run: child, params: 'A=${ITEM}', parallel: [1, 2]") + CHILD],
    ),
    Flip(
        keys=["action", "with"],
        before=one("action: noop"),
        after=one("action: exec, with: {command: 'false'}"),
        see=run(ends),
        seen=((S, [S]), (F, [F])),
    ),
    Flip(
        keys=["type", "with", "config"],
        before=one("command: .b, script: '{\"b\": 1}', continue_on: failed"),
        after=one("type: jq, with: {data: '{\"b\": 1}'}, command: .b"),
        see=run(said()),
        seen=("", "1"),
        older=[
            one("type: jq, config: {}, command: .b, script: '{\"b\": 1}'"),
            one("executor: jq, command: .b, script: '{\"b\": 1}'"),
            one("executor: {type: jq, config: {raw: false}}, command: .b, script: '{\"b\": 1}'"),
        ],
    ),
    Flip(
        keys=["shell"],
        before=one("command: echo $0"),
        after=one("command: echo $0, shell: /bin/bash"),
        see=run(said()),
        seen=("/bin/sh", "/bin/bash"),
        older=[one("run: echo $0, with: {shell: /bin/bash}")],
    ),
    Flip(
        keys=["shell_args"],
        before=one("command: 'false; echo on', shell: sh"),
        after=one("command: 'false; echo on', shell: sh, shell_args: [-e]"),
        see=run(ends),
        seen=((S, [S]), (F, [F])),
        older=[
            one("command: 'false; echo on', shell: sh -e"),
            one("run: 'false; echo on', with: {shell: sh, shell_args: [-e]}"),
        ],
    ),
    Flip(
        keys=["shell_packages"],
        before=one("command: x"),
        after=one("command: x, shell_packages: [jq]"),
        see=faults,
        seen=([], ["unsupported_key"]),
    ),
    Flip(
        keys=["worker_selector"],
        before=one("call: child") + CHILD,
        after=one("call: child, worker_selector: {gpu: 'yes'}") + CHILD,
        see=selectors,
        seen=([{}, {}], [{}, {"gpu": "yes"}]),
    ),
    Flip(
        keys=["container"],
        before=one("command: echo x"),
        after=one("command: echo x, container: {image: alpine, pull_policy: never}"),
        see=boxed,
        seen=((S, []), (S, [("run", True)])),
        older=[one("command: echo x, executor: {type: docker, config: {image: alpine, pull: never}}")],
    ),
]
SPELT = [
    pytest.param(flip, text, id=f"{'+'.join(flip.keys)}-{place}-{number}")
    for place, flip in enumerate(FLIPS)
    for number, text in enumerate(flip.spellings, start=1)
]


@pytest.fixture
def scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Scene:
    return Scene(DaguRuns(tmp_path), Caller(capsys))


@pytest.mark.parametrize(("flip", "text"), SPELT)
def test_a_key_changes_what_comes_of_a_step(scene: Scene, flip: Flip, text: str) -> None:
    assert (flip.see(fresh(scene, 1), flip.before), flip.see(fresh(scene, 2), text)) == flip.seen
    assert flip.seen[0] != flip.seen[1]


def test_every_core_and_medium_key_is_covered() -> None:
    assert {key for flip in FLIPS for key in flip.keys} == {*CORE.split(), *MEDIUM.split()}
