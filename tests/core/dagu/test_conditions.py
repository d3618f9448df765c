from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.dagu.conditions import (
    MET,
    Dependents,
    Ended,
    Fate,
    Judgement,
    all_met,
    dependent,
    fate_of,
    judge_command,
    judge_match,
)
from provisioning.core.dagu.declared import ContinueOn
from provisioning.core.dagu.patterns import finds
from provisioning.core.dagu.statuses import RunNow, StepEnd, StepStatus, derive
from provisioning.errors import ConfigError

FAILED = StepStatus.FAILED


@pytest.mark.parametrize(
    ("value", "expected", "met"),
    [
        pytest.param("yes", "yes", True, id="D09 equal"),
        pytest.param("yes", "no", False, id="D09 not equal"),
        pytest.param("Yes", "yes", False, id="letters count as they are"),
        pytest.param("yes sir", "yes", False, id="part of a line"),
        pytest.param(" yes", "yes", False, id="blanks count"),
        pytest.param("one\ntwo\r\nthree\n", "two", True, id="some line"),
        pytest.param("one\n", "", False, id="no empty line behind the last"),
        pytest.param("", "", True, id="empty"),
        pytest.param("a.c", "a.c", True, id="a literal is no pattern"),
        pytest.param("abc", "a.c", False, id="a literal is no pattern either way"),
        pytest.param("$HOME", "$HOME", True, id="expected is not expanded"),
        pytest.param("abc def", "re:^abc.*def$", True, id="D11 pattern"),
        pytest.param("xabcx", "re:b", True, id="D11 a pattern is found anywhere"),
        pytest.param("ABC", "re:abc", False, id="D11 letters count as they are"),
        pytest.param("one\nabc def\n", "re:^abc.*def$", True, id="D11 ends are those of lines"),
        pytest.param("42", "re:^[0-9]{3}$", False, id="D11 no match"),
    ],
)
def test_d09_d11_a_value_matches(*, value: str, expected: str, met: bool) -> None:
    assert judge_match(value, expected, finds).met is met
    assert judge_match(value, expected, finds, negate=True).met is not met


@pytest.mark.parametrize("negate", [True, False])
def test_d11_an_invalid_pattern_is_an_error_also_when_negated(*, negate: bool) -> None:
    judged = judge_match("x", "re:(", finds, negate=negate)
    assert (judged.met, judged.error[:35]) == (False, '"(" is not a regular expression: mi')


@pytest.mark.parametrize(
    ("code", "negate", "met"), [(0, False, True), (1, False, False), (127, False, False), (0, True, False), (2, True, True)]
)
def test_d10_a_command_is_judged_by_its_exit_code(*, code: int, negate: bool, met: bool) -> None:
    assert judge_command(code, negate=negate).met is met


def test_d10_a_command_that_cannot_be_run_is_an_error_also_when_negated() -> None:
    assert judge_command(None).error
    assert judge_command(None, negate=True).error


def test_d12_all_conditions_have_to_hold_and_an_error_goes_before_one_that_does_not() -> None:
    unmet, error = Judgement(met=False, reason="no"), Judgement(met=False, error="nobody knows")
    assert all_met([]) is MET
    assert all_met([MET, MET]).met
    assert all_met([MET, unmet, Judgement(met=False, reason="later")]) is unmet
    assert all_met([unmet, error]) is error


def test_conditions_are_judged_one_after_the_other_until_nobody_knows() -> None:
    asked: list[int] = []

    def judge(number: int) -> Judgement:
        asked.append(number)
        return Judgement(met=False, error="broken") if number == 2 else MET

    assert all_met(judge(number) for number in range(5)).error == "broken"
    assert asked == [0, 1, 2]


@pytest.mark.parametrize(
    ("allowed", "ended", "fate"),
    [
        pytest.param(ContinueOn(), Ended(status=FAILED, exit_code=1), Fate.FAILED, id="D01 nothing allowed"),
        pytest.param(ContinueOn(failure=True), Ended(status=FAILED, exit_code=1), Fate.ALLOWED, id="D03 failure"),
        pytest.param(ContinueOn(exit_codes=(1,)), Ended(status=FAILED, exit_code=1), Fate.ALLOWED, id="D04 exit code"),
        pytest.param(ContinueOn(exit_codes=(2, 3)), Ended(status=FAILED, exit_code=1), Fate.FAILED, id="D04 another exit code"),
        pytest.param(ContinueOn(exit_codes=(0,)), Ended(status=FAILED), Fate.FAILED, id="D04 no exit code at all"),
        pytest.param(
            ContinueOn(output=("warn",)), Ended(status=FAILED, stdout="a warning\n"), Fate.ALLOWED, id="D05 part of stdout"
        ),
        pytest.param(
            ContinueOn(output=("w.rn",)), Ended(status=FAILED, stdout="a warning\n"), Fate.FAILED, id="D05 is no pattern"
        ),
        pytest.param(
            ContinueOn(output=("x", "re:^a w.*g$")), Ended(status=FAILED, stdout="\na warning\n"), Fate.ALLOWED, id="D05 re"
        ),
        pytest.param(ContinueOn(output=("warn",)), Ended(status=FAILED), Fate.FAILED, id="D05 only on stderr"),
        pytest.param(
            ContinueOn(exit_codes=(1,), mark_success=True), Ended(status=FAILED, exit_code=1), Fate.FORGIVEN, id="D06 mark"
        ),
        pytest.param(
            ContinueOn(exit_codes=(1,), mark_success=True), Ended(status=FAILED, exit_code=2), Fate.FAILED, id="D06 no rule"
        ),
        pytest.param(
            ContinueOn(mark_success=True), Ended(status=FAILED, exit_code=1), Fate.FAILED, id="D06 mark_success alone"
        ),
        pytest.param(
            ContinueOn(failure=True, mark_success=True),
            Ended(status=FAILED, exit_code=1, filtered=True),
            Fate.ALLOWED,
            id="D16 filtered",
        ),
        pytest.param(ContinueOn(skipped=True), Ended(status=StepStatus.SKIPPED), Fate.PASSED_OVER, id="D08 skipped"),
        pytest.param(ContinueOn(failure=True), Ended(status=StepStatus.SKIPPED), Fate.SKIPPED, id="D08 skipped is no failure"),
        pytest.param(ContinueOn(skipped=True), Ended(status=FAILED), Fate.FAILED, id="D08 a failure is not skipped"),
        pytest.param(ContinueOn(failure=True), Ended(status=StepStatus.ABORTED), Fate.STOPPED, id="aborted"),
        pytest.param(ContinueOn(failure=True), Ended(status=StepStatus.REJECTED), Fate.STOPPED, id="rejected"),
        pytest.param(ContinueOn(), Ended(status=StepStatus.SUCCEEDED), Fate.GOOD, id="succeeded"),
        pytest.param(ContinueOn(), Ended(status=StepStatus.PARTIALLY_SUCCEEDED), Fate.GOOD, id="partially succeeded"),
        pytest.param(
            ContinueOn(failure=True), Ended(status=FAILED, exit_code=124), Fate.ALLOWED, id="D17 a timeout is a failure"
        ),
    ],
)
def test_d03_to_d08_what_becomes_of_a_step(allowed: ContinueOn, ended: Ended, fate: Fate) -> None:
    assert fate_of(ended, allowed, finds) is fate


def test_d05_an_invalid_pattern_is_an_error() -> None:
    with pytest.raises(ConfigError, match="not a regular expression"):
        fate_of(Ended(status=FAILED, stdout="x"), ContinueOn(output=("re:(",)), finds)


# ---------------------------------------------------------------- through a whole DAG

CHAIN: Mapping[str, Sequence[str]] = {"1": [], "2": ["1"], "3": ["2"], "4": ["3"]}
NOTHING = ContinueOn()


def play(depends: Mapping[str, Sequence[str]], ends: Mapping[str, Ended], allowed: Mapping[str, ContinueOn]) -> tuple[str, str]:
    """Run steps in their order, each as `ends` says or well; return their letters and that of the run."""
    fates: dict[str, Fate] = {}
    steps: dict[str, StepEnd] = {}
    for step, before in depends.items():
        what = dependent(fates[one] for one in before)
        ended = ends.get(step, Ended(status=StepStatus.SUCCEEDED)) if what is Dependents.RUN else NOT_RUN[what]
        fates[step] = fate_of(ended, allowed.get(step, NOTHING), finds)
        status = StepStatus.SUCCEEDED if fates[step] is Fate.FORGIVEN else ended.status
        steps[step] = StepEnd(status=status, allowed=fates[step] is Fate.ALLOWED)
    verdict = derive(RunNow(steps=steps.values()))
    return "".join(LETTERS[one.status.value] for one in steps.values()), LETTERS[verdict.value]


NOT_RUN = {Dependents.SKIP: Ended(status=StepStatus.SKIPPED), Dependents.ABORT: Ended(status=StepStatus.ABORTED)}
LETTERS = {"succeeded": "S", "failed": "F", "aborted": "A", "skipped": "K", "partially_succeeded": "P"}
EXIT_1 = Ended(status=FAILED, exit_code=1)
SKIPPED = Ended(status=StepStatus.SKIPPED)


@pytest.mark.parametrize(
    ("depends", "ends", "allowed", "letters"),
    [
        pytest.param(CHAIN, {"3": EXIT_1}, {}, ("SSFA", "F"), id="D01"),
        pytest.param({"1": [], "2": [], "3": ["1"], "4": ["3"]}, {"2": EXIT_1}, {}, ("SFSS", "F"), id="D02"),
        pytest.param(CHAIN, {"2": EXIT_1}, {"2": ContinueOn(failure=True)}, ("SFSS", "P"), id="D03"),
        pytest.param(CHAIN, {"1": EXIT_1}, {"1": ContinueOn(exit_codes=(1,))}, ("FSSS", "P"), id="D04"),
        pytest.param(CHAIN, {"1": EXIT_1}, {"1": ContinueOn(exit_codes=(1,), mark_success=True)}, ("SSSS", "S"), id="D06"),
        pytest.param({"1": []}, {"1": EXIT_1}, {"1": ContinueOn(failure=True)}, ("F", "F"), id="D07"),
        pytest.param({"1": []}, {"1": EXIT_1}, {"1": ContinueOn(failure=True, mark_success=True)}, ("S", "S"), id="D07 marked"),
        pytest.param(CHAIN, {"2": SKIPPED}, {}, ("SKKK", "S"), id="D08 skipped, and on"),
        pytest.param(CHAIN, {"2": SKIPPED}, {"2": ContinueOn(skipped=True)}, ("SKSS", "S"), id="D08 passed over"),
        pytest.param(CHAIN, {"2": SKIPPED}, {"3": ContinueOn(skipped=True)}, ("SKKS", "S"), id="D08 the last that is skipped"),
        pytest.param(
            {"1": [], "2": [], "3": ["1", "2"]}, {"1": SKIPPED, "2": EXIT_1}, {}, ("KFA", "F"), id="aborted before skipped"
        ),
    ],
)
def test_d01_to_d08_through_a_dag(
    depends: Mapping[str, Sequence[str]], ends: Mapping[str, Ended], allowed: Mapping[str, ContinueOn], letters: tuple[str, str]
) -> None:
    assert play(depends, ends, allowed) == letters


@given(st.lists(st.sampled_from(Fate), max_size=6))
def test_one_that_aborts_or_skips_is_enough(fates: list[Fate]) -> None:
    found = dependent(fates)
    assert (found is Dependents.RUN) is all(one.dependents is Dependents.RUN for one in fates)
    assert (found is Dependents.ABORT) is any(one in {Fate.FAILED, Fate.STOPPED} for one in fates)
