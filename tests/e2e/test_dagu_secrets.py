"""Secrets of Dagu files reach whoever is to have them, and neither the journal, nor a log, nor a report."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.daguruns import DaguRuns, Ran

VALUE = "s3cr3t $HOME 'value'"
FROM_A_FILE = "secrets: [{name: T, provider: file, key: s}]\n"
FROM_THE_ENVIRONMENT = "secrets: [{name: T, provider: env, key: T}]\n"
OF_ANOTHER_NAME = "secrets: [{name: X, provider: env, key: T}]\n"


@pytest.fixture
def dagu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DaguRuns:
    monkeypatch.setenv("T", VALUE)
    made = DaguRuns(tmp_path, environment={"T": VALUE})
    made.write("s", VALUE)
    return made


def keep(name: str) -> str:
    """Return a command that writes a variable into a file of our own."""
    return f'printf %s "${name}" >got'


def got(dagu: DaguRuns) -> str:
    return next(dagu.home.rglob("got")).read_text("utf-8")


def shown(dagu: DaguRuns, ran: Ran) -> str:
    """Return all that is kept of a run and of those inside it, and all that was logged."""
    logs = [path.read_text("utf-8", errors="replace") for path in (dagu.home / "logs").rglob("*") if path.is_file()]
    events = [repr(dagu.store.history.run(one.detail.summary.run_id)) for one in ran.inside]
    return "".join([*logs, *events, *(repr(one.document()) for one in (ran.report, *ran.inside)), repr(ran.events)])


def assert_kept_secret(dagu: DaguRuns, ran: Ran) -> None:
    assert ran.status == "succeeded", ran.steps
    assert VALUE in got(dagu)
    assert "s3cr3t" not in shown(dagu, ran)


@pytest.mark.parametrize(
    ("head", "name"),
    [(FROM_A_FILE, "T"), (FROM_THE_ENVIRONMENT, "T"), (OF_ANOTHER_NAME, "T"), (OF_ANOTHER_NAME, "X")],
)
@pytest.mark.parametrize("holder", ["env: {{V: 'a${{{0}}}b'}}\n", "params: [{{name: V, default: 'a${{{0}}}b'}}]\n"])
def test_what_is_made_of_a_secret_is_no_more_shown_than_the_secret(dagu: DaguRuns, head: str, name: str, holder: str) -> None:
    ran = dagu.run(f"{head}{holder.format(name)}steps: [{{name: a, command: '{keep('V')}; echo $V'}}]\n")

    assert_kept_secret(dagu, ran)
    assert got(dagu) == f"a{VALUE}b"


def test_a_condition_of_the_dag_may_use_what_is_made_of_a_secret(dagu: DaguRuns) -> None:
    head = FROM_THE_ENVIRONMENT + "env: {V: 'a${T}'}\npreconditions: [{condition: 'test \"$V\" = \"a$T\"'}]\n"

    assert_kept_secret(dagu, dagu.run(f"{head}steps: [{{name: a, command: '{keep('V')}'}}]\n"))


CHILD = "---\nname: child\nparams: [{name: GIVEN, default: ''}]\n"


@pytest.mark.parametrize("head", [FROM_A_FILE, FROM_THE_ENVIRONMENT])
@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("params: {GIVEN: 'a${T}'}", keep("GIVEN")),
        ("params: {OTHER: 'a${T}'}", keep("OTHER")),
        ("params: {GIVEN: '${ITEM}'}, parallel: ['a${T}']", keep("GIVEN")),
    ],
)
def test_a_run_inside_another_one_is_given_a_secret_by_reference(dagu: DaguRuns, head: str, call: str, body: str) -> None:
    child = CHILD.replace("GIVEN", "OTHER") if "OTHER" in call else CHILD
    text = f"{head}type: chain\nsteps: [{{name: sub, call: child, {call}}}]\n{child}steps: [{{name: a, command: '{body}'}}]\n"

    assert_kept_secret(dagu, dagu.run(text))
    assert got(dagu) == f"a{VALUE}"


def test_a_secret_that_is_handed_over_hides_no_variable_of_the_same_name(dagu: DaguRuns) -> None:
    child = CHILD + "env: {T: own}\nsteps: [{name: a, command: 'printf %s \"$T $GIVEN\" >got'}]\n"
    ran = dagu.run(f"{FROM_A_FILE}type: chain\nsteps: [{{name: sub, call: child, params: {{GIVEN: '${{T}}'}}}}]\n{child}")

    assert_kept_secret(dagu, ran)
    assert got(dagu) == f"own {VALUE}"


def test_a_loop_over_secrets_shows_none(dagu: DaguRuns) -> None:
    steps = f"[{{name: each, foreach: {{items: ['a${{T}}'], as: IT, steps: [{{name: a, command: '{keep('IT')}'}}]}}}}]"

    assert_kept_secret(dagu, dagu.run(f"{FROM_A_FILE}steps: {steps}\n"))


@pytest.mark.parametrize("given", ["V=${T}", "V=x$T", "V=${X}"])
def test_who_starts_a_run_cannot_ask_for_a_secret(dagu: DaguRuns, given: str) -> None:
    head = OF_ANOTHER_NAME + "params: [{name: V, default: x}]\nenv: {W: 'a${V}'}\n"
    ran = dagu.run(f"{head}steps: [{{name: a, command: '{keep('W')}'}}]\n", given)

    assert ran.status == "failed"
    assert list(dagu.home.rglob("got")) == []
    assert "the parameter V refers to the secret" in repr(ran.events)


def test_a_step_cannot_ask_for_a_secret_of_the_dag_that_it_starts(dagu: DaguRuns) -> None:
    child = f"---\nname: child\n{FROM_A_FILE}params: [{{name: GIVEN}}]\nsteps: [{{name: a, command: '{keep('GIVEN')}'}}]\n"
    ran = dagu.run(f"type: chain\nsteps: [{{name: sub, call: child, params: {{GIVEN: '$V'}}}}]\nparams: [V=x]\n{child}", "V=$T")

    assert ran.status == "failed"
    assert list(dagu.home.rglob("got")) == []
