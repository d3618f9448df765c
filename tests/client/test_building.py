"""What a workflow cannot be. Ids are those of `docs/reference/engine-cases.md`."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from support.flows import client, flow, play, stage, states

from provisioning.builder import Ref, Repeat, Retry, Workflow, acts, current, task
from provisioning.core.model import Workflow as Compiled
from provisioning.errors import ProvisioningError, UsageError


def circle(length: int) -> Workflow:
    wf = flow()
    for number in range(length):
        wf.step(f"s{number}", play, f"s{number}", Ref(step=f"s{(number + 1) % length}"))
    return wf


@task
def few(one: int) -> int:
    return one


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "a01 no name": (lambda: with_one_step(Workflow(" ")).build(), "needs a name"),
    "a02 no steps": (lambda: flow().build(), "has no steps"),
    "a03 one id twice": (lambda: with_one_step(with_one_step(flow())), "has a step a already"),
    "a04 an unknown step": (lambda: with_one_step(flow(), after=["x"]).build(), "step a needs x, which workflow test does not"),
    "a05 a circle of one": (lambda: circle(1).build(), "circle: s0 -> s0"),
    "a05 a circle of two": (lambda: circle(2).build(), r"circle: s\d -> s\d -> s\d"),
    "a05 a circle of three": (lambda: circle(3).build(), r"circle: s\d -> s\d -> s\d -> s\d"),
    "an id that cannot be": (lambda: flow().step("a\nb", play, "a"), "no step id"),
    "an id that is too long": (lambda: flow().step("a" * 300, play, "a"), "no step id"),
    "an unknown option": (lambda: flow().step("a", play, "a", retires=3), "unknown option retires"),  # type: ignore[call-arg]
    "a lambda": (lambda: flow().step("a", lambda: 1), "cannot be found by its name"),
    "no path": (lambda: flow().step("a", "no path"), "is no task"),
    "too many arguments": (lambda: flow().step("a", few, 1, 2, 3), "cannot be called like this"),
    "no attempts": (lambda: flow().step("a", play, "a", retry=Retry(attempts=0)), "retry.attempts is 0"),
    "another strategy": (
        lambda: flow().step("a", play, "a", retry=Retry(strategy="fast")),  # type: ignore[arg-type]
        "'fast', expected one of: exponential, fixed, linear",
    ),
    "another repetition": (
        lambda: flow().step("a", play, "a", repeat=Repeat(again="never")),  # type: ignore[arg-type]
        "expected one of: always, failure, success",
    ),
    "no time": (lambda: flow().step("a", play, "a", timeout_s=0), "timeout_s is 0"),
    "no time at all": (lambda: flow(timeout_s=-1), "timeout_s is -1"),
    "another policy": (lambda: flow(on_failure="explode"), "on_failure is 'explode'"),
    "another handler": (lambda: flow().handler("boredom", "h", play, "h"), "expected one of: success, failure, cancel, exit"),
    "arguments by position for a command": (lambda: flow().step("a", acts.shell("true"), 1), "by name"),
}


def with_one_step(wf: Workflow, **options: object) -> Workflow:
    wf.step("a", play, "a", **options)  # type: ignore[arg-type]
    return wf


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_refused_with_the_reason(case: str) -> None:
    build, message = WRONG[case]
    with pytest.raises(ProvisioningError, match=message):
        build()


def test_a06_a_diamond_is_compiled_the_same_every_time_in_the_order_it_was_written() -> None:
    def diamond() -> Compiled:
        wf = flow()
        top = wf.step("top", play, "top")
        sides = [wf.step(name, play, name, after=top) for name in ("left", "right")]
        wf.step("bottom", play, "bottom", after=sides)
        return wf.build()

    assert diamond() == diamond()
    assert [step.id for step in diamond().steps] == ["top", "left", "right", "bottom"]


async def test_references_are_found_at_any_depth_and_what_looks_like_one_is_not_taken_for_one() -> None:
    stage()
    wf = flow()
    a = wf.step("a", play, "a", {"$ref": {"step": "a"}, "$signal": "x", "$$": [1]})
    wf.step("b", play, "b", [{"deep": (a.ref(), {"er": [a.ref_or_default(None)]})}])

    async with client() as it:
        run = await it.submit(wf)
        one = await it.result(run, "a")
        assert one == {"$ref": {"step": "a"}, "$signal": "x", "$$": [1]}
        assert await it.result(run, "b") == [{"deep": [one, {"er": [one]}]}]


@task
def sees() -> list[object]:
    it = current()
    it.log("here")
    return [it.run, it.step, str(it.step), it.attempt, it.worker, it.target]


async def test_a_running_function_sees_its_attempt() -> None:
    wf = flow()
    wf.step("me", sees)

    async with client() as it:
        run = await it.submit(wf)
        assert await it.result(run, "me") == [run, "me", "me", 1, "local", ""]


@task
async def returns(what: str) -> object:
    return {"set": {1, 2}, "huge": 2**70, "text": "half \udcff", "nan": float("nan"), "tuple": (1, (2,))}[what]


@pytest.mark.parametrize(
    ("what", "state", "result"),
    [
        ("tuple", "succeeded", [1, [2]]),
        ("nan", "succeeded", None),
        ("text", "succeeded", r"half \udcff"),
        ("set", "succeeded", [1, 2]),
    ],
)
async def test_results_are_what_json_makes_of_them(what: str, state: str, result: object) -> None:
    wf = flow()
    wf.step("a", returns, what)

    async with client() as it:
        info = await it.wait(await it.submit(wf))

    assert (states(info)["a"], info.step("a").result) == (state, result)


@task
async def returns_itself() -> object:
    return returns_itself


async def test_a_result_that_cannot_be_stored_fails_its_step_and_nothing_else() -> None:
    stage()
    wf = flow()
    a = wf.step("a", returns_itself, retry=Retry(attempts=3, base_s=0))
    wf.step("b", play, "b", after_any=a)

    async with client() as it:
        info = await it.wait(await it.submit(wf))

    assert states(info) == {"a": "failed", "b": "succeeded"}
    assert (info.step("a").error.kind, info.step("a").attempts) == ("output", 1)  # type: ignore[union-attr]


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", "x" * 200, ".hidden", "a b"])
async def test_a_run_id_that_could_be_a_path_is_refused(run_id: str) -> None:
    async with client() as it:
        with pytest.raises(UsageError):
            await it.submit(with_one_step(flow()), run_id=run_id)


def test_every_message_has_no_more_than_one_line() -> None:
    for build, _message in WRONG.values():
        with pytest.raises(ProvisioningError) as caught:
            build()
        assert "\n" not in caught.value.message
    assert len(list(itertools.chain(WRONG))) > 15
