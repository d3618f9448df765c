"""Every key that had another spelling once is read in that spelling, and means the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provisioning.core.dagu.declared import DagFile
from provisioning.formats.dagu.files import read_dag

STEPS = "steps: [{name: a, command: x}]\n"
DAG = {
    "workingDir": "/w",
    "skipIfSuccessful": "true",
    "catchupWindow": "6h",
    "overlapPolicy": "all",
    "logDir": "/l",
    "logOutput": "merged",
    "handlerOn": "{exit: {command: x}}",
    "mailOn": "{failure: true}",
    "errorMail": "{from: a@b.c, to: x@y.z, attachLogs: true}",
    "infoMail": "{from: a@b.c, to: x@y.z}",
    "waitMail": "{from: a@b.c, to: x@y.z}",
    "timeoutSec": "7",
    "delaySec": "7",
    "restartWaitSec": "7",
    "histRetentionDays": "7",
    "histRetentionRuns": "7",
    "maxActiveSteps": "7",
    "maxCleanUpTimeSec": "7",
    "maxOutputSize": "7",
    "runConfig": "{disableParamEdit: true, disableRunIdEdit: true}",
    "workerSelector": "{gpu: x}",
    "retryPolicy": "{limit: 1, intervalSec: 7, maxIntervalSec: 9, backoff: 2}",
}
STEP = {
    "workingDir": "/w",
    "continueOn": "{exitCode: [1], markSuccess: true}",
    "retryPolicy": "{limit: 1, intervalSec: 7, exitCode: [1], maxIntervalSec: 9, backoff: 2}",
    "repeatPolicy": "{repeat: true, intervalSec: 7, exitCode: [1], maxIntervalSec: 9}",
    "mailOnError": "true",
    "signalOnStop": "SIGINT",
    "timeoutSec": "7",
    "logOutput": "merged",
    "container": "{image: i, pullPolicy: never, keepContainer: true, workingDir: /w}",
}
CALL = {"parallel": "{items: [1], maxConcurrent: 2}", "workerSelector": "{gpu: x}"}
SSH = {"strictHostKey": "false", "knownHostFile": "/k"}
REFUSED = {
    "registryAuths": "{}",
    "artifactDir": "/a",
    "enableArtifact": "true",
    "forwardHeaders": "[x]",
    "container": "{image: i, waitFor: running}",
}


def snake(text: str) -> str:
    """Return a text with its keys as they are now."""
    return "".join(f"_{char.lower()}" if char.isupper() and not text.startswith("SIG") else char for char in text)


def dag(text: str) -> DagFile:
    read = read_dag(text.encode(), file="x.yaml")
    assert read.faults == ()
    assert read.dag is not None
    return read.dag


def same(older: str, now: str, without: str) -> bool:
    """Whether both are the same, and not as if nothing were said. What only the dialect says does not count."""
    found = [replace(dag(text), habits=DagFile(name="").habits, given=frozenset()) for text in (older, now, without)]
    as_one = [replace(one, steps=tuple(replace(step, line=0, column=0) for step in one.steps)) for one in found]
    told = [repr(one).replace(" ", "") for one in as_one]
    return _unplaced(told[0]) == _unplaced(told[1]) != _unplaced(told[2])


def _unplaced(told: str) -> str:
    """Return what an object looks like without columns: keys differ in length."""
    kept = [part for part in told.replace(")", ",)").split(",") if not part.startswith("column=")]
    return ",".join(kept)


@pytest.mark.parametrize("key", DAG)
def test_keys_of_a_dag(key: str) -> None:
    value = DAG[key]

    assert same(f"{key}: {value}\n{STEPS}", f"{snake(key)}: {_now(value)}\n{STEPS}", STEPS)


@pytest.mark.parametrize("key", STEP)
def test_keys_of_a_step(key: str) -> None:
    said = f"{key}: {STEP[key]}", f"{snake(key)}: {_now(STEP[key])}"
    older, now = (STEPS.replace("}", f", {one}}}") for one in said)

    assert same(older, now, STEPS)


@pytest.mark.parametrize("key", CALL)
def test_keys_of_a_call(key: str) -> None:
    call = "steps: [{name: a, call: child}]\n"
    said = f"{key}: {CALL[key]}", f"{snake(key)}: {_now(CALL[key])}"
    older, now = (call.replace("}", f", {one}}}") for one in said)

    assert same(older, now, call)


@pytest.mark.parametrize("key", SSH)
def test_keys_of_a_login(key: str) -> None:
    base = f"ssh: {{host: h}}\n{STEPS}"
    older, now = (base.replace("}", f", {one}: {SSH[key]}}}", 1) for one in (key, snake(key)))

    assert same(older, now, base)


@pytest.mark.parametrize("key", REFUSED)
def test_what_is_refused_is_known_by_its_older_name_too(key: str) -> None:
    read = read_dag(f"{key}: {REFUSED[key]}\n{STEPS}".encode(), file="x.yaml")

    assert [fault.code for fault in read.faults] == ["unsupported_key"]


def test_the_handler_of_a_stop_has_an_older_name() -> None:
    older, now = (f"handler_on: {{{word}: {{command: x}}}}\n{STEPS}" for word in ("cancel", "abort"))

    assert list(dag(older).handlers) == list(dag(now).handlers)


@pytest.mark.parametrize("key", ["timeoutsec", "TIMEOUTSEC", "TimeoutSec", "timeout_Sec"])
def test_the_case_of_a_key_does_not_matter(key: str) -> None:
    assert dag(f"{key}: 7\n{STEPS}").timeout_s == 7


def _now(value: str) -> str:
    words = value.replace("{", "{ ").replace(",", " ,").split(" ")
    return " ".join(snake(word) if word.endswith(":") else word for word in words)


@pytest.mark.parametrize(
    ("older", "now"),
    [("shell", "command"), ("http.request", "http"), ("subworkflow", "dag"), ("jq.filter", "jq"), ("mail.send", "mail")],
)
def test_a09_kinds_of_steps_with_two_names_are_the_same_kind(older: str, now: str) -> None:
    what = {
        "http": "command: GET http://h",
        "dag": "call: child",
        "jq": "command: .a",
        "mail": "with: {to: x@y.z, from: a@b.c}",
    }

    def steps(kind: str) -> str:
        return f"steps: [{{name: a, {what.get(now, 'command: x')}, type: {kind}}}]\n"

    assert dag(steps(older)).steps == dag(steps(now)).steps
